"""The slow plane in a process of its own, joined to the run by a socket pair and a few kinds of message.

Python work in the process of the engine would delay quotes; here it may freeze, or be killed, and all that
comes of it is a gate that shuts. A dead worker is started again, ever more seldom. Each question is sent behind the
prompts that were in force when it was asked, whichever process answers it.
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
from autohedge.llm.usage import TokenUsage, total_usage
from autohedge.tools.lessons import Lesson

START_S = 60.0
FRAME_MAX = 1 << 24
UNREAD_MAX = 1 << 22
PAUSES_S = (0.0, 1.0, 5.0, 30.0)
NO_USAGE = TokenUsage()
NICE = 10  # where processors are scarce, quotes go before thoughts


class WorkerInit(msgspec.Struct, frozen=True, tag=True):
    """What a worker begins with: resolved settings, and the files to render prompts from."""

    settings: dict[str, Any]
    sources: PromptFiles
    spent: TokenUsage = TokenUsage()


class Question(msgspec.Struct, frozen=True, tag=True):
    """What the run asks."""

    question: DeliberationRequested
    snapshot: Snapshot
    lessons: tuple[Lesson, ...]


class PromptsUpdated(msgspec.Struct, frozen=True, tag=True):
    """The prompts, all of them, that the questions behind this are rendered from."""

    prompts: dict[str, tuple[str, str]]


class Answer(msgspec.Struct, frozen=True, tag=True):
    """What the worker answers; `cache_counts` is what came of looking for kept verdicts so far."""

    number: int
    result: DeliberationResult
    cache_counts: dict[str, int] = {}


_encode = msgspec.msgpack.Encoder().encode
_decode_answer = msgspec.msgpack.Decoder(BackendInfo | Answer).decode
_decode_init = msgspec.msgpack.Decoder(WorkerInit).decode
_decode_request = msgspec.msgpack.Decoder(Question | PromptsUpdated).decode


async def read_frame(reader: asyncio.StreamReader) -> bytes | None:
    """The next frame; None at the end."""
    try:
        size = int.from_bytes(await reader.readexactly(4), "big")
        return await reader.readexactly(size) if size <= FRAME_MAX else None
    except (asyncio.IncompleteReadError, ConnectionError):
        return None


def frame(message: Any) -> bytes:
    """A message with its length before it."""
    body = _encode(message)
    return len(body).to_bytes(4, "big") + body


class OnResult(Protocol):
    """Takes a resolution into the run: writes the transcript, tells the engine, learns."""

    def __call__(
        self, question: DeliberationRequested, snapshot: Snapshot, result: DeliberationResult
    ) -> None:
        """Take one."""
        ...


class Process(Protocol):
    """A worker's process, as `subprocess.Popen` has it."""

    @property
    def pid(self) -> int:
        """Its number."""
        ...

    def kill(self) -> None:
        """End it at once."""
        ...

    def terminate(self) -> None:
        """Ask it to end."""
        ...

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end. Raises subprocess.TimeoutExpired."""
        ...


def spawn(theirs: socket.socket) -> Process:
    """Start a worker that inherits its end of the pair."""
    return subprocess.Popen(  # noqa: S603  our own interpreter and module
        [sys.executable, "-m", "autohedge.graph.worker", str(theirs.fileno())],
        pass_fds=[theirs.fileno()],
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )


class _PendingRequest(NamedTuple):
    """A question whose answer is wanted, and what it is rendered from."""

    question: DeliberationRequested
    snapshot: Snapshot
    sources: PromptFiles


class Worker:
    """The run's end: sends questions, takes answers, keeps the process alive."""

    next_due_ns = NEVER

    def __init__(
        self,
        settings: Settings,
        sources: PromptFiles,
        launch: Callable[[socket.socket], Process] = spawn,
        pauses_s: Sequence[float] = PAUSES_S,
        spent: TokenUsage = NO_USAGE,
    ) -> None:
        """Raises Misconfigured where nobody can answer, Unavailable if the worker does not start."""
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

    @property
    def waiting(self) -> int:
        """Questions whose answers are still wanted."""
        return len(self._pending)

    @property
    def pid(self) -> int:
        """The process to watch, or to kill."""
        return self._process.pid

    def request(self, question: DeliberationRequested, snapshot: Snapshot) -> None:
        """Send a question; never waits. A worker that is dead answers by the next `serve`.

        An older question about the same has been given up by the engine: nobody waits for its answer. A
        worker that reads nothing any more is ended, and with that replaced.
        """
        for number, (older, *_) in list(self._pending.items()):
            if (older.symbol, older.kind) == (question.symbol, question.kind):
                del self._pending[number]
        self._pending[question.number] = pending = _PendingRequest(question, snapshot, self.sources)
        if self._writer:
            self._send(pending, self._writer)
            if self._writer.transport.get_write_buffer_size() > UNREAD_MAX:
                self._process.kill()

    def update_prompts(self, prompts: Mapping[str, tuple[str, str]]) -> None:
        """Have what is asked from now on rendered from these, of which the next question tells the worker."""
        self.sources = self.sources.with_prompts(prompts)

    def _send(self, pending: _PendingRequest, writer: asyncio.StreamWriter) -> None:
        """Send a question, behind its prompts if the worker was told of others last."""
        if pending.sources is not self._sent_sources:
            writer.write(frame(PromptsUpdated(pending.sources.prompts)))
            self._sent_sources = pending.sources
        self.lessons = [lesson for lesson in self.lessons if lesson.expires_ns > pending.question.at_ns]
        writer.write(frame(Question(pending.question, pending.snapshot, tuple(self.lessons))))

    def poll(self, by_ns: int) -> Decision | None:  # noqa: ARG002
        """Nothing: answers are taken in by `serve`, when they come."""
        return None

    async def serve(self, take: OnResult) -> None:
        """Take answers in until cancelled; begin again with a new process when this one dies."""
        while True:
            await self._connect()
            await self._listen(take)
            for number in list(self._pending):
                pending = self._pending.pop(number)
                take(pending.question, pending.snapshot, abstention("worker_died"))
            self.deaths += 1
            self._process.kill()
            self._process.wait()
            await self._restart()

    async def _restart(self) -> None:
        """Start a new process; where the machine has none to give, that one died, too."""
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
                if isinstance(message, Answer) and message.number in self._pending:
                    pending = self._pending.pop(message.number)
                    self.spent += total_usage(message.result.calls)
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
            self._sent_sources = self.sources
            ours.sendall(frame(WorkerInit(self._settings, self.sources, self.spent)))
        self._socket = ours

    def _wait_until_ready(self) -> BackendInfo:
        """Who answers. Raises Misconfigured where nobody can, Unavailable if the worker does not start."""
        self._socket.settimeout(START_S)
        try:
            size = int.from_bytes(_exactly(self._socket, 4), "big")
            message = _decode_answer(_exactly(self._socket, size))
        except (OSError, EOFError):
            self.close()
            raise Unavailable("the process of the agents does not start; try --mode hft") from None
        self._socket.settimeout(None)
        if not isinstance(message, BackendInfo) or message.failure:
            self.close()
            kind = Unavailable if getattr(message, "away", False) else Misconfigured
            raise kind(getattr(message, "failure", "the process of the agents answers nonsense"))
        return message

    def close(self) -> None:
        """End the process."""
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


# the worker's own process


async def run_worker(sock: socket.socket) -> None:
    """Answer questions until the run hangs up."""
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
        if not writer.is_closing():
            writer.write(frame(Answer(question.question.number, result, service.cache_counts())))
        await service.publish_verdict(question.snapshot, result, question.question.at_ns)

    while body := await read_frame(reader):
        message = _decode_request(body)
        if isinstance(message, PromptsUpdated):
            service.update_prompts(message.prompts)
            continue
        thought = service.deliberate(message.question, message.snapshot, message.lessons)
        task = asyncio.ensure_future(answer(message, thought))
        under_way.add(task)
        task.add_done_callback(under_way.discard)
    await service.close()
    writer.close()


def main() -> None:
    """The worker's entry: its one argument is the number of the inherited socket."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(NICE)
    with socket.socket(fileno=int(sys.argv[1])) as sock:
        asyncio.run(run_worker(sock))


if __name__ == "__main__":
    main()
