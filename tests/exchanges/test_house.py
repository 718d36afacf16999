"""A trader, its gateway and a venue's house on one socket: each fault of the wire, one at a time.

The venue's quotes fall at second 40 of its clock, which runs fifty times as fast as the machine's; a
resting buy fills there.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from decimal import Decimal

import msgspec
import pytest

from autohedge.core.clock import monotonic_ns
from autohedge.core.errors import Unavailable
from autohedge.core.events import (
    Accepted,
    Answer,
    CancelOrder,
    Link,
    QueryAccount,
    QueryFills,
    QueryOpen,
    QueryOrder,
    Rejected,
    Report,
    Throttled,
    Unknown,
)
from autohedge.engine.gateway import VenueGateway
from autohedge.exchanges.house import House
from autohedge.exchanges.loopback import LoopbackVenue, ask_statement
from autohedge.exchanges.simulated import Terms
from autohedge.exchanges.wire import Hello
from autohedge.exchanges.wire_faults import OF_REQUESTS, WireFault
from tests.engine.commands import order
from tests.support import quotes_tape, settings

S = 1_000_000_000
SPEED = 50.0
FALL_S = 40
HELLO = Hello("run", ("tape",), Decimal(10))
TAPE = quotes_tape(
    [(s * S, *((99.0, 99.5) if s >= FALL_S else (100.0, 101.0))) for s in range(1, 4_000)], symbol="X"
)


class Once:
    """One fault, once: for the first request or push that it can strike."""

    def __init__(self, fault: WireFault | None) -> None:
        self._left = {fault}

    def of_request(self) -> WireFault | None:
        return next((self._take(fault) for fault in OF_REQUESTS if fault in self._left), None)

    def of_push(self) -> WireFault | None:
        return next((self._take(fault) for fault in WireFault if fault in self._left - {*OF_REQUESTS}), None)

    def delay_ns(self) -> int:
        return 40 * S

    def _take(self, fault: WireFault) -> WireFault:
        self._left.remove(fault)
        return fault


class Desk:
    """A trader's gateway, connected to a house."""

    def __init__(self, adapter: LoopbackVenue, port: int) -> None:
        self.adapter, self.port = adapter, port
        self.gateway = VenueGateway(adapter, adapter.clock.now_ns, "n", deadline_s=0.2)
        self._woken = asyncio.Event()
        self.serving = asyncio.ensure_future(self.gateway.serve(self._woken.set))

    def submit(self, name: str, **changes: object) -> None:
        self.gateway.send(msgspec.structs.replace(order(name), **changes), 0)

    def ask(self, name: str) -> None:
        self.gateway.send(QueryOrder(0, name), 0)

    async def hears(self, count: int) -> list[Answer]:
        """Wait for so many answers."""
        answers = self._heard()
        while len(answers) < count:
            self._woken.clear()
            await asyncio.wait_for(self._woken.wait(), 5)
            answers += self._heard()
        return answers

    def _heard(self) -> list[Answer]:
        answers = []
        while (answer := self.gateway.answer()) is not None:
            answers.append(answer)
        return answers

    async def until(self, tape_s: float) -> list[Answer]:
        """Let the venue's clock come to a time; what was heard meanwhile."""
        ends_ns = monotonic_ns() + self.adapter.clock.until_ns(int(tape_s * S))
        while monotonic_ns() < ends_ns:
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.Event().wait(), 0.01)
        return self._heard()


def _play(
    scenario: Callable[[Desk], Awaitable[None]], fault: WireFault | None = None, **latency: int
) -> None:
    async def play() -> None:
        port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        terms = Terms.of(settings(**latency))
        house = House(terms, {"X": Decimal(1)}, TAPE.rows, HELLO, speed=SPEED, faults=Once(fault))
        serving = asyncio.ensure_future(house.serve(0, port.set_result))
        adapter = LoopbackVenue(await port, HELLO)
        await adapter.connect()
        desk = Desk(adapter, await port)
        try:
            await scenario(desk)
        finally:
            desk.serving.cancel()
            desk.gateway.close()
            serving.cancel()
            await asyncio.wait([desk.serving, serving])

    asyncio.run(play())


@pytest.fixture(scope="module", autouse=True)
def _compiled() -> None:
    """The kernels are compiled once, before a clock runs."""

    async def scenario(desk: Desk) -> None:
        desk.submit("a")
        await desk.hears(1)

    _play(scenario)


def _kinds(answers: list[Answer]) -> list[str]:
    return [a.kind if isinstance(a, Report) else type(a).__name__ for a in answers]


def test_a_request_is_answered_and_what_happens_later_is_pushed() -> None:
    async def scenario(desk: Desk) -> None:
        desk.submit("a")
        (accepted,) = await desk.hears(1)
        assert isinstance(accepted, Accepted)
        (fill,) = await desk.hears(1)
        assert isinstance(fill, Report) and (fill.kind, fill.ts_ns) == ("fill", FALL_S * S)
        assert fill.at_ns >= fill.ts_ns
        statement = await ask_statement(desk.port)
        assert statement.positions == {"X": Decimal(1)} and statement.filled == {"a": Decimal(1)}

    _play(scenario)


def test_the_way_there_and_back_takes_its_time() -> None:
    async def scenario(desk: Desk) -> None:
        begun_ns = desk.adapter.clock.now_ns()
        desk.submit("a")
        (accepted,) = await desk.hears(1)
        assert isinstance(accepted, Accepted)
        assert accepted.at_ns - begun_ns >= 5 * S

    _play(scenario, simulated__order_latency_ms=3_000, simulated__response_latency_ms=2_000)


