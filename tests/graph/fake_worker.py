"""A worker in a thread of the test: it answers with its latest prompt, and dies on request."""

import socket
from collections.abc import Callable
from contextlib import suppress
from threading import Event, Thread

import msgspec

from autohedge.graph.runner import DeliberationResult
from autohedge.graph.service import BackendInfo
from autohedge.graph.worker import Answer, PromptsUpdated, Question, WorkerInit, frame

_decode = msgspec.msgpack.Decoder(WorkerInit | Question | PromptsUpdated).decode


class FakeWorker:
    """Answers at once unless frozen; the `code` of an answer is the text of the Director's prompt."""

    pid = 0

    def __init__(self, theirs: socket.socket, awake: Event) -> None:
        self._sock, self._awake = theirs.dup(), awake
        self._thread = Thread(target=self._work, daemon=True)
        self._thread.start()

    def kill(self) -> None:
        """Ends the worker; requests that it read and did not answer are lost."""
        try:
            self._sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # the run has closed the socket already

    terminate = kill

    def wait(self, timeout: float | None = None) -> int:
        """Waits for the thread."""
        self._awake.set()
        self._thread.join(timeout)
        return 0

    def _work(self) -> None:
        text = ""
        with suppress(ConnectionError), self._sock, self._sock.makefile("rb") as frames:
            while len(size := frames.read(4)) == 4:
                self._awake.wait()
                body = frames.read(int.from_bytes(size, "big"))
                if len(body) < int.from_bytes(size, "big"):
                    return
                match message := _decode(body):
                    case WorkerInit():
                        text = message.sources.prompts["director"][0]
                        self._send(BackendInfo("fake", "fake", "fake"))
                    case PromptsUpdated():
                        text = message.prompts["director"][0]
                    case Question():
                        self._send(
                            Answer(message.question.number, DeliberationResult("abstain", text, "fake"))
                        )

    def _send(self, message: object) -> None:
        self._sock.sendall(frame(message))


def launching(workers: list[FakeWorker], awake: Event) -> Callable[[socket.socket], FakeWorker]:
    """Returns a launch function for fake workers, and the list of those started."""

    def launch(theirs: socket.socket) -> FakeWorker:
        workers.append(FakeWorker(theirs, awake))
        return workers[-1]

    return launch
