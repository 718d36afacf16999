"""A gateway and a venue server on one socket: each connection fault, one at a time.

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
    CancelOrder,
    ConnectionStatus,
    ExecutionReport,
    OrderAccepted,
    OrderRejected,
    QueryAccount,
    QueryFills,
    QueryOpenOrders,
    QueryOrder,
    RequestThrottled,
    RequestUnknown,
    VenueEvent,
)
from autohedge.exchanges.faults import VenueFault
from autohedge.exchanges.loopback.client import LoopbackClient, fetch_statement
from autohedge.exchanges.loopback.faults import OF_PUSHES, OF_REQUESTS
from autohedge.exchanges.loopback.protocol import Hello
from autohedge.exchanges.loopback.server import SimulatedVenueServer
from autohedge.exchanges.simulated import VenueModel
from autohedge.gateway.gateway import VenueGateway
from tests.gateway.command_factory import order
from tests.run_harness import quotes_tape, settings

pytestmark = pytest.mark.process

S = 1_000_000_000
SPEED = 50.0
FALL_S = 40
HELLO = Hello("run", ("tape",), Decimal(10), Decimal(10))
TAPE = quotes_tape(
    [(s * S, *((99.0, 99.5) if s >= FALL_S else (100.0, 101.0))) for s in range(1, 4_000)], symbol="X"
)


class SingleFault:
    """Injects one fault once, at the first request or push that it can strike."""

    def __init__(self, fault: VenueFault | None) -> None:
        self._left = {fault}

    def for_request(self) -> VenueFault | None:
        return next((self._take(fault) for fault in OF_REQUESTS if fault in self._left), None)

    def for_push(self) -> VenueFault | None:
        return next((self._take(fault) for fault in OF_PUSHES if fault in self._left), None)

    def delay_ns(self) -> int:
        return 40 * S

    def _take(self, fault: VenueFault) -> VenueFault:
        self._left.remove(fault)
        return fault


class LoopbackHarness:
    """A gateway that is connected to a venue server."""

    def __init__(self, client: LoopbackClient, port: int) -> None:
        self.client, self.port = client, port
        self.gateway = VenueGateway(client, client.clock.now_ns, "n", deadline_s=0.2)
        self._woken = asyncio.Event()
        self.serving = asyncio.ensure_future(self.gateway.run(self._woken.set))

    def submit(self, name: str, **changes: object) -> None:
        self.gateway.send(msgspec.structs.replace(order(name), **changes), 0)

    def query(self, name: str) -> None:
        self.gateway.send(QueryOrder(0, name), 0)

    async def receive(self, count: int) -> list[VenueEvent]:
        """Waits for `count` answers."""
        answers = self._drain()
        while len(answers) < count:
            self._woken.clear()
            await asyncio.wait_for(self._woken.wait(), 5)
            answers += self._drain()
        return answers

    def _drain(self) -> list[VenueEvent]:
        answers = []
        while (answer := self.gateway.poll()) is not None:
            answers.append(answer)
        return answers

    async def wait_until(self, tape_s: float) -> list[VenueEvent]:
        """Waits until the venue's clock reaches a time; returns the answers received meanwhile."""
        ends_ns = monotonic_ns() + self.client.clock.until_ns(int(tape_s * S))
        while monotonic_ns() < ends_ns:
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.Event().wait(), 0.01)
        return self._drain()


def _play(
    scenario: Callable[[LoopbackHarness], Awaitable[None]], fault: VenueFault | None = None, **latency: int
) -> None:
    async def play() -> None:
        port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        model = VenueModel.of(settings(**latency))
        server = SimulatedVenueServer(
            model, {"X": Decimal(1)}, TAPE.rows, HELLO, speed=SPEED, faults=SingleFault(fault)
        )
        serving = asyncio.ensure_future(server.serve(0, port.set_result))
        client = LoopbackClient(await port, HELLO)
        await client.connect()
        harness = LoopbackHarness(client, await port)
        try:
            await scenario(harness)
        finally:
            harness.serving.cancel()
            harness.gateway.close()
            serving.cancel()
            await asyncio.wait([harness.serving, serving])

    asyncio.run(play())


