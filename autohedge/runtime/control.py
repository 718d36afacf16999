"""The control socket of a running run: a Unix socket in its folder, accessible to its owner only.

A request and its reply are one JSON object each. A command becomes an engine input and is journaled with its
actor, its reason and the id of the request.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Literal, Self

import msgspec

from autohedge.core.abstentions import ABSTENTIONS, BUDGET
from autohedge.core.errors import AutoHedgeError, Misconfigured, Refused, Unavailable
from autohedge.core.events import OperatorCommand
from autohedge.core.results import RunStatus
from autohedge.engine.engine import Engine
from autohedge.runtime.wall import WallRuntime

SOCKET = "control.sock"
PATH_BYTES_MAX = 100  # the kernel takes 108 on Linux, 104 on macOS, including the closing zero
ANSWER_S = 10.0
REQUEST_BYTES_MAX = 1 << 16
TEXTS_MAX = {"reason": 500, "halt_id": 100, "actor": 100, "request_id": 100, "config": 4096}


ControlCommand = Literal["halt", "resume", "flatten", "pause", "cancel_all", "sync", "reload", "status"]


class Request(msgspec.Struct, frozen=True):
    """A person's command to a run; `actor` is who the client says sends it. The same `request_id` is done once.

    `config` is the path of the settings file that a `reload` reads; empty for the one of the run's start.
    """

    command: ControlCommand
    reason: str = ""
    halt_id: str | None = None
    actor: str = ""
    request_id: str = ""
    config: str = ""

    @property
    def fault(self) -> str:
        """What is wrong with its texts, which are untrusted; empty if nothing is."""
        for name, longest in TEXTS_MAX.items():
            text = getattr(self, name) or ""
            if len(text) > longest:
                return f"{name} has {len(text)} characters; {longest} are allowed"
            if not text.isprintable():
                return f"{name} must be one line of printable characters"
        return ""

    def input_at(self, at_ns: int) -> OperatorCommand:
        """The engine's input; not for `status` and `reload`, which are no commands to the engine."""
        assert self.command != "status"
        assert self.command != "reload"
        return OperatorCommand(at_ns, self.command, self.reason, self.halt_id, self.actor, self.request_id)


ErrorName = Literal["", "refused", "misconfigured", "unavailable"]


class Reply(msgspec.Struct, frozen=True):
    """Whether the command was carried out, a message, and the results of the run so far.

    `error` is why it was not: a refusal, or what the person or the machine must mend first.
    """

    done: bool
    message: str
    status: RunStatus
    error: ErrorName = ""


_decode_request = msgspec.json.Decoder(Request).decode
_decode_reply = msgspec.json.Decoder(Reply).decode
_encode = msgspec.json.Encoder(decimal_format="string").encode


Reload = Callable[[Request], Awaitable[str]]


