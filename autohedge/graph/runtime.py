"""The agents runtime of a run, in the run's process or in a worker process."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import msgspec

from autohedge.config import Settings
from autohedge.config.sections import NO_MODELS
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
from autohedge.llm.transcript import Transcript, TranscriptEntry, TranscriptIndex, lines_of, request_bytes
from autohedge.llm.usage import TokenUsage
from autohedge.prompts.hot_reload import PromptWatcher
from autohedge.tools.lessons import Lesson

# Short enough for a person who waits after saving a prompt, and cheap.
LOOK_S = 0.5
StoreFile = Callable[[bytes, str], str]
ServiceFactory = Callable[[Settings, PromptFiles], Coroutine[Any, Any, DeliberationService]]
ON_TAPE: ServiceFactory = partial(DeliberationService.open, on_tape=True)
Inject = Callable[[Callable[[int], Decision | PromptsChanged]], None]


class AgentRuntime(Protocol):
    """The interface of an agents runtime, in whatever process it runs."""

    def manifest(self, store_file: StoreFile) -> dict[str, Any]:
        """Returns its part of the genesis; stores its files with `store_file`, which returns their names."""
        ...

    def restore_lessons(self, lessons: Sequence[Lesson]) -> None:
        """Takes over the lessons from before a restart."""
        ...

    def summary(self) -> dict[str, Any]:
        """Returns the backend, and counts of all calls."""
        ...

    def close(self) -> None:
        """Releases all resources."""
        ...


def _genesis(ready: BackendInfo, sources: PromptFiles, store_file: StoreFile) -> dict[str, Any]:
    return _who(ready) | sources.store_files(store_file)


def _who(ready: BackendInfo) -> dict[str, Any]:
    return {"provider": ready.provider, "model": ready.model, "server": ready.server}


async def _inject_synced(
    transcript: Transcript, path: Path, unsynced: "asyncio.Queue[Callable[[int], Decision]]", inject: Inject
) -> None:
    """Injects decisions in their order until cancelled, each after its lines are synced."""
    while True:
        decision = await unsynced.get()
        try:
            await asyncio.to_thread(transcript.sync)
        except OSError as error:
            _warn_dropped(path, error)
        else:
            inject(decision)


def _warn_dropped(path: Path, error: OSError) -> None:
    warn(f"an answer is dropped, {path} cannot be written: {error.strerror}; make room")


def _untimed(call: Call) -> Call:
    """Returns a call without its queueing time, which is real time and would differ in each run on a tape."""
    return msgspec.structs.replace(call, queue_ms=0.0)


def _require_same(recorded: list[TranscriptEntry], lines: list[TranscriptEntry]) -> None:
    """Raises Misconfigured unless the recorded lines have the first of the requests that were made now."""
    if list(map(request_bytes, recorded)) != list(map(request_bytes, lines[: len(recorded)])):
        raise Misconfigured(
            f"deliberation {recorded[0].deliberation} asks otherwise than recorded, as after an upgrade; "
            "restart with the version that recorded the run, or start a new run"
        )


class InProcessRuntime:
    """The agents runtime in the run's own process, for virtual time and for seeded runs on a clock.

    Edits of prompts during the run are ignored, since the same command must give the same record.
    """

    def __init__(
        self,
        settings: Settings,
        sources: PromptFiles,
        open_service: ServiceFactory = ON_TAPE,
        spent: TokenUsage = NO_USAGE,
        recorded: TranscriptIndex | None = None,
    ) -> None:
        """Opens a service with `open_service`, in a run that has used `spent` so far.

        `recorded` has the lines that the transcript of a continued run has already.

        Raises Misconfigured for an invalid prompt, file or provider, and Unavailable if there is no server.
        """
        self._settings = settings
        self._sources = sources
        self._recorded = recorded
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
        """Returns the runtime's part of the genesis."""
        return _genesis(self.ready, self._sources, store_file)

    def restore_lessons(self, lessons: Sequence[Lesson]) -> None:
        """Takes over the lessons from before a restart; must be called before `decision_source`."""
        self._lessons = tuple(lessons)

    def decision_source(
        self, path: Path, first: Callable[[float], None] = lambda _: None
    ) -> SimulatedDecisions:
        """Returns the source of the run's decisions, which writes the transcript at `path`.

        Answers of a model are synced before their decision is known. Those that need no model are not: a run
        that lost them is quickly repeated.
        """
        synced = self.ready.server not in NO_MODELS
        transcript = self._transcripts.enter_context(contextlib.closing(Transcript(path)))

        def write(
            question: DeliberationRequested, snapshot: Snapshot, result: DeliberationResult
        ) -> tuple[str, ...]:
            calls = [_untimed(call) for call in result.calls]
            result_fields = result.outcome, result.failure, result.cached_verdict
            lines = lines_of(question.number, snapshot, calls, *result_fields)
            recorded = self._recorded.lines(question.number) if self._recorded else []
            _require_same(recorded, lines)
            try:
                written = transcript.append(lines[len(recorded) :])
                if synced:
                    transcript.sync()
            except OSError as error:
                raise Unavailable(f"cannot write {path}: {error.strerror}; make room") from None
            return (*(line.hash for line in recorded), *written)

        return SimulatedDecisions(self._service, self._settings, self._loop, write, first, self._lessons)

    def summary(self) -> dict[str, Any]:
        """Returns the backend, and counts of all calls."""
        return _who(self.ready) | {"calls": self._service.counts()}

    def close(self) -> None:
        """Closes the transcript, the service, the loop and its thread."""
        self._transcripts.close()
        self._loop.run(self._service.close())
        self._loop.close()


