"""The slow plane as a run sees it: opened before the record, kept in it, asked, summed up, closed."""

import contextlib
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import msgspec

from autohedge.config import Settings
from autohedge.core.errors import Misconfigured, Unavailable
from autohedge.core.events import Decision, DeliberationRequested, PromptsChanged
from autohedge.core.log import warn
from autohedge.core.snapshots import Snapshot
from autohedge.graph.prompt_builder import PromptFiles
from autohedge.graph.runner import DeliberationResult
from autohedge.graph.service import BackendInfo, DeliberationService
from autohedge.graph.virtual_time import LoopThread, SimulatedDecisions
from autohedge.graph.worker import NO_USAGE, Worker
from autohedge.llm.outcome import Call
from autohedge.llm.policy import sleep
from autohedge.llm.transcript import Transcript, lines_of
from autohedge.llm.usage import TokenUsage
from autohedge.prompts.hot_reload import PromptWatcher
from autohedge.tools.lessons import Lesson

LOOK_S = 0.5
StoreFile = Callable[[bytes, str], str]
ServiceFactory = Callable[[Settings, PromptFiles], Coroutine[Any, Any, DeliberationService]]
ON_TAPE: ServiceFactory = partial(DeliberationService.open, on_tape=True)
Inject = Callable[[Callable[[int], Decision | PromptsChanged]], None]


class AgentRuntime(Protocol):
    """A slow plane, wherever it lives."""

    def manifest(self, store_file: StoreFile) -> dict[str, Any]:
        """What the genesis says of it; its files go through `store_file`, which names them."""
        ...

    def restore_lessons(self, lessons: Sequence[Lesson]) -> None:
        """Take lessons over from before a restart."""
        ...

    def summary(self) -> dict[str, Any]:
        """Who answered, and what came of all calls."""
        ...

    def close(self) -> None:
        """Let go of everything."""
        ...


def _genesis(ready: BackendInfo, sources: PromptFiles, store_file: StoreFile) -> dict[str, Any]:
    return _who(ready) | sources.store_files(store_file)


def _who(ready: BackendInfo) -> dict[str, Any]:
    return {"provider": ready.provider, "model": ready.model, "server": ready.server}


def _untimed(call: Call) -> Call:
    """A call without how long it waited in this process, which is no part of a tape's time."""
    return msgspec.structs.replace(call, queue_ms=0.0)


class InProcessRuntime:
    """In the process of the run, for virtual time and for seeded runs on a clock.

    Prompts edited on the way are not looked at: the same command must give the same record.
    """

    def __init__(
        self,
        settings: Settings,
        sources: PromptFiles,
        open_service: ServiceFactory = ON_TAPE,
        spent: TokenUsage = NO_USAGE,
    ) -> None:
        """Let the mind that `opening` makes answer, in a run that has `spent` so much already.

        Raises Misconfigured for a prompt, a file or a provider that cannot work, Unavailable without a server.
        """
        self._settings = settings
        self._sources = sources
        self._loop = LoopThread()
        self._lessons: tuple[Lesson, ...] = ()
        self._transcripts = contextlib.ExitStack()
        try:
            self._service: DeliberationService = self._loop.run(open_service(settings, sources))
        except BaseException:
            self._loop.close()
            raise
        self._service.carry_usage(spent)
        self.ready = self._service.ready

    def manifest(self, store_file: StoreFile) -> dict[str, Any]:
        """What the genesis says of this plane."""
        return _genesis(self.ready, self._sources, store_file)

    def restore_lessons(self, lessons: Sequence[Lesson]) -> None:
        """Take lessons over from before a restart; to be done before there is a counsel."""
        self._lessons = tuple(lessons)

    def decision_source(
        self, path: Path, first: Callable[[float], None] = lambda _: None
    ) -> SimulatedDecisions:
        """What answers the run's questions, writing down at `path` what was said."""
        transcript = self._transcripts.enter_context(contextlib.closing(Transcript(path)))

        def write(
            question: DeliberationRequested, snapshot: Snapshot, result: DeliberationResult
        ) -> tuple[str, ...]:
            calls = [_untimed(call) for call in result.calls]
            result_fields = result.outcome, result.failure, result.cached_verdict
            try:
                return transcript.append(lines_of(question.number, snapshot, calls, *result_fields))
            except OSError as error:
                raise Unavailable(f"cannot write {path}: {error.strerror}; make room") from None

        return SimulatedDecisions(self._service, self._settings, self._loop, write, first, self._lessons)

    def summary(self) -> dict[str, Any]:
        """Who answered, and what came of all calls."""
        return _who(self.ready) | {"calls": self._service.counts()}

    def close(self) -> None:
        """Let go of the server, the loop and its thread; close the transcript."""
        self._transcripts.close()
        self._loop.run(self._service.close())
        self._loop.close()