def test_questions_about_the_account_are_answered_at_once() -> None:
    async def scenario(desk: Desk) -> None:
        desk.submit("a", limit=Decimal(102))
        await desk.hears(1)
        for question in (QueryOpen(0), QueryFills(0, 0), QueryAccount(0)):
            desk.gateway.send(question, 0)
        assert sorted(_kinds(await desk.hears(3))) == ["Account", "OrderList", "fill"]

    _play(scenario)


def test_an_order_is_taken_back_and_an_id_is_taken_once() -> None:
    async def scenario(desk: Desk) -> None:
        desk.submit("a")
        desk.submit("a", quantity=Decimal(2))
        assert _kinds(await desk.hears(2)) == ["Accepted", "Accepted"]
        desk.gateway.send(CancelOrder(0, "a", ""), 0)
        assert _kinds(await desk.hears(1)) == ["canceled"]
        desk.ask("a")
        assert _kinds(await desk.hears(2)) == ["Accepted", "canceled"]

    _play(scenario)


def test_a_symbol_that_the_venue_does_not_trade_is_a_definite_no() -> None:
    async def scenario(desk: Desk) -> None:
        desk.submit("a", symbol="Y")
        (no,) = await desk.hears(1)
        assert isinstance(no, Rejected) and "symbol" in no.reason

    _play(scenario)


@pytest.mark.parametrize(
    ("fault", "first", "truth"),
    [
        (WireFault.DROP, Unknown, "Accepted"),
        (WireFault.LOST, Unknown, "NotFound"),
        (WireFault.ERROR, Unknown, "NotFound"),
        (WireFault.ERROR_AFTER, Unknown, "Accepted"),
        (WireFault.THROTTLE, Throttled, "NotFound"),
        (WireFault.BAN, Throttled, "NotFound"),
    ],
)
def test_after_a_request_that_went_wrong_a_question_brings_the_truth(
    fault: WireFault, first: type[Answer], truth: str
) -> None:
    async def scenario(desk: Desk) -> None:
        desk.submit("a")
        (answer,) = await desk.hears(1)
        assert type(answer) is first
        if isinstance(answer, Throttled):
            await desk.until(answer.until_ns / S + 0.1)
        desk.ask("a")
        told = _kinds(await desk.hears(1))
        assert told[0] == truth

    _play(scenario, fault)


def test_a_banned_trader_is_told_how_long_and_so_is_who_asks_again_too_early() -> None:
    async def scenario(desk: Desk) -> None:
        desk.submit("a")
        (banned,) = await desk.hears(1)
        assert isinstance(banned, Throttled) and 0 < banned.until_ns - banned.at_ns <= 5 * S
        desk.ask("a")
        (again,) = await desk.hears(1)
        assert isinstance(again, Throttled) and again.until_ns == banned.until_ns

    _play(scenario, WireFault.BAN)


def test_a_response_that_comes_after_its_deadline_is_evidence_all_the_same() -> None:
    async def scenario(desk: Desk) -> None:
        desk.submit("a", limit=Decimal(98))
        unknown, accepted = await desk.hears(2)
        assert isinstance(unknown, Unknown) and isinstance(accepted, Accepted)

    _play(scenario, WireFault.DELAY)


def test_a_venue_that_hangs_up_is_knocked_at_again_and_the_order_rests_there() -> None:
    async def scenario(desk: Desk) -> None:
        desk.submit("a", limit=Decimal(98))
        unknown, down, up = await desk.hears(3)
        assert isinstance(unknown, Unknown) and unknown.about == "submit"
        assert isinstance(down, Link) and isinstance(up, Link)
        assert (down.state, up.state) == ("down", "up")
        desk.ask("a")
        assert isinstance((await desk.hears(1))[0], Accepted)

    _play(scenario, WireFault.DISCONNECT)


def test_a_fill_that_was_not_told_is_told_when_asked_for() -> None:
    async def scenario(desk: Desk) -> None:
        desk.submit("a")
        await desk.hears(1)
        assert await desk.until(FALL_S + 5) == []
        desk.gateway.send(QueryFills(0, 0), 0)
        (fill,) = await desk.hears(1)
        desk.ask("a")
        *_, again = await desk.hears(2)
        assert isinstance(fill, Report) and isinstance(again, Report)
        assert fill.trade_id == again.trade_id == "t1"

    _play(scenario, WireFault.DROP_PUSH)


def test_a_fill_that_is_told_twice_is_the_same_trade() -> None:
    async def scenario(desk: Desk) -> None:
        desk.submit("a")
        await desk.hears(1)
        first, second = await desk.hears(2)
        assert isinstance(first, Report) and isinstance(second, Report)
        assert first.trade_id == second.trade_id == "t1"

    _play(scenario, WireFault.DUPLICATE_PUSH)


def test_fills_can_change_places() -> None:
    async def scenario(desk: Desk) -> None:
        desk.submit("a")
        desk.submit("b")
        await desk.hears(2)
        first, second = await desk.hears(2)
        assert isinstance(first, Report) and isinstance(second, Report)
        assert (first.trade_id, second.trade_id) == ("t2", "t1")

    _play(scenario, WireFault.REORDER_PUSH)


def test_a_request_to_a_closed_connection_fails_at_once() -> None:
    async def scenario(desk: Desk) -> None:
        desk.adapter.close()
        with pytest.raises(Unavailable, match="closed"):
            await desk.adapter.request(QueryOpen(0))

    _play(scenario)


def test_a_submit_carries_all_of_its_order_over_the_wire() -> None:
    async def scenario(desk: Desk) -> None:
        desk.submit("a", quantity=Decimal("2.50"))
        await desk.hears(1)
        desk.gateway.send(QueryOpen(0), 0)
        (listed,) = await desk.hears(1)
        assert [str(each.quantity) for each in getattr(listed, "orders", ())] == ["2.50"]

    _play(scenario)
