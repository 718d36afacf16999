"""The slow plane as a run sees it: opened before the record, kept in it, asked, summed up, closed."""

import contextlib
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import msgspec

from autohedge.config import Settings
from autohedge.core.errors import Misconfigured, Unavailable
from autohedge.core.events import Decision, Deliberate, PromptsChanged
from autohedge.core.log import warn
from autohedge.core.snapshots import Snapshot
from autohedge.graph.counsel import Loop, VirtualCounsel
from autohedge.graph.deliberator import Resolution
from autohedge.graph.materials import Sources
from autohedge.graph.mind import Mind, Ready
from autohedge.graph.worker import NOTHING, Worker
from autohedge.llm.outcome import Call
from autohedge.llm.policy import pause
from autohedge.llm.spending import Spent
from autohedge.llm.transcript import Transcript, lines_of
from autohedge.prompts.edits import Edits
from autohedge.tools.lessons import Lesson

LOOK_S = 0.5
Keep = Callable[[bytes, str], str]
Opening = Callable[[Settings, Sources], Coroutine[Any, Any, Mind]]
ON_TAPE: Opening = partial(Mind.open, on_tape=True)
Hear = Callable[[Callable[[int], Decision | PromptsChanged]], None]


class Plane(Protocol):
    """A slow plane, wherever it lives."""

    def keep(self, keep: Keep) -> dict[str, Any]:
        """What the genesis says of it; its files go through `keep`, which names them."""
        ...

    def remember(self, lessons: Sequence[Lesson]) -> None:
        """Take lessons over from before a restart."""
        ...

    def report(self) -> dict[str, Any]:
        """Who answered, and what came of all calls."""
        ...

    def close(self) -> None:
        """Let go of everything."""
        ...


def _genesis(ready: Ready, sources: Sources, keep: Keep) -> dict[str, Any]:
    return _who(ready) | sources.keep(keep)


def _who(ready: Ready) -> dict[str, Any]:
    return {"provider": ready.provider, "model": ready.model, "server": ready.server}


def _untimed(call: Call) -> Call:
    """A call without how long it waited in this process, which is no part of a tape's time."""
    return msgspec.structs.replace(call, queue_ms=0.0)


class VirtualPlane:
    """In the process of the run, for virtual time and for seeded runs on a clock.

    Prompts edited on the way are not looked at: the same command must give the same record.
    """

    def __init__(
        self, settings: Settings, sources: Sources, opening: Opening = ON_TAPE, spent: Spent = NOTHING
    ) -> None:
        """Let the mind that `opening` makes answer, in a run that has `spent` so much already.

        Raises Misconfigured for a prompt, a file or a provider that cannot work, Unavailable without a server.
        """
        self._settings = settings
        self._sources = sources
        self._loop = Loop()
        self._lessons: tuple[Lesson, ...] = ()
        self._transcripts = contextlib.ExitStack()
        try:
            self._mind: Mind = self._loop.run(opening(settings, sources))
        except BaseException:
            self._loop.close()
            raise
        self._mind.spent_before(spent)
        self.ready = self._mind.ready

    def keep(self, keep: Keep) -> dict[str, Any]:
        """What the genesis says of this plane."""
        return _genesis(self.ready, self._sources, keep)

    def remember(self, lessons: Sequence[Lesson]) -> None:
        """Take lessons over from before a restart; to be done before there is a counsel."""
        self._lessons = tuple(lessons)

    def counsel(self, path: Path, first: Callable[[float], None] = lambda _: None) -> VirtualCounsel:
        """What answers the run's questions, writing down at `path` what was said."""
        transcript = self._transcripts.enter_context(contextlib.closing(Transcript(path)))

        def write(question: Deliberate, snapshot: Snapshot, resolution: Resolution) -> tuple[str, ...]:
            calls = [_untimed(call) for call in resolution.calls]
            said = resolution.outcome, resolution.failure, resolution.kept
            try:
                return transcript.append(lines_of(question.number, snapshot, calls, *said))
            except OSError as error:
                raise Unavailable(f"cannot write {path}: {error.strerror}; make room") from None

        return VirtualCounsel(self._mind, self._settings, self._loop, write, first, self._lessons)

    def report(self) -> dict[str, Any]:
        """Who answered, and what came of all calls."""
        return _who(self.ready) | {"calls": self._mind.counts()}

    def close(self) -> None:
        """Let go of the server, the loop and its thread; close the transcript."""
        self._transcripts.close()
        self._loop.run(self._mind.close())
        self._loop.close()


