"""Deliberation services that answer from recorded calls first."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

from autohedge.config import Settings
from autohedge.core.errors import Corrupt, Unavailable
from autohedge.core.events import Decision, DeliberationRequested, JournalEntry
from autohedge.core.snapshots import Snapshot
from autohedge.graph.prompt_builder import PromptFiles
from autohedge.graph.replay import TRUSTED_CODES
from autohedge.graph.restore import restore_usage
from autohedge.graph.runner import DeliberationResult, GraphRunner, abstention
from autohedge.graph.runtime import InProcessRuntime
from autohedge.graph.service import DeliberationService, kept_verdicts, open_model, open_shared_for
from autohedge.journal.genesis import AgentsManifest
from autohedge.llm.cache.shared import SharedResources
from autohedge.llm.client import LLMClient
from autohedge.llm.prices import PriceTable
from autohedge.llm.replay_senders import RecordFirstSender, ReplaySender
from autohedge.llm.senders import TapeSender
from autohedge.llm.transcript import TranscriptEntry, TranscriptIndex
from autohedge.tools.lessons import Lesson

Known = Callable[[DeliberationRequested], Sequence[TranscriptEntry]]
"""Returns the transcript entries that are already known for a question."""


class ReplayingService(DeliberationService):
    """A deliberation service that answers requests from known entries first."""

    def __init__(
        self,
        graph_runner: GraphRunner,
        known: Known,
        shared: SharedResources | None = None,
        ttl_s: float = 0.0,
    ) -> None:
        """The sender of the client of `graph_runner` must be one that answers from known entries."""
        super().__init__(graph_runner, shared, ttl_s)
        sender = graph_runner.client.sender
        assert isinstance(sender, ReplaySender | RecordFirstSender)
        self.sender = sender
        self._known = known

    async def deliberate(
        self, question: DeliberationRequested, snapshot: Snapshot, lessons: Sequence[Lesson]
    ) -> DeliberationResult:
        """Deliberates on a question; a failure of a model or a prompt is an abstention, not an exception."""
        lines = self._known(question)
        # It abstained without a request, as when its queue was full; a snapshot cannot show that again.
        if lines and lines[0].request is None and lines[0].outcome in TRUSTED_CODES:
            return abstention(lines[0].outcome)
        self.sender.begin([line for line in lines if line.request])
        return await super().deliberate(question, snapshot, lessons)


async def continuing_service(
    settings: Settings, sources: PromptFiles, *, manifest: AgentsManifest, known: Known
) -> ReplayingService:
    """Opens the service of a run on a tape that goes on: known entries first, then the model.

    Raises Misconfigured for an unusable provider, Unavailable if the server does not answer or serves another
    model than the run used.
    """
    backend, prompt_builder, shown = await open_model(settings, sources, on_tape=True)
    if (backend.name, backend.model) != (manifest.provider, manifest.model):
        await backend.close()
        raise Unavailable(
            f"the run used {manifest.provider} · {manifest.model}, but now there is {backend.name} · "
            f"{backend.model}; start the former, then restart"
        )
    shared = await open_shared_for(settings, backend, on_tape=True)
    sender, hybrid = RecordFirstSender(TapeSender(backend, settings.llm)), settings.hybrid
    prices = PriceTable.of(settings, backend.name, backend.model)
    client, verdicts = LLMClient(sender, settings.llm, prices=prices), kept_verdicts(settings, shared)
    graph_runner = GraphRunner(client, prompt_builder, hybrid.deadline_s, verdicts, shown)
    return ReplayingService(graph_runner, known, shared, hybrid.verdict_ttl_s)


def continuing_runtime(
    settings: Settings,
    sources: PromptFiles,
    manifest: AgentsManifest,
    path: Path,
    record: Iterable[JournalEntry],
) -> InProcessRuntime:
    """Returns the agents runtime of a run on a tape that goes on; `path` is its transcript.

    Raises Corrupt if the transcript is damaged or lacks lines, and what `continuing_service` raises.
    """
    recorded = TranscriptIndex(path)
    _require_lines(recorded, path, record)

    def known(question: DeliberationRequested) -> list[TranscriptEntry]:
        return recorded.lines(question.number)

    prices = PriceTable.of(settings, manifest.provider, manifest.model)
    opening = partial(continuing_service, manifest=manifest, known=known)
    return InProcessRuntime(settings, sources, opening, restore_usage(path, prices), recorded)


def _require_lines(recorded: TranscriptIndex, path: Path, record: Iterable[JournalEntry]) -> None:
    """Raises Corrupt unless the transcript has every line that a decision of the record names."""
    for decision in (entry.event for entry in record if isinstance(entry.event, Decision)):
        if not {line.hash for line in recorded.lines(decision.number)}.issuperset(decision.calls):
            raise Corrupt(
                f"{path}: lines of deliberation {decision.number} are lost, as a power failure can lose them;"
                " restore the file, or start the run again: in virtual time nothing else depends on it"
            )
