"""The gateway: every outcome of a request becomes an input of the engine, never an exception."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from decimal import Decimal

import pytest

from autohedge.core.errors import Ambiguous, Duplicate, Refused, Rejected, Retryable, Unavailable
from autohedge.core.events import (
    AnyTradingCommand,
    CancelOrder,
    ChangeRejected,
    ConnectionStatus,
    ExecutionReport,
    OrderAccepted,
    QueryAccount,
    QueryFills,
    QueryOpenOrders,
    QueryOrder,
    ReplaceOrder,
    RequestThrottled,
    RequestUnknown,
    VenueEvent,
)
from autohedge.core.events import OrderRejected as RejectedAnswer
from autohedge.gateway import gateway as gateway_module
from autohedge.gateway.gateway import HUNG_UP, VenueGateway
from tests.gateway.command_factory import order

NOW_NS = 5_000_000_000
SUBMIT = order("a")
CANCEL = CancelOrder(0, "a", "late")
REPLACE = ReplaceOrder(0, "a", Decimal(1), Decimal(2))
QUERY = QueryOrder(0, "a")
ACCOUNT_QUERIES: tuple[AnyTradingCommand, ...] = (QueryOpenOrders(0), QueryFills(0, 0), QueryAccount(0))

Reaction = Callable[[AnyTradingCommand], Awaitable[Sequence[VenueEvent]]]


class Clock:
    """A clock for the engine that is set by hand."""

    ns = NOW_NS

    def now_ns(self) -> int:
        return self.ns


class ScriptedClient:
    """An execution client that answers with `react` and pushes what `pushed` holds."""

    def __init__(self, react: Reaction, connect_errors: Sequence[Exception] = ()) -> None:
        self.requests: list[AnyTradingCommand] = []
        self.pushed: asyncio.Queue[VenueEvent | Exception | None] = asyncio.Queue()
        self.connects = 0
        self.closed = 0
        self._react = react
        self._connect_errors = list(connect_errors)

    async def connect(self) -> None:
        self.connects += 1
        if self._connect_errors:
            raise self._connect_errors.pop(0)

    async def request(self, command: AnyTradingCommand) -> Sequence[VenueEvent]:
        self.requests.append(command)
        return await self._react(command)

    async def events(self) -> AsyncIterator[VenueEvent]:
        while (event := await self.pushed.get()) is not None:
            if isinstance(event, Exception):
                raise event
            yield event

    def close(self) -> None:
        self.closed += 1


class GatewayHarness:
    """A running gateway and its answers."""

    def __init__(self, client: ScriptedClient, gateway: VenueGateway, clock: Clock) -> None:
        self.client, self.gateway, self.clock = client, gateway, clock
        self._woken = asyncio.Event()
        self.serving = asyncio.ensure_future(gateway.run(self._woken.set))

    def send(self, *commands: AnyTradingCommand) -> None:
        for command in commands:
            self.gateway.send(command, 0)

    def drain(self) -> list[VenueEvent]:
        """All answers that have arrived."""
        answers = []
        while (answer := self.gateway.poll()) is not None:
            answers.append(answer)
        return answers

    async def receive(self, count: int) -> list[VenueEvent]:
        """Waits for `count` answers."""
        answers = self.drain()
        while len(answers) < count:
            self._woken.clear()
            await asyncio.wait_for(self._woken.wait(), 5)
            answers += self.drain()
        return answers

    async def no_more_answers(self) -> bool:
        """Lets the event loop run; returns whether no answer arrived."""
        for _ in range(20):
            await asyncio.wait([asyncio.ensure_future(_at_once())])
        return not self.drain()


async def _at_once() -> None:
    """Takes one turn of the event loop."""


def _play(
    scenario: Callable[[GatewayHarness], Awaitable[None]],
    react: Reaction,
    connect_errors: Sequence[Exception] = (),
    *,
    deadline_s: float = 5.0,
    patience_s: float = 5.0,
    in_flight_max: int = 16,
) -> None:
    async def play() -> None:
        client, clock = ScriptedClient(react, connect_errors), Clock()
        options = {"deadline_s": deadline_s, "patience_s": patience_s}
        gateway = VenueGateway(client, clock.now_ns, "n", in_flight_max=in_flight_max, **options)
        harness = GatewayHarness(client, gateway, clock)
        try:
            await scenario(harness)
        finally:
            harness.serving.cancel()
            gateway.close()

    asyncio.run(play())


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway_module, "PAUSE_S", 0.001)


def _failing(error: Exception) -> Reaction:
    async def react(command: AnyTradingCommand) -> Sequence[VenueEvent]:
        raise error

    return react


async def _accepts(command: AnyTradingCommand) -> Sequence[VenueEvent]:
    return [OrderAccepted(1, command.order_id, "v")] if hasattr(command, "order_id") else []


async def _never_answers(command: AnyTradingCommand) -> Sequence[VenueEvent]:
    await asyncio.Event().wait()
    return []


# outcomes

LOST = [Ambiguous("503"), Unavailable("gone"), OSError("reset"), TimeoutError("slow"), KeyError("bug")]
ABOUT: list[tuple[AnyTradingCommand, str]] = [
    (SUBMIT, "submit"),
    (CANCEL, "cancel"),
    (REPLACE, "replace"),
    (QUERY, "query"),
]


@pytest.mark.parametrize("error", LOST)
@pytest.mark.parametrize(("command", "about"), ABOUT)
def test_request_with_lost_answer_is_unknown(
    error: Exception, command: AnyTradingCommand, about: str
) -> None:
    async def scenario(harness: GatewayHarness) -> None:
        harness.send(command)
        (answer,) = await harness.receive(1)
        assert isinstance(answer, RequestUnknown)
        assert (answer.at_ns, answer.order_id, answer.about) == (NOW_NS, "a", about) and answer.cause

    _play(scenario, _failing(error))


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        (SUBMIT, RejectedAnswer(NOW_NS, "a", "no")),
        (CANCEL, ChangeRejected(NOW_NS, "a", "no")),
        (REPLACE, ChangeRejected(NOW_NS, "a", "no")),
        (QUERY, RequestUnknown(NOW_NS, "a", "no", "query")),
    ],
)
def test_rejection_is_reported_per_command_but_query_stays_unknown(
    command: AnyTradingCommand, answer: VenueEvent
) -> None:
    async def scenario(harness: GatewayHarness) -> None:
        harness.send(command)
        assert await harness.receive(1) == [answer]

    _play(scenario, _failing(Rejected("no")))


def test_duplicate_order_id_error_counts_as_accepted() -> None:
    async def scenario(harness: GatewayHarness) -> None:
        harness.send(SUBMIT)
        assert await harness.receive(1) == [OrderAccepted(NOW_NS, "a", "")]

    _play(scenario, _failing(Duplicate("twice")))


@pytest.mark.parametrize(("command", "about"), ABOUT)
def test_throttled_request_reports_its_retry_time(command: AnyTradingCommand, about: str) -> None:
    async def scenario(harness: GatewayHarness) -> None:
        harness.send(command)
        (answer,) = await harness.receive(1)
        assert answer == RequestThrottled(NOW_NS, "a", NOW_NS + 1_500_000_000, about)  # type: ignore[arg-type]

    _play(scenario, _failing(Retryable("429", 1.5)))


def test_throttled_gateway_answers_locally_until_throttle_ends() -> None:
    errors: list[Exception] = [Retryable("418", 2.0)]

    async def react(command: AnyTradingCommand) -> Sequence[VenueEvent]:
        if errors:
            raise errors.pop()
        return await _accepts(command)

    async def scenario(harness: GatewayHarness) -> None:
        harness.send(SUBMIT)
        until_ns = NOW_NS + 2_000_000_000
        await harness.receive(1)
        harness.clock.ns = until_ns - 1
        harness.send(order("b"), QueryOpenOrders(0))
        assert await harness.receive(1) == [RequestThrottled(until_ns - 1, "b", until_ns)]
        assert harness.client.requests == [SUBMIT]
        harness.clock.ns = until_ns
        harness.send(order("b"))
        assert await harness.receive(1) == [OrderAccepted(until_ns, "b", "v")]

    _play(scenario, react)


def test_short_throttle_does_not_end_a_longer_ban() -> None:
    errors = {"a": Retryable("418", 2.0), "b": Retryable("429", 0.5)}

    async def react(command: AnyTradingCommand) -> Sequence[VenueEvent]:
        raise errors[command.order_id]  # type: ignore[union-attr]

    async def scenario(harness: GatewayHarness) -> None:
        harness.send(SUBMIT, order("b"))
        await harness.receive(2)
        harness.clock.ns += 1_000_000_000
        harness.send(order("c"))
        assert await harness.receive(1) == [RequestThrottled(harness.clock.ns, "c", NOW_NS + 2_000_000_000)]

    _play(scenario, react)


@pytest.mark.parametrize("error", [*LOST, Rejected("no"), Retryable("429", 1.0)])
def test_failed_account_query_yields_no_event(error: Exception) -> None:
    async def scenario(harness: GatewayHarness) -> None:
        harness.send(*ACCOUNT_QUERIES)
        assert await harness.no_more_answers()
        assert harness.client.requests

    _play(scenario, _failing(error))


def test_submit_without_answer_by_deadline_is_unknown() -> None:
    async def scenario(harness: GatewayHarness) -> None:
        harness.send(SUBMIT, QueryOpenOrders(0))
        assert await harness.receive(1) == [RequestUnknown(NOW_NS, "a", "no answer within 0.02 s", "submit")]
        assert await harness.no_more_answers()

    _play(scenario, _never_answers, deadline_s=0.02)


def test_pushed_event_is_stamped_with_engine_time() -> None:
    async def scenario(harness: GatewayHarness) -> None:
        harness.client.pushed.put_nowait(ExecutionReport(1, "a", "canceled", 3))
        assert await harness.receive(1) == [ExecutionReport(NOW_NS, "a", "canceled", 3)]

    _play(scenario, _accepts)


# queueing


class Gate:
    """Requests that are answered when the test releases them."""

    def __init__(self) -> None:
        self._open: dict[AnyTradingCommand, asyncio.Future[None]] = {}

    async def react(self, command: AnyTradingCommand) -> Sequence[VenueEvent]:
        self._open[command] = asyncio.get_running_loop().create_future()
        await self._open[command]
        return await _accepts(command)

    def release(self, command: AnyTradingCommand) -> None:
        self._open[command].set_result(None)


def test_cancel_waits_for_its_submit_while_other_orders_proceed() -> None:
    gate = Gate()

    async def scenario(harness: GatewayHarness) -> None:
        other = order("b")
        harness.send(SUBMIT, CANCEL, QUERY, other)
        await harness.no_more_answers()
        assert harness.client.requests == [SUBMIT, other]
        gate.release(SUBMIT)
        await harness.receive(1)
        await harness.no_more_answers()
        assert harness.client.requests == [SUBMIT, other, CANCEL]
        gate.release(CANCEL)
        await harness.receive(1)
        await harness.no_more_answers()
        assert harness.client.requests == [SUBMIT, other, CANCEL, QUERY]

    _play(scenario, gate.react)


def test_in_flight_limit_sends_cancels_first() -> None:
    gate = Gate()

    async def scenario(harness: GatewayHarness) -> None:
        entry, question, cancel = order("b"), QueryOrder(0, "c"), CancelOrder(0, "d", "")
        harness.send(SUBMIT, entry, question, cancel)
        for command in (SUBMIT, cancel, question, entry):
            await harness.no_more_answers()
            assert harness.client.requests[-1] == command
            gate.release(command)
            await harness.receive(1)

    _play(scenario, gate.react, in_flight_max=1)


def test_submit_queued_past_deadline_is_rejected_unsent() -> None:
    async def scenario(harness: GatewayHarness) -> None:
        harness.send(SUBMIT, order("b"))
        lost, late = await harness.receive(2)
        assert isinstance(lost, RequestUnknown) and lost.order_id == "a"
        assert late == RejectedAnswer(NOW_NS, "b", "it waited too long for its turn")
        assert harness.client.requests == [SUBMIT]

    _play(scenario, _never_answers, deadline_s=0.02, in_flight_max=1)


def test_cancel_queued_past_deadline_is_still_sent() -> None:
    async def scenario(harness: GatewayHarness) -> None:
        harness.send(SUBMIT, REPLACE, CANCEL)
        lost, late, cancelled = await harness.receive(3)
        assert isinstance(lost, RequestUnknown) and lost.about == "submit"
        assert late == RequestUnknown(NOW_NS, "a", "it waited too long for its turn", "replace")
        assert isinstance(cancelled, RequestUnknown) and cancelled.about == "cancel"
        assert harness.client.requests == [SUBMIT, CANCEL]

    _play(scenario, _never_answers, deadline_s=0.02)


def test_request_beyond_queue_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway_module, "WAITING_MAX", 1)

    async def scenario(harness: GatewayHarness) -> None:
        harness.send(SUBMIT, CANCEL, order("b"), QUERY)
        refused, unknown = await harness.receive(2)
        assert refused == RejectedAnswer(NOW_NS, "b", "too many requests wait already")
        assert unknown == RequestUnknown(NOW_NS, "a", "too many requests wait already", "query")

    _play(scenario, _never_answers, in_flight_max=1)


# the connection


@pytest.mark.parametrize("end", [None, OSError("reset"), KeyError("bug")])
def test_lost_connection_makes_in_flight_unknown_and_reconnects(end: Exception | None) -> None:
    async def scenario(harness: GatewayHarness) -> None:
        harness.send(SUBMIT, CANCEL, order("b"), QueryOpenOrders(0))
        await harness.no_more_answers()
        harness.client.pushed.put_nowait(end)
        out_a, out_b, waited, down, up = await harness.receive(5)
        assert out_a == RequestUnknown(NOW_NS, "a", "the connection was lost", "submit")
        assert out_b == RequestUnknown(NOW_NS, "b", "the connection was lost", "submit")
        assert waited == RequestUnknown(NOW_NS, "a", "not connected", "cancel")
        assert (down, up) == (ConnectionStatus(NOW_NS, "down"), ConnectionStatus(NOW_NS, "up"))
        assert (harness.client.connects, harness.client.closed) == (1, 1)
        request_count = len(harness.client.requests)
        harness.send(SUBMIT)
        await harness.no_more_answers()
        assert len(harness.client.requests) == request_count + 1

    _play(scenario, _never_answers)


def test_disconnected_gateway_rejects_submits_and_sends_no_request() -> None:
    closed = [OSError("refused")] * 1000

    async def scenario(harness: GatewayHarness) -> None:
        harness.client.pushed.put_nowait(None)
        assert await harness.receive(1) == [ConnectionStatus(NOW_NS, "down")]
        harness.send(SUBMIT, CANCEL, REPLACE, QUERY, *ACCOUNT_QUERIES)
        assert await harness.receive(4) == [
            RejectedAnswer(NOW_NS, "a", "not connected"),
            RequestUnknown(NOW_NS, "a", "not connected", "cancel"),
            RequestUnknown(NOW_NS, "a", "not connected", "replace"),
            RequestUnknown(NOW_NS, "a", "not connected", "query"),
        ]
        assert not harness.client.requests

    _play(scenario, _accepts, closed)


def test_gateway_reconnects_after_any_connect_error() -> None:
    wrong = [OSError("refused"), Unavailable("starting"), Retryable("429"), ValueError("bug")]

    async def scenario(harness: GatewayHarness) -> None:
        harness.client.pushed.put_nowait(None)
        assert await harness.receive(2) == [ConnectionStatus(NOW_NS, "down"), ConnectionStatus(NOW_NS, "up")]
        assert harness.client.connects == 5

    _play(scenario, _accepts, wrong)


def test_reconnect_pauses_grow_over_repeated_disconnects() -> None:
    async def scenario(harness: GatewayHarness) -> None:
        begun = asyncio.get_running_loop().time()
        for _ in range(8):
            harness.client.pushed.put_nowait(None)
            await harness.receive(2)
        least = sum(0.5 * 0.001 * 2**n for n in range(8))
        assert asyncio.get_running_loop().time() - begun >= least

    _play(scenario, _accepts)


def test_reconnect_timeout_raises_one_line_after_one_down_event() -> None:
    async def scenario(harness: GatewayHarness) -> None:
        harness.client.pushed.put_nowait(None)
        with pytest.raises(Unavailable, match="the venue is not reachable") as caught:
            await asyncio.wait_for(asyncio.shield(harness.serving), 5)
        assert str(caught.value) == HUNG_UP and "\n" not in HUNG_UP
        assert harness.drain() == [ConnectionStatus(NOW_NS, "down")]
        assert harness.client.connects > 1

    _play(scenario, _accepts, [OSError("refused")] * 1000, patience_s=0.2)


def test_refused_handshake_is_not_retried() -> None:
    async def scenario(harness: GatewayHarness) -> None:
        harness.client.pushed.put_nowait(None)
        with pytest.raises(Refused, match="another venue"):
            await asyncio.wait_for(asyncio.shield(harness.serving), 5)
        assert harness.client.connects == 1

    _play(scenario, _accepts, [Refused("another venue")])


def test_closed_gateway_emits_no_more_events() -> None:
    async def scenario(harness: GatewayHarness) -> None:
        harness.send(SUBMIT, QUERY)
        await harness.no_more_answers()
        harness.serving.cancel()
        harness.gateway.close()
        assert await harness.no_more_answers()
        assert harness.client.closed == 1

    _play(scenario, _never_answers)
