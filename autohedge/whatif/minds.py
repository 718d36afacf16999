"""Who answers in the two runs of a study: a record alone, or the variant's model where no answer is known."""

from collections.abc import Callable, Sequence

from autohedge import config
from autohedge.config import Settings
from autohedge.core.errors import Unavailable
from autohedge.core.events import Deliberate
from autohedge.core.snapshots import Snapshot
from autohedge.graph.deliberator import Resolution, abstained
from autohedge.graph.materials import Materials, Sources
from autohedge.graph.mind import Mind, shared_of, ttl_s
from autohedge.graph.reread import TAKEN_OVER
from autohedge.llm.backend import LLMBackend, ModelFailure
from autohedge.llm.knowing import Knowing
from autohedge.llm.providers import open_backend
from autohedge.llm.replaying import Nobody, Replaying
from autohedge.llm.rules import RulesBackend
from autohedge.llm.shared import Shared
from autohedge.llm.transcript import Line
from autohedge.tools.lessons import Lesson
from autohedge.whatif.change import Plan
from autohedge.whatif.record import Record

Known = Callable[[Deliberate], Sequence[Line]]
"""What is known already of a question, by who asked it."""


class Matched(Mind):
    """Deliberates with what is known of each question; what never reached an agent then does not now."""

    def __init__(
        self,
        asker: Replaying | Knowing,
        materials: Materials,
        shown: dict[str, Snapshot],
        known: Known,
        deadline_s: float | None = None,
        shared: Shared | None = None,
        ttl_s: float = 0.0,
    ) -> None:
        super().__init__(asker, materials, shown, deadline_s, shared, ttl_s)
        self.asker = asker
        self._known = known

    async def deliberate(
        self, question: Deliberate, snapshot: Snapshot, lessons: Sequence[Lesson]
    ) -> Resolution:
        """Come to a resolution; nothing that a model or a prompt does raises."""
        lines = self._known(question)
        if lines and lines[0].request is None and lines[0].outcome in TAKEN_OVER:
            return abstained(lines[0].outcome)
        self.asker.begin([line for line in lines if line.request])
        return await super().deliberate(question, snapshot, lessons)


async def by_record(record: Record, settings: Settings, sources: Sources, known: Known) -> Matched:
    """Answers what a record answers, under the name of who answered then; all else is `unrecorded`."""
    slow = record.slow
    nobody = Nobody(slow.provider, slow.model, f"the record of {record.folder.id}")
    asker = Replaying(settings.llm, nobody)
    materials, shared = (
        Materials.of(sources, settings.tools, settings.agents),
        await shared_of(settings, nobody, on_tape=True),
    )
    return Matched(asker, materials, {}, known, None, shared, ttl_s(settings))


async def by_variant(record: Record, plan: Plan, sources: Sources, known: Known, *, keeps: bool) -> Matched:
    """Asks whom the variant names for what is not known.

    Raises Misconfigured for a provider that cannot work, Unavailable for a server that does not answer, or where
    the one that answered the record is not there any more.
    """
    settings, shown = plan.settings, dict[str, Snapshot]()
    materials, rules = Materials.of(sources, settings.tools, settings.agents), RulesBackend(shown.__getitem__)
    try:
        backend = await open_backend(settings, config.secrets().llm_api_key, on_tape=plan.here, rules=rules)
    except ModelFailure as failure:
        raise Unavailable(f"{failure}; or choose --provider rules") from None
    if plan.answers_hold and record.slow.provider and not _same(record, backend):
        await backend.close()
        was = f"{record.slow.provider} · {record.slow.model}"
        raise Unavailable(
            f"{was} answered that run, and now {backend.name} · {backend.model} would; start it, or name --provider"
        )
    asker = Knowing(backend, settings.llm)
    shared = await shared_of(settings, backend, on_tape=True) if keeps else None
    return Matched(asker, materials, shown, known, settings.hybrid.deadline_s, shared, ttl_s(settings))


def _same(record: Record, backend: LLMBackend) -> bool:
    return (record.slow.provider, record.slow.model) == (backend.name, backend.model)