@pytest.fixture(scope="module", autouse=True)
def _compiled() -> None:
    """Compiles the kernels once, before a clock runs."""

    async def scenario(harness: LoopbackHarness) -> None:
        harness.submit("a")
        await harness.receive(1)

    _play(scenario)


def _kinds(answers: list[VenueEvent]) -> list[str]:
    return [a.kind if isinstance(a, ExecutionReport) else str(a.__struct_config__.tag) for a in answers]


def test_a_request_is_answered_and_what_happens_later_is_pushed() -> None:
    async def scenario(harness: LoopbackHarness) -> None:
        harness.submit("a")
        (accepted,) = await harness.receive(1)
        assert isinstance(accepted, OrderAccepted)
        (fill,) = await harness.receive(1)
        assert isinstance(fill, ExecutionReport) and (fill.kind, fill.ts_ns) == ("fill", FALL_S * S)
        assert fill.at_ns >= fill.ts_ns
        statement = await fetch_statement(harness.port)
        assert statement.positions == {"X": Decimal(1)} and statement.filled == {"a": Decimal(1)}

    _play(scenario)


def test_order_and_response_latency_delay_the_acceptance() -> None:
    async def scenario(harness: LoopbackHarness) -> None:
        begun_ns = harness.client.clock.now_ns()
        harness.submit("a")
        (accepted,) = await harness.receive(1)
        assert isinstance(accepted, OrderAccepted)
        assert accepted.at_ns - begun_ns >= 5 * S

    _play(scenario, simulated__order_latency_ms=3_000, simulated__response_latency_ms=2_000)


def test_account_queries_are_answered_over_the_wire() -> None:
    async def scenario(harness: LoopbackHarness) -> None:
        harness.submit("a", limit=Decimal(102))
        await harness.receive(1)
        for question in (QueryOpenOrders(0), QueryFills(0, 0), QueryAccount(0)):
            harness.gateway.send(question, 0)
        assert sorted(_kinds(await harness.receive(3))) == ["account_state", "fill", "order_mass_status"]

    _play(scenario)


def test_duplicate_submit_is_one_order_and_is_cancelled_once() -> None:
    async def scenario(harness: LoopbackHarness) -> None:
        harness.submit("a")
        harness.submit("a", quantity=Decimal(2))
        assert _kinds(await harness.receive(2)) == ["order_accepted", "order_accepted"]
        harness.gateway.send(CancelOrder(0, "a", ""), 0)
        assert _kinds(await harness.receive(1)) == ["canceled"]
        harness.query("a")
        assert _kinds(await harness.receive(2)) == ["order_accepted", "canceled"]

    _play(scenario)


def test_submit_of_untraded_symbol_is_rejected() -> None:
    async def scenario(harness: LoopbackHarness) -> None:
        harness.submit("a", symbol="Y")
        (no,) = await harness.receive(1)
        assert isinstance(no, OrderRejected) and "symbol" in no.reason

    _play(scenario)


@pytest.mark.parametrize(
    ("fault", "first", "truth"),
    [
        (VenueFault.TIMEOUT_ACCEPTED, RequestUnknown, "order_accepted"),
        (VenueFault.TIMEOUT_LOST, RequestUnknown, "order_not_found"),
        (VenueFault.ERROR, RequestUnknown, "order_not_found"),
        (VenueFault.ERROR_ACCEPTED, RequestUnknown, "order_accepted"),
        (VenueFault.THROTTLE, RequestThrottled, "order_not_found"),
        (VenueFault.BAN, RequestThrottled, "order_not_found"),
    ],
)
def test_failed_request_is_resolved_by_an_order_query(
    fault: VenueFault, first: type[VenueEvent], truth: str
) -> None:
    async def scenario(harness: LoopbackHarness) -> None:
        harness.submit("a")
        (answer,) = await harness.receive(1)
        assert type(answer) is first
        if isinstance(answer, RequestThrottled):
            await harness.wait_until(answer.until_ns / S + 0.1)
        harness.query("a")
        kinds = _kinds(await harness.receive(1))
        assert kinds[0] == truth

    _play(scenario, fault)


