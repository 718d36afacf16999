"""The agents runtime of a run, in the run's process or in a worker process."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import msgspec

from autohedge.config import Settings, knowledge_cutoffs
from autohedge.config.sections import FORMULAS, NO_MODELS
from autohedge.core.errors import Misconfigured, Unavailable
from autohedge.core.events import Decision, DeliberationRequested, PromptsChanged
from autohedge.core.log import warn
from autohedge.core.results import AgentsSummary
from autohedge.core.snapshots import Snapshot
from autohedge.graph.prompt_builder import PromptFiles
from autohedge.graph.result_recording import RecordedResult, record_result
from autohedge.graph.runner import DeliberationResult
from autohedge.graph.service import BackendInfo, DeliberationService
from autohedge.graph.virtual_time import LoopThread, Record, SimulatedDecisions
from autohedge.graph.worker import Worker
from autohedge.llm.policy import sleep
from autohedge.llm.transcript import Transcript, TranscriptIndex
from autohedge.llm.usage import NO_USAGE, TokenUsage
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

    def summary(self) -> AgentsSummary:
        """Returns the backend, and counts of all calls."""
        ...

    def close(self) -> None:
        """Releases all resources."""
        ...


def _genesis(ready: BackendInfo, sources: PromptFiles, store_file: StoreFile) -> dict[str, Any]:
    backend = {"provider": ready.provider, "model": ready.model, "server": ready.server}
    return backend | sources.store_files(store_file)


def _summary(
    settings: Settings, ready: BackendInfo, calls: dict[str, Any], worker_deaths: int | None = None
) -> AgentsSummary:
    cutoffs = {} if ready.provider in FORMULAS else knowledge_cutoffs(settings, ready.model)
    return AgentsSummary(
        ready.provider, ready.model, ready.server, calls, worker_deaths, knowledge_cutoffs=cutoffs or None
    )


def _untimed(result: DeliberationResult) -> DeliberationResult:
    """Returns a result without queueing times, which are real time and would differ in each run on a tape."""
    calls = tuple(msgspec.structs.replace(call, queue_ms=0.0) for call in result.calls)
    return msgspec.structs.replace(result, calls=calls)


def _unrecorded(
    question: DeliberationRequested, snapshot: Snapshot, result: DeliberationResult
) -> RecordedResult:
    """Takes a result of a run in memory, which has no transcript for its decision to name."""
    return RecordedResult(question, result, ())


class _TapeTranscript:
    """The transcript of a run on a tape, which cannot go on while it cannot be written.

    Without `synced`, a power failure can lose answers that the run already acted on.
    """

    def __init__(self, path: Path, recorded: TranscriptIndex | None, *, synced: bool) -> None:
        self._path, self._recorded, self._synced = path, recorded, synced
        self._transcript = Transcript(path)

    def record(
        self, question: DeliberationRequested, snapshot: Snapshot, result: DeliberationResult
    ) -> RecordedResult:
        """Records a result. Raises Unavailable if it cannot be written."""
        recorded = self._recorded.lines(question.number) if self._recorded else []
        try:
            written = record_result(self._transcript, question, snapshot, _untimed(result), recorded)
            if self._synced:
                self._transcript.sync()
            self._transcript.cut()
        except OSError as error:
            raise Unavailable(f"cannot write {self._path}: {error.strerror}; make room") from None
        return written

    def close(self) -> None:
        """Closes the file."""
        self._transcript.close()


class _AnswerDelivery:
    """Records the worker's answers at `path`, and injects each decision once it is synced.

    An answer that cannot be written is dropped: a decision without a record must not take effect.
    """

    def __init__(self, path: Path, inject: Inject, lessons: list[Lesson]) -> None:
        self._path, self._inject, self._lessons = path, inject, lessons
        self._transcript, self._unsynced = Transcript(path), asyncio.Queue[RecordedResult]()

    def take(self, question: DeliberationRequested, snapshot: Snapshot, result: DeliberationResult) -> None:
        """Records an answer that has arrived."""
        try:
            self._unsynced.put_nowait(record_result(self._transcript, question, snapshot, result))
        except OSError as error:
            self._warn_dropped(error)

    async def inject_synced(self) -> None:
        """Injects decisions in their order until cancelled; syncs in a thread, so that quotes do not wait."""
        while True:
            recorded = await self._unsynced.get()
            try:
                await asyncio.to_thread(self._transcript.sync)
            except OSError as error:
                self._warn_dropped(error)
            else:
                self._inject(partial(recorded.decision, lessons=self._lessons))
            await self._cut()

    async def _cut(self) -> None:
        """Moves the lines of a long newest part into a segment, which is compressed in a thread."""
        if size := self._transcript.size_to_cut():
            with contextlib.suppress(OSError):  # a disk without room only delays it
                after = await asyncio.to_thread(self._transcript.write_segment, size)
                self._transcript.start_part(size, after)

    def close(self) -> None:
        """Closes the transcript."""
        self._transcript.close()

    def _warn_dropped(self, error: OSError) -> None:
        warn(f"an answer is dropped, {self._path} cannot be written: {error.strerror}; make room")


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
        self, path: Path | None, first: Callable[[float], None] = lambda _: None
    ) -> SimulatedDecisions:
        """Returns the source of the run's decisions, which writes the transcript at `path`, or none for None.

        Answers of a model are synced before their decision is known. Those that need no model are not: a run
        that lost them is quickly repeated.
        """
        record = self._open_transcript(path) if path else _unrecorded
        return SimulatedDecisions(self._service, self._settings, self._loop, record, first, self._lessons)

    def _open_transcript(self, path: Path) -> Record:
        synced = self.ready.server not in NO_MODELS
        transcript = _TapeTranscript(path, self._recorded, synced=synced)
        self._transcripts.enter_context(contextlib.closing(transcript))
        return transcript.record

    def summary(self) -> AgentsSummary:
        """Returns the backend, and counts of all calls."""
        return _summary(self._settings, self.ready, self._service.counts())

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
        self._settings, self._edits = settings, edits or PromptWatcher()
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

        An answer that cannot be written is dropped. Each is synced before its decision is journaled.
        """
        with contextlib.closing(_AnswerDelivery(path, inject, self.worker.lessons)) as delivery:
            await asyncio.gather(self.worker.serve(delivery.take), delivery.inject_synced())

    def summary(self) -> AgentsSummary:
        """Returns the backend, its usage, and the number of workers that died."""
        calls = msgspec.structs.asdict(self.worker.spent) | {"cache": self.worker.cache_counts}
        del calls["cost_usd"]  # partly an estimate: the figures of the deliberations have what was reported
        return _summary(self._settings, self.worker.ready, calls, self.worker.deaths)

    def close(self) -> None:
        """Ends the worker."""
        self.worker.close()