class WorkerPlane:
    """In a process of its own, for runs on a clock.

    Prompts may be edited meanwhile. A question is rendered from those that were in force when it was asked:
    the order in the journal decides, however late it is answered.
    """

    def __init__(
        self, settings: Settings, sources: Sources, edits: Edits | None = None, spent: Spent = NOTHING
    ) -> None:
        """Look for `edits` beside those of the moment, in a run that has `spent` so much already.

        Raises Misconfigured for what cannot work, Unavailable for a worker or a server that does not come up.
        """
        self._edits = edits or Edits()
        self._edited: Mapping[str, tuple[str, str]] = {}
        self.worker = Worker(settings, sources, spent=spent)

    def keep(self, keep: Keep) -> dict[str, Any]:
        """What the genesis says of this plane."""
        return _genesis(self.worker.ready, self.worker.sources, keep)

    def remember(self, lessons: Sequence[Lesson]) -> None:
        """Take lessons over from before a restart."""
        self.worker.lessons.extend(lessons)

    async def watch(
        self, asks: Callable[[], bool], keep: Keep, hear: Hear, tell: Callable[[str], None]
    ) -> None:
        """Look for edits twice a second until cancelled, as long as the run `asks` questions."""
        while True:
            await pause(LOOK_S)
            if asks():
                self.look(keep, hear, tell)

    def look(self, keep: Keep, hear: Hear, tell: Callable[[str], None]) -> None:
        """Find edits of the prompts: store their files, then let the run record them; `tell` what is not sound.

        What is recorded comes back to `change`.
        """
        try:
            self._edited = self._edits.look(self.worker.sources.prompts)
            names = {name: keep(text.encode(), ".md") for name, (text, _) in self._edited.items()}
        except (Misconfigured, Unavailable) as error:
            tell(f"[AGENT] {error}; prompts stay as they were, save again")
            return
        if names:
            hear(lambda at_ns: PromptsChanged(at_ns, names))

    def change(self, changed: PromptsChanged) -> None:
        """Ask from now on with the prompts of the last look, which is in the journal now."""
        self.worker.edit({name: self._edited[name] for name in changed.prompts})

    async def serve(self, path: Path, hear: Hear) -> None:
        """Take the worker's answers into the run until cancelled, writing down at `path` what was said.

        An answer that the disk does not take is none: what is not recorded counts for nothing.
        """
        transcript = Transcript(path)

        def take(question: Deliberate, snapshot: Snapshot, resolution: Resolution) -> None:
            said = resolution.outcome, resolution.failure, resolution.kept
            try:
                calls = transcript.append(lines_of(question.number, snapshot, resolution.calls, *said))
            except OSError as error:
                warn(f"an answer does not count, {path} cannot be written: {error.strerror}; make room")
                return

            def decision(at_ns: int) -> Decision:
                if lesson := resolution.lesson(at_ns):
                    self.worker.lessons.append(lesson)
                return resolution.decision(question, at_ns, calls)

            hear(decision)

        with contextlib.closing(transcript):
            await self.worker.serve(take)

    def report(self) -> dict[str, Any]:
        """Who answered, and how often it was asked."""
        calls = msgspec.structs.asdict(self.worker.spent) | {"kept": self.worker.kept}
        return _who(self.worker.ready) | {"calls": calls, "worker_deaths": self.worker.deaths}

    def close(self) -> None:
        """End the worker."""
        self.worker.close()
