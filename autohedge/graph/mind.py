"""Everything that answers questions in one process: backend, queue, prompts, graph."""

from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import msgspec

from autohedge import config
from autohedge.config import Settings
from autohedge.core.errors import Unavailable
from autohedge.core.events import Deliberate
from autohedge.core.snapshots import Snapshot
from autohedge.graph.deliberator import Deliberator, Resolution
from autohedge.graph.materials import Materials, Sources
from autohedge.llm.asking import Asker
from autohedge.llm.backend import ModelFailure
from autohedge.llm.providers import open_backend
from autohedge.llm.rules import RulesBackend
from autohedge.tools.lessons import Lesson


class Ready(msgspec.Struct, frozen=True, tag=True):
    """Who answers in this run; or why nobody can, and whether that is because a server is `away`."""

    provider: str = ""
    model: str = ""
    server: str = ""
    failure: str = ""
    away: bool = False


class Mind:
    """Deliberates; made by `open`, in the loop that it is used in."""

    def __init__(
        self,
        asker: Asker,
        materials: Materials,
        shown: dict[str, Snapshot],
        deadline_s: float | None = None,
    ) -> None:
        backend = asker.backend
        self._asker = asker
        self._shown = shown
        self._deadline_s = deadline_s
        self._deliberator = Deliberator(asker, materials, backend.name, deadline_s)
        self._materials = materials
        self.ready = Ready(backend.name, backend.model, backend.server)

    @classmethod
    async def open(cls, settings: Settings, sources: Sources, *, on_tape: bool) -> "Mind":
        """Reach what the settings name.

        Raises Misconfigured for a prompt or a provider that cannot work, Unavailable for a server that does not answer.
        """
        materials, shown = Materials.of(sources, settings.tools), dict[str, Snapshot]()
        rules = RulesBackend(shown.__getitem__)
        try:
            key = config.secrets().llm_api_key
            backend = await open_backend(settings, key, on_tape=on_tape, rules=rules)
        except ModelFailure as failure:
            raise Unavailable(f"{failure}; or choose llm.provider=rules") from None
        return cls(Asker(backend, settings.llm), materials, shown, settings.hybrid.deadline_s)

    def edit(self, prompts: Mapping[str, tuple[str, str]]) -> None:
        """Deliberate with these prompts from now on; what has begun goes on with those that it began with.

        Raises Misconfigured with file and line.
        """
        self._materials = self._materials.edited(prompts)
        name = self._asker.backend.name
        self._deliberator = Deliberator(self._asker, self._materials, name, self._deadline_s)

    def deliberate(
        self, question: Deliberate, snapshot: Snapshot, lessons: Sequence[Lesson]
    ) -> Coroutine[Any, Any, Resolution]:
        """Come to a resolution, with the prompts of this moment; nothing that a model or a prompt does raises."""
        return self._deliberate(self._deliberator, question, snapshot, lessons)

    async def _deliberate(
        self, deliberator: Deliberator, question: Deliberate, snapshot: Snapshot, lessons: Sequence[Lesson]
    ) -> Resolution:
        self._shown[question.snapshot] = snapshot
        try:
            return await deliberator.deliberate(snapshot, lessons)
        finally:
            del self._shown[question.snapshot]

    def counts(self) -> dict[str, Any]:
        """What came of all calls."""
        return asdict(self._asker.counts)

    async def close(self) -> None:
        """End what waits, and let go of the server."""
        await self._asker.close()
