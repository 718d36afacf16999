"""The agents runtime in a worker process, connected to the run by a socket pair.

In the engine's process its work would delay quotes. A worker that freezes or is killed only closes gates. A
dead worker is started again, after growing pauses. Each request is sent after the prompts that were in force
when it was made, whichever process answers it.
"""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import msgspec

from autohedge import config
from autohedge.config import Settings
from autohedge.core.clock import NEVER
from autohedge.core.errors import AutoHedgeError, Misconfigured, Unavailable
from autohedge.core.events import Decision, DeliberationRequested
from autohedge.core.snapshots import Snapshot
from autohedge.graph.prompt_builder import PromptFiles
from autohedge.graph.runner import DeliberationResult, abstention
from autohedge.graph.service import BackendInfo, DeliberationService
from autohedge.journal.chain import closing_on_error
from autohedge.llm.prices import PriceTable
from autohedge.llm.usage import NO_USAGE, TokenUsage, total_usage
from autohedge.tools.lessons import Lesson, drop_expired

# The worker imports LangGraph, loads headlines and may measure a model before it is ready.
START_S = 60.0
FRAME_MAX = 1 << 24
# A worker that leaves so many bytes unread is frozen.
UNREAD_MAX = 1 << 22
PAUSES_S = (0.0, 1.0, 5.0, 30.0)
NICE = 10  # the engine has priority where processors are scarce


class WorkerInit(msgspec.Struct, frozen=True, tag=True):
    """The first message to a worker: resolved settings, prompt files, and the usage of the run so far."""

    settings: dict[str, Any]
    sources: PromptFiles
    spent: TokenUsage = TokenUsage()


class Question(msgspec.Struct, frozen=True, tag=True):
    """A deliberation request with its snapshot and lessons."""

    question: DeliberationRequested
    snapshot: Snapshot
    lessons: tuple[Lesson, ...]


class PromptsUpdated(msgspec.Struct, frozen=True, tag=True):
    """All prompts for the requests after this message."""

    prompts: dict[str, tuple[str, str]]


class Answer(msgspec.Struct, frozen=True, tag=True):
    """The worker's answer to request `number`; `cache_counts` are the cache lookups so far."""

    number: int
    result: DeliberationResult
    cache_counts: dict[str, int] = {}


_encode = msgspec.msgpack.Encoder().encode
_decode_answer = msgspec.msgpack.Decoder(BackendInfo | Answer).decode
_decode_init = msgspec.msgpack.Decoder(WorkerInit).decode
_decode_request = msgspec.msgpack.Decoder(Question | PromptsUpdated).decode


async def read_frame(reader: asyncio.StreamReader) -> bytes | None:
    """Returns the next frame; None at the end, and for a frame that is too long."""
    try:
        size = int.from_bytes(await reader.readexactly(4), "big")
        return await reader.readexactly(size) if size <= FRAME_MAX else None
    except (asyncio.IncompleteReadError, ConnectionError):
        return None


def frame(message: Any) -> bytes:
    """Returns an encoded message with its length in front."""
    body = _encode(message)
    return len(body).to_bytes(4, "big") + body


class OnResult(Protocol):
    """Receives a result for the run: writes the transcript, injects the decision, keeps the lesson."""

    def __call__(
        self, question: DeliberationRequested, snapshot: Snapshot, result: DeliberationResult
    ) -> None:
        """Receives one result."""
        ...


class Process(Protocol):
    """A worker's process; `subprocess.Popen` has this interface."""

    @property
    def pid(self) -> int:
        """The process id."""
        ...

    def kill(self) -> None:
        """Kills the process."""
        ...

    def terminate(self) -> None:
        """Requests the process to end."""
        ...

    def wait(self, timeout: float | None = None) -> int:
        """Waits for the end of the process. Raises subprocess.TimeoutExpired."""
        ...


def spawn(theirs: socket.socket) -> Process:
    """Starts a worker that inherits its end of the socket pair."""
    return subprocess.Popen(  # noqa: S603  our own interpreter and module
        [sys.executable, "-m", "autohedge.graph.worker", str(theirs.fileno())],
        pass_fds=[theirs.fileno()],
        stdin=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C in the terminal reaches the run only, which then ends the worker
    )