class WorkerRuntime:
    """The agents runtime in a worker process, for runs on a clock.

    Prompts may be edited during the run. A request is rendered from the prompts that were in force when it
    was made: the order in the journal decides, however late the answer is.
    """

    def __init__(
        self,
        settings: Settings,
        sources: PromptFiles,
        edits: PromptWatcher | None = None,
        spent: TokenUsage = NO_USAGE,
    ) -> None:
        """Starts a worker, in a run that has used `spent` so far; `edits` watches the prompt files.

        Raises Misconfigured for invalid settings, and Unavailable if the worker or its server does not start.
        """
        self._edits = edits or PromptWatcher()
        self._edited: Mapping[str, tuple[str, str]] = {}
        self.worker = Worker(settings, sources, spent=spent)

    def manifest(self, store_file: StoreFile) -> dict[str, Any]:
        """Returns the runtime's part of the genesis."""
        return _genesis(self.worker.ready, self.worker.sources, store_file)

    def restore_lessons(self, lessons: Sequence[Lesson]) -> None:
        """Takes over the lessons from before a restart."""
        self.worker.lessons.extend(lessons)

    async def watch_prompts(
        self,
        is_running: Callable[[], bool],
        store_file: StoreFile,
        inject: Inject,
        notify: Callable[[str], None],
    ) -> None:
        """Polls for edits twice a second until cancelled, whenever `is_running` returns True."""
        while True:
            await sleep(LOOK_S)
            if is_running():
                self.poll_prompts(store_file, inject, notify)

    def poll_prompts(self, store_file: StoreFile, inject: Inject, notify: Callable[[str], None]) -> None:
        """Stores the files of edited prompts and injects the change into the run.

        Invalid edits are reported to `notify`, and the prompts stay as they are. The run calls
        `apply_prompts` once the change is in the journal.
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
        """Uses the prompts of the last poll from now on; their change is in the journal."""
        self.worker.update_prompts({name: self._edited[name] for name in changed.prompts})

    async def serve(self, path: Path, inject: Inject) -> None:
        """Injects the worker's answers into the run until cancelled, and writes the transcript at `path`.

        An answer that cannot be written is dropped: a decision without a record must not take effect. The
        answer is synced before its decision is journaled, in a thread, so that quotes do not wait for the disk.
        """
        transcript, unsynced = Transcript(path), asyncio.Queue[Callable[[int], Decision]]()

        def take(question: DeliberationRequested, snapshot: Snapshot, result: DeliberationResult) -> None:
            result_fields = result.outcome, result.failure, result.cached_verdict
            try:
                calls = transcript.append(lines_of(question.number, snapshot, result.calls, *result_fields))
            except OSError as error:
                _warn_dropped(path, error)
                return

            def decision(at_ns: int) -> Decision:
                if lesson := result.lesson(at_ns):
                    self.worker.lessons.append(lesson)
                return result.decision(question, at_ns, calls)

            unsynced.put_nowait(decision)

        with contextlib.closing(transcript):
            await asyncio.gather(self.worker.serve(take), _inject_synced(transcript, path, unsynced, inject))

    def summary(self) -> dict[str, Any]:
        """Returns the backend, its usage, and the number of workers that died."""
        calls = msgspec.structs.asdict(self.worker.spent) | {"kept": self.worker.cache_counts}
        return _who(self.worker.ready) | {"calls": calls, "worker_deaths": self.worker.deaths}

    def close(self) -> None:
        """Ends the worker."""
        self.worker.close()