class WorkerRuntime:
    """In a process of its own, for runs on a clock.

    Prompts may be edited meanwhile. A question is rendered from those that were in force when it was asked:
    the order in the journal decides, however late it is answered.
    """

    def __init__(
        self,
        settings: Settings,
        sources: PromptFiles,
        edits: PromptWatcher | None = None,
        spent: TokenUsage = NO_USAGE,
    ) -> None:
        """Look for `edits` beside those of the moment, in a run that has `spent` so much already.

        Raises Misconfigured for what cannot work, Unavailable for a worker or a server that does not come up.
        """
        self._edits = edits or PromptWatcher()
        self._edited: Mapping[str, tuple[str, str]] = {}
        self.worker = Worker(settings, sources, spent=spent)

    def manifest(self, store_file: StoreFile) -> dict[str, Any]:
        """What the genesis says of this plane."""
        return _genesis(self.worker.ready, self.worker.sources, store_file)

    def restore_lessons(self, lessons: Sequence[Lesson]) -> None:
        """Take lessons over from before a restart."""
        self.worker.lessons.extend(lessons)

    async def watch_prompts(
        self,
        is_running: Callable[[], bool],
        store_file: StoreFile,
        inject: Inject,
        notify: Callable[[str], None],
    ) -> None:
        """Look for edits twice a second until cancelled, as long as the run `is_running` questions."""
        while True:
            await sleep(LOOK_S)
            if is_running():
                self.poll_prompts(store_file, inject, notify)

    def poll_prompts(self, store_file: StoreFile, inject: Inject, notify: Callable[[str], None]) -> None:
        """Find edits of the prompts: store their files, then let the run record them; `notify` what is not sound.

        What is recorded comes back to `apply_prompts`.
        """
        try:
            self._edited = self._edits.poll(self.worker.sources.prompts)
            names = {name: store_file(text.encode(), ".md") for name, (text, _) in self._edited.items()}
        except (Misconfigured, Unavailable) as error:
            notify(f"[AGENT] {error}; prompts stay as they were, save again")
            return
        if names:
            inject(lambda at_ns: PromptsChanged(at_ns, names))

    def apply_prompts(self, changed: PromptsChanged) -> None:
        """Ask from now on with the prompts of the last look, which is in the journal now."""
        self.worker.update_prompts({name: self._edited[name] for name in changed.prompts})

    async def serve(self, path: Path, inject: Inject) -> None:
        """Take the worker's answers into the run until cancelled, writing down at `path` what was said.

        An answer that the disk does not take is none: what is not recorded counts for nothing.
        """
        transcript = Transcript(path)

        def take(question: DeliberationRequested, snapshot: Snapshot, result: DeliberationResult) -> None:
            result_fields = result.outcome, result.failure, result.cached_verdict
            try:
                calls = transcript.append(lines_of(question.number, snapshot, result.calls, *result_fields))
            except OSError as error:
                warn(f"an answer does not count, {path} cannot be written: {error.strerror}; make room")
                return

            def decision(at_ns: int) -> Decision:
                if lesson := result.lesson(at_ns):
                    self.worker.lessons.append(lesson)
                return result.decision(question, at_ns, calls)

            inject(decision)

        with contextlib.closing(transcript):
            await self.worker.serve(take)

    def summary(self) -> dict[str, Any]:
        """Who answered, and how often it was asked."""
        calls = msgspec.structs.asdict(self.worker.spent) | {"kept": self.worker.cache_counts}
        return _who(self.worker.ready) | {"calls": calls, "worker_deaths": self.worker.deaths}

    def close(self) -> None:
        """End the worker."""
        self.worker.close()