class _PendingRequest(NamedTuple):
    """A request without an answer yet, and the prompt files that it is rendered from."""

    question: DeliberationRequested
    snapshot: Snapshot
    sources: PromptFiles


class Worker:
    """The run's side: sends requests, receives answers, and restarts the process if it dies."""

    next_due_ns = NEVER

    def __init__(
        self,
        settings: Settings,
        sources: PromptFiles,
        launch: Callable[[socket.socket], Process] = spawn,
        pauses_s: Sequence[float] = PAUSES_S,
        spent: TokenUsage = NO_USAGE,
    ) -> None:
        """Raises Misconfigured if no backend can answer, Unavailable if the worker does not start."""
        self._launch, self._pauses_s = launch, pauses_s
        self._settings = config.to_plain(settings)
        self.sources = self._sent_sources = sources
        self._pending: dict[int, _PendingRequest] = {}
        self.deaths = 0
        self._writer: asyncio.StreamWriter | None = None
        self.lessons: list[Lesson] = []
        self.cache_counts: dict[str, int] = {}
        self.spent = spent
        self._start()
        self.ready = self._wait_until_ready()
        self._prices = PriceTable.of(settings, self.ready.provider, self.ready.model)

    @property
    def waiting(self) -> int:
        """The number of requests without an answer."""
        return len(self._pending)

    @property
    def pid(self) -> int:
        """The process id of the current worker."""
        return self._process.pid

    def request(self, question: DeliberationRequested, snapshot: Snapshot) -> None:
        """Sends a request without waiting; if the worker is dead, `serve` sends it to the next one.

        An older request of the same symbol and kind is dropped: the engine has given it up. A worker that no
        longer reads is killed, and `serve` replaces it.
        """
        for number, (older, *_) in list(self._pending.items()):
            if (older.symbol, older.kind) == (question.symbol, question.kind):
                del self._pending[number]
        self._pending[question.number] = pending = _PendingRequest(question, snapshot, self.sources)
        if self._writer and not self._writer.is_closing():
            self._send(pending, self._writer)
            if self._writer.transport.get_write_buffer_size() > UNREAD_MAX:
                self._process.kill()

    def update_prompts(self, prompts: Mapping[str, tuple[str, str]]) -> None:
        """Uses these prompts for later requests; the next request sends them to the worker."""
        self.sources = self.sources.with_prompts(prompts)

    def _send(self, pending: _PendingRequest, writer: asyncio.StreamWriter) -> None:
        """Sends a request, after its prompts if the worker has others."""
        if pending.sources is not self._sent_sources:
            writer.write(frame(PromptsUpdated(pending.sources.prompts)))
            self._sent_sources = pending.sources
        drop_expired(self.lessons, pending.question.at_ns)
        writer.write(frame(Question(pending.question, pending.snapshot, tuple(self.lessons))))

    def poll(self, by_ns: int) -> Decision | None:  # noqa: ARG002
        """Returns None: `serve` injects answers when they arrive."""
        return None

    async def serve(self, take: OnResult) -> None:
        """Receives answers until cancelled; starts a new process when the worker dies."""
        while True:
            await self._connect()
            await self._listen(take)
            # Not sent again: the engine gets an abstention at once, and decides itself when to ask again.
            for number in list(self._pending):
                pending = self._pending.pop(number)
                take(pending.question, pending.snapshot, abstention("worker_died"))
            self.deaths += 1
            self._process.kill()
            self._process.wait()
            await self._restart()

    async def _restart(self) -> None:
        """Starts a new process; a failed start counts as a death, which lengthens the next pause."""
        while True:
            await self._pause()
            try:
                self._start()
            except OSError:
                self.deaths += 1
            else:
                return

    async def _pause(self) -> None:
        event, pause_s = asyncio.Event(), self._pauses_s[min(self.deaths, len(self._pauses_s)) - 1]
        asyncio.get_running_loop().call_later(pause_s, event.set)
        await event.wait()

    async def _connect(self) -> None:
        self._reader, self._writer = await asyncio.open_unix_connection(sock=self._socket)
        for pending in self._pending.values():
            self._send(pending, self._writer)

    async def _listen(self, take: OnResult) -> None:
        try:
            while body := await read_frame(self._reader):
                message = _decode_answer(body)
                if isinstance(message, Answer):
                    self.cache_counts = message.cache_counts
                # Answers to requests that were dropped meanwhile are ignored.
                if isinstance(message, Answer) and message.number in self._pending:
                    pending = self._pending.pop(message.number)
                    self.spent += total_usage(message.result.calls, self._prices)
                    take(pending.question, pending.snapshot, message.result)
        finally:
            if self._writer:
                self._writer.close()
            self._writer = None

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        with closing_on_error(ours.close):
            with theirs:
                self._process = self._launch(theirs)
            # A new process gets the current prompts with its first message.
            self._sent_sources = self.sources
            ours.sendall(frame(WorkerInit(self._settings, self.sources, self.spent)))
        self._socket = ours

    def _wait_until_ready(self) -> BackendInfo:
        """Returns the backend.

        Raises Misconfigured if no backend can answer, Unavailable if the worker or its server does not start.
        """
        self._socket.settimeout(START_S)
        try:
            size = int.from_bytes(_exactly(self._socket, 4), "big")
            message = _decode_answer(_exactly(self._socket, size))
        except (OSError, EOFError):
            self.close()
            raise Unavailable("the agents' process does not start; try --mode hft") from None
        self._socket.settimeout(None)
        if not isinstance(message, BackendInfo) or message.failure:
            self.close()
            kind = Unavailable if getattr(message, "away", False) else Misconfigured
            raise kind(getattr(message, "failure", "the agents' process sent an invalid answer"))
        return message

    def close(self) -> None:
        """Ends the process."""
        self._socket.close()
        self._process.terminate()
        try:
            self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _exactly(sock: socket.socket, size: int) -> bytes:
    content = b""
    while len(content) < size:
        part = sock.recv(size - len(content))
        if not part:
            raise EOFError
        content += part
    return content