class ControlServer:
    """The run's side of the control socket."""

    def __init__(self, folder: Path, wall: WallRuntime, reload: Reload) -> None:
        """`reload` carries out a request to reload the settings; it returns a message or raises."""
        self._path = _short_path(folder / SOCKET)
        self._wall, self._reload = wall, reload
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        """Starts listening; replaces a socket that a killed process left behind."""
        self._path.unlink(missing_ok=True)
        # A chmod after the bind would leave a time in which other users could connect.
        before = os.umask(0o177)
        try:
            self._server = await asyncio.start_unix_server(self._serve, self._path, limit=REQUEST_BYTES_MAX)
        finally:
            os.umask(before)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stops listening and removes the socket."""
        if self._server:
            self._server.close()
        self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A client that disconnects, or sends more than the limit (ValueError), must not end the run.
        with contextlib.suppress(OSError, ValueError):
            writer.write(_encode(await self._answer(await reader.readline())) + b"\n")
            await writer.drain()
        writer.close()

    async def _answer(self, line: bytes) -> Reply:
        try:
            request = _decode_request(line)
        except msgspec.MsgspecError as error:
            return self._reply(error="refused", message=f"invalid request: {error}")
        if request.fault:
            return self._reply(error="misconfigured", message=request.fault)
        if request.command == "status":
            return self._reply(message=state_text(self._wall.engine))
        if request.command == "reload":
            return await self._reload_settings(request)
        return self._carry_out(request)

    async def _reload_settings(self, request: Request) -> Reply:
        try:
            message = await self._reload(request)
        except AutoHedgeError as error:
            return self._reply(error=_error_name(error), message=f"the settings stay as they were: {error}")
        if self._wall.failure:
            return self._reply(error="refused", message=str(self._wall.failure))
        return self._reply(message=message)

    def _carry_out(self, request: Request) -> Reply:
        engine = self._wall.engine
        repeated = engine.was_done(request.request_id)
        if request.command == "resume" and not repeated:
            if not engine.may_resume(request.halt_id):
                return self._reply(error="refused", message=_resume_refusal(engine.halt_id))
            if fault := self._wall.recover_disk():
                return self._reply(error="refused", message=fault)
        self._wall.inject(request.input_at)
        if self._wall.failure:
            return self._reply(error="refused", message=str(self._wall.failure))
        if repeated:
            message = f"request {request.request_id} was carried out before; nothing is done again"
            return self._reply(message=message)
        return self._reply(message=DONE[request.command])

    def _reply(self, message: str, error: ErrorName = "") -> Reply:
        engine = self._wall.engine
        status = RunStatus(
            **msgspec.structs.asdict(engine.result()),
            halted=engine.halted,
            halt_id=engine.halt_id,
            paused=engine.state.paused,
            reached_ns=self._wall.reached_ns,
        )
        return Reply(not error, message, status, error)


ERRORS: dict[ErrorName, type[AutoHedgeError]] = {
    "": Refused,
    "refused": Refused,
    "misconfigured": Misconfigured,
    "unavailable": Unavailable,
}
DONE = {
    "halt": "entries are halted; exits go on",
    "resume": "entries are on again",
    "flatten": "entries are halted, every position is being closed",
    "pause": "entries and questions are paused; exits go on, and resting entries stay",
    "cancel_all": "every resting order is being cancelled; entries stay on",
    "sync": "orders, fills, positions and cash are being compared with the venue's",
}


def _error_name(error: AutoHedgeError) -> ErrorName:
    return next((name for name, kind in ERRORS.items() if name and isinstance(error, kind)), "unavailable")


def state_text(engine: Engine) -> str:
    """Returns the state of a run in a few words; it names a budget of requests that is used up."""
    state = "halted" if engine.halted else "paused" if engine.state.paused else "trading"
    figures = engine.result().deliberations
    spent = figures is not None and BUDGET in figures.abstentions
    return f"{state}, but {ABSTENTIONS[BUDGET].text}" if spent else state


def _resume_refusal(halt_id: str | None) -> str:
    if halt_id is None:
        return "it is neither halted nor paused"
    return f"the halt was automatic: read its reason in the journal, then pass --halt-id {halt_id}"


def is_listening(folder: Path) -> bool:
    """Returns whether a process takes commands for the run in this folder."""
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(ANSWER_S)
        try:
            line.connect(str(_short_path(folder / SOCKET)))
        except OSError:
            return False
    return True


def send_command(folder: Path, request: Request) -> Reply:
    """Sends a command to a running run and returns its reply.

    Raises Misconfigured for a text that is too long or not printable and for settings that are not valid,
    Unavailable if the run is not running on a clock now or does not reply, Refused if it refuses.
    """
    if request.fault:
        raise Misconfigured(request.fault)
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(ANSWER_S)
        try:
            line.connect(str(_short_path(folder / SOCKET)))
        except OSError:
            raise Unavailable(
                f"run {folder.name} is not running on a clock now: no process listens"
            ) from None
        try:
            line.sendall(_encode(request) + b"\n")
            reply = _decode_reply(b"".join(iter(lambda: line.recv(1 << 16), b"")))
        except (OSError, msgspec.MsgspecError):
            text = f"run {folder.name} was asked to {request.command}, but did not confirm it"
            raise Unavailable(f"{text}: check `autohedge status` or its journal") from None
    if not reply.done:
        raise ERRORS[reply.error](f"run {folder.name}: {reply.message}")
    return reply


def _short_path(path: Path) -> Path:
    """The absolute or the relative form of a path, whichever is shorter.

    Raises Misconfigured if both exceed `PATH_BYTES_MAX`, the length that a socket's path may have.
    """
    ways = (path.absolute(), Path(os.path.relpath(path)))
    short = min(ways, key=lambda way: len(os.fsencode(way)))
    if len(os.fsencode(short)) > PATH_BYTES_MAX:
        raise Misconfigured(f"the path {path} is too long for a socket; run from the folder above runs/")
    return short
