"""The control socket: what a run answers to a client, and how an unconfirmed command differs."""

import asyncio
import socket
from pathlib import Path
from threading import Thread
from typing import Any

import msgspec
import pytest

from autohedge.app import engine_for
from autohedge.core.errors import Misconfigured, Refused, Unavailable
from autohedge.core.events import OperatorCommand, RunStarted
from autohedge.exchanges.simulated import SimulatedVenue, VenueModel, lots_of
from autohedge.market import SyntheticSpec, synthesize
from autohedge.runtime.control import SOCKET, TEXTS_MAX, ControlServer, Request, send_command, state_text
from autohedge.runtime.virtual import VirtualRuntime
from autohedge.runtime.wall import WallRuntime, in_loop
from tests.engine.deliberations.test_gates import GateHarness
from tests.run_harness import Recording, settings


class WorkingDisk:
    """A disk without a fault."""

    fault: str | None = None

    def reserve(self) -> bool:
        return True


def _answers(folder: Path, *requests: Any) -> tuple[Recording, list[dict[str, Any]]]:
    """Sends raw requests to a run that has just begun; returns its record and the answers."""
    wanted, tape = settings(), synthesize(SyntheticSpec(hours=1 / 3600, quotes_per_s=20, seed=4))
    engine, record = engine_for(wanted, tape), Recording()
    venue = SimulatedVenue(VenueModel.of(wanted), lots_of(wanted, tape.symbols), tape.rows, nonce="n")
    runtime = VirtualRuntime(engine, venue, tape.rows, record, clock=venue)

    async def session() -> list[dict[str, Any]]:
        wall = WallRuntime(engine, runtime, None, int(tape.rows.ts[0]), WorkingDisk())
        runtime.inject(RunStarted("n"))
        async with ControlServer(folder, wall, _no_reload):
            return [await _exchange(folder, request) for request in requests]

    return record, in_loop(session())


async def _no_reload(request: Request) -> str:
    raise Refused(f"no reload here: {request.config}")


async def _exchange(folder: Path, request: Any) -> dict[str, Any]:
    reader, writer = await asyncio.open_unix_connection(folder / SOCKET)
    writer.write(msgspec.json.encode(request) + b"\n")
    answer: dict[str, Any] = msgspec.json.decode(await reader.read())
    writer.close()
    return answer


def _commands(record: Recording) -> list[OperatorCommand]:
    return [entry.event for entry in record if isinstance(entry.event, OperatorCommand)]


def test_command_is_an_input_with_actor_reason_and_request_id(workplace: Path) -> None:
    command = {"command": "pause", "reason": "news", "actor": "alice", "request_id": "r1"}
    record, answers = _answers(Path(), command, {"command": "status"})
    assert [(answer["done"], answer["status"]["paused"]) for answer in answers] == [(True, True)] * 2
    assert answers[1]["message"] == "paused"
    (recorded,) = _commands(record)
    assert (recorded.command, recorded.reason) == ("pause", "news")
    assert (recorded.actor, recorded.request_id) == ("alice", "r1")


def test_a_spent_budget_of_requests_is_part_of_the_state() -> None:
    harness = GateHarness()
    assert state_text(harness.engine) == "trading"
    harness.decide("abstain", code="budget")
    assert state_text(harness.engine).startswith("trading, but the run has used its calls, tokens or money; ")


def test_repeated_request_is_recorded_and_answered_without_effect(workplace: Path) -> None:
    halt, resume = {"command": "halt", "request_id": "r1"}, {"command": "resume"}
    record, (*_, again) = _answers(Path(), halt, resume, halt)
    assert again["done"] and not again["status"]["halted"]
    assert "request r1 was carried out before" in again["message"]
    assert [command.command for command in _commands(record)] == ["halt", "resume", "halt"]


def test_repeated_resume_is_answered_as_done_without_a_halt(workplace: Path) -> None:
    resume = {"command": "resume", "request_id": "r2"}
    _, answers = _answers(Path(), {"command": "halt"}, resume, resume)
    assert [answer["done"] for answer in answers] == [True, True, True]


@pytest.mark.parametrize("name", TEXTS_MAX)
@pytest.mark.parametrize("text", ["two\nlines", "\x1b[31mred", "\u202eright to left", "x" * 5_000])
def test_unprintable_or_long_text_is_refused_and_not_recorded(workplace: Path, name: str, text: str) -> None:
    record, (answer,) = _answers(Path(), {"command": "halt", name: text})
    assert not answer["done"] and answer["message"].startswith(name) and not answer["status"]["halted"]
    assert not _commands(record)


@pytest.mark.parametrize("request_", ["halt", {"command": "explode"}, {"command": "stop"}, {"reason": 1}])
def test_request_of_another_shape_is_refused(workplace: Path, request_: Any) -> None:
    record, (answer,) = _answers(Path(), request_)
    assert not answer["done"] and answer["message"].startswith("invalid request")
    assert not _commands(record)


@pytest.mark.parametrize("name", TEXTS_MAX)
def test_text_of_the_longest_length_has_no_fault(name: str) -> None:
    assert not Request("halt", **{name: "ü" * TEXTS_MAX[name]}).fault


def test_client_refuses_an_unprintable_text_before_it_sends(workplace: Path) -> None:
    with pytest.raises(Misconfigured, match="^reason must be one line of printable characters"):
        send_command(Path(), Request("halt", "a\nb"))


@pytest.mark.parametrize("reply", [b"", b"nonsense\n", b'{"done":true}'])
def test_halt_command_without_valid_reply_is_unconfirmed(workplace: Path, reply: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(SOCKET)
        listener.listen()

        def answer() -> None:
            line, _ = listener.accept()
            with line:
                line.recv(1 << 16)
                line.sendall(reply)

        run = Thread(target=answer)
        run.start()
        with pytest.raises(Unavailable, match="asked to halt, but did not confirm it"):
            send_command(Path(), Request("halt", "lunch"))
        run.join()


def test_halt_command_without_running_run_is_unavailable(workplace: Path) -> None:
    with pytest.raises(Unavailable, match="is not running on a clock now"):
        send_command(Path(), Request("halt", "lunch"))