# The worker process runs the code below.


async def run_worker(sock: socket.socket) -> None:
    """Answers requests until the run closes the socket."""
    reader, writer = await asyncio.open_unix_connection(sock=sock)
    first = await read_frame(reader)
    if first is None:
        return
    init = _decode_init(first)
    try:
        service = await DeliberationService.open(
            config.from_plain(init.settings), init.sources, on_tape=False
        )
    except AutoHedgeError as error:
        writer.write(frame(BackendInfo(failure=str(error), away=isinstance(error, Unavailable))))
        await writer.drain()
        return
    service.carry_usage(init.spent)
    writer.write(frame(service.ready))
    under_way: set[asyncio.Task[None]] = set()

    async def answer(question: Question, thought: Coroutine[Any, Any, DeliberationResult]) -> None:
        result = await thought
        # The answer goes out first: publishing the verdict can wait for Redis.
        if not writer.is_closing():
            writer.write(frame(Answer(question.question.number, result, service.cache_counts())))
        await service.publish_verdict(question.snapshot, result, question.question.at_ns)

    while body := await read_frame(reader):
        message = _decode_request(body)
        if isinstance(message, PromptsUpdated):
            service.update_prompts(message.prompts)
            continue
        # Bound to the current prompts now, although the task starts later.
        thought = service.deliberate(message.question, message.snapshot, message.lessons)
        task = asyncio.ensure_future(answer(message, thought))
        under_way.add(task)  # the loop holds only weak references to tasks
        task.add_done_callback(under_way.discard)
    await service.close()
    writer.close()


def main() -> None:
    """The entry point of the worker; its one argument is the file descriptor of the inherited socket."""
    # The run ends the worker; an interrupt must not end it earlier.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(NICE)
    with socket.socket(fileno=int(sys.argv[1])) as sock:
        asyncio.run(run_worker(sock))


if __name__ == "__main__":
    main()