def test_banned_trader_gets_the_same_ban_end_on_early_retry() -> None:
    async def scenario(harness: LoopbackHarness) -> None:
        harness.submit("a")
        (banned,) = await harness.receive(1)
        assert isinstance(banned, RequestThrottled) and 0 < banned.until_ns - banned.at_ns <= 5 * S
        harness.query("a")
        (second,) = await harness.receive(1)
        assert isinstance(second, RequestThrottled) and second.until_ns == banned.until_ns

    _play(scenario, VenueFault.BAN)


def test_response_after_its_deadline_still_arrives_as_event() -> None:
    async def scenario(harness: LoopbackHarness) -> None:
        harness.submit("a", limit=Decimal(98))
        unknown, accepted = await harness.receive(2)
        assert isinstance(unknown, RequestUnknown) and isinstance(accepted, OrderAccepted)

    _play(scenario, VenueFault.DELAY)


def test_disconnected_trader_reconnects_and_order_still_rests() -> None:
    async def scenario(harness: LoopbackHarness) -> None:
        harness.submit("a", limit=Decimal(98))
        unknown, down, up = await harness.receive(3)
        assert isinstance(unknown, RequestUnknown) and unknown.about == "submit"
        assert isinstance(down, ConnectionStatus) and isinstance(up, ConnectionStatus)
        assert (down.state, up.state) == ("down", "up")
        harness.query("a")
        assert isinstance((await harness.receive(1))[0], OrderAccepted)

    _play(scenario, VenueFault.DISCONNECT)


def test_dropped_fill_push_is_found_by_query() -> None:
    async def scenario(harness: LoopbackHarness) -> None:
        harness.submit("a")
        await harness.receive(1)
        assert await harness.wait_until(FALL_S + 5) == []
        harness.gateway.send(QueryFills(0, 0), 0)
        (fill,) = await harness.receive(1)
        harness.query("a")
        *_, second = await harness.receive(2)
        assert isinstance(fill, ExecutionReport) and isinstance(second, ExecutionReport)
        assert fill.trade_id == second.trade_id == "t1"

    _play(scenario, VenueFault.DROP)


def test_duplicated_fill_push_is_the_same_trade() -> None:
    async def scenario(harness: LoopbackHarness) -> None:
        harness.submit("a")
        await harness.receive(1)
        first, second = await harness.receive(2)
        assert isinstance(first, ExecutionReport) and isinstance(second, ExecutionReport)
        assert first.trade_id == second.trade_id == "t1"

    _play(scenario, VenueFault.DUPLICATE)


def test_reordered_fill_pushes_arrive_swapped() -> None:
    async def scenario(harness: LoopbackHarness) -> None:
        harness.submit("a")
        harness.submit("b")
        await harness.receive(2)
        first, second = await harness.receive(2)
        assert isinstance(first, ExecutionReport) and isinstance(second, ExecutionReport)
        assert (first.trade_id, second.trade_id) == ("t2", "t1")

    _play(scenario, VenueFault.REORDER)


def test_a_request_to_a_closed_connection_fails_at_once() -> None:
    async def scenario(harness: LoopbackHarness) -> None:
        harness.client.close()
        with pytest.raises(Unavailable, match="closed"):
            await harness.client.request(QueryOpenOrders(0))

    _play(scenario)


def test_a_submit_carries_all_of_its_order_over_the_wire() -> None:
    async def scenario(harness: LoopbackHarness) -> None:
        harness.submit("a", quantity=Decimal("2.50"))
        await harness.receive(1)
        harness.gateway.send(QueryOpenOrders(0), 0)
        (listed,) = await harness.receive(1)
        assert [str(each.quantity) for each in getattr(listed, "orders", ())] == ["2.50"]

    _play(scenario)
