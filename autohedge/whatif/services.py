"""The deliberation services of a study: one answers from the record alone, one asks a model as well."""

from autohedge.config import Settings
from autohedge.core.errors import Unavailable
from autohedge.core.snapshots import Snapshot
from autohedge.graph.prompt_builder import PromptBuilder, PromptFiles
from autohedge.graph.recorded_service import Known, ReplayingService
from autohedge.graph.runner import GraphRunner
from autohedge.graph.service import kept_verdicts, open_shared_for
from autohedge.llm.backend import LLMBackend, LLMError
from autohedge.llm.backends.api_keys import key_for_server
from autohedge.llm.backends.factory import open_backend
from autohedge.llm.backends.rules import RulesBackend
from autohedge.llm.client import LLMClient
from autohedge.llm.prices import PriceTable
from autohedge.llm.replay_senders import NullBackend, RecordFirstSender, ReplaySender
from autohedge.llm.senders import TapeSender
from autohedge.whatif.change import Plan
from autohedge.whatif.recorded_run import Record


async def recorded_service(
    record: Record, settings: Settings, sources: PromptFiles, known: Known
) -> ReplayingService:
    """Opens the service of the baseline: answers from the record only; any other request is `unrecorded`."""
    manifest = record.manifest
    # Named like the recorded backend: the name goes into every decision, which must equal the recorded one.
    null_backend = NullBackend(manifest.provider, manifest.model, f"the record of {record.folder.id}")
    sender = ReplaySender(settings.llm.context_tokens, null_backend)
    prompt_builder, shared = (
        PromptBuilder.of(sources, settings.tools, settings.resolved_agents),
        await open_shared_for(settings, null_backend, on_tape=True),
    )
    prices = PriceTable.of(settings, manifest.provider, manifest.model)
    client, verdicts = LLMClient(sender, settings.llm, prices=prices), kept_verdicts(settings, shared)
    graph_runner = GraphRunner(client, prompt_builder, verdicts=verdicts)
    return ReplayingService(graph_runner, known, shared, settings.hybrid.verdict_ttl_s)


async def variant_service(
    record: Record, plan: Plan, sources: PromptFiles, known: Known, *, cache_verdicts: bool
) -> ReplayingService:
    """Opens the service of the variant: known entries first, then the variant's model.

    Raises Misconfigured for an unusable provider, Unavailable if the server does not answer or serves another
    model than the recorded one, though the change names none.
    """
    settings, shown = plan.settings, dict[str, Snapshot]()
    prompt_builder, rules = (
        PromptBuilder.of(sources, settings.tools, settings.resolved_agents),
        RulesBackend(shown.__getitem__),
    )
    try:
        key = key_for_server(settings.llm, on_tape=plan.resolve_locally)
        backend = await open_backend(settings, key, on_tape=plan.resolve_locally, rules=rules)
    except LLMError as failure:
        raise Unavailable(f"{failure}; or choose --provider rules") from None
    if plan.answers_reusable and record.manifest.provider and not _same_backend(record, backend):
        await backend.close()
        was = f"{record.manifest.provider} · {record.manifest.model}"
        raise Unavailable(
            f"the recorded run used {was}, but now there is {backend.name} · {backend.model};"
            " start the former or choose --provider"
        )
    sender = RecordFirstSender(TapeSender(backend, settings.llm))
    shared = await open_shared_for(settings, backend, on_tape=True) if cache_verdicts else None
    verdicts, hybrid = kept_verdicts(settings, shared) if shared else None, settings.hybrid
    prices = PriceTable.of(settings, backend.name, backend.model)
    client = LLMClient(sender, settings.llm, prices=prices)
    graph_runner = GraphRunner(client, prompt_builder, hybrid.deadline_s, verdicts, shown)
    return ReplayingService(graph_runner, known, shared, hybrid.verdict_ttl_s)


def _same_backend(record: Record, backend: LLMBackend) -> bool:
    return (record.manifest.provider, record.manifest.model) == (backend.name, backend.model)
