"""The gateway: whatever an adapter meets, the engine hears of it as an answer, and never as an error."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from decimal import Decimal

import pytest

from autohedge.core.clock import NEVER
from autohedge.core.errors import Ambiguous, Duplicate, Refused, Rejected, Retryable, Unavailable
from autohedge.core.events import (
    Accepted,
    Answer,
    CancelOrder,
    ChangeRefused,
    Command,
    Link,
    QueryAccount,
    QueryFills,
    QueryOpen,
    QueryOrder,
    ReplaceOrder,
    Report,
    Throttled,
    Unknown,
)
from autohedge.core.events import Rejected as RejectedAnswer
from autohedge.engine import gateway as gateway_module
from autohedge.engine.gateway import HUNG_UP, VenueGateway
from tests.engine.commands import order

NOW_NS = 5_000_000_000
SUBMIT = order("a")
CANCEL = CancelOrder(0, "a", "late")
REPLACE = ReplaceOrder(0, "a", Decimal(1), Decimal(2))
QUERY = QueryOrder(0, "a")
OF_THE_ACCOUNT: tuple[Command, ...] = (QueryOpen(0), QueryFills(0, 0), QueryAccount(0))

Reaction = Callable[[Command], Awaitable[Sequence[Answer]]]


class Clock:
    """The engine's time, set by hand."""

    ns = NOW_NS

    def now_ns(self) -> int:
        return self.ns


class Scripted:
    """An adapter that reacts to requests as it is told, and says what `said` holds."""

    def __init__(self, react: Reaction, knocks: Sequence[Exception] = ()) -> None:
        self.asked: list[Command] = []
        self.said: asyncio.Queue[Answer | Exception | None] = asyncio.Queue()
        self.connects = 0
        self.closed = 0
        self._react = react
        self._knocks = list(knocks)

    async def connect(self) -> None:
        self.connects += 1
        if self._knocks:
            raise self._knocks.pop(0)

    async def request(self, command: Command) -> Sequence[Answer]:
        self.asked.append(command)
        return await self._react(command)

    async def reports(self) -> AsyncIterator[Answer]:
        while (said := await self.said.get()) is not None:
            if isinstance(said, Exception):
                raise said
            yield said

    def close(self) -> None:
        self.closed += 1


class Desk:
    """A gateway that is served, and what it brought so far."""

    def __init__(self, adapter: Scripted, gateway: VenueGateway, clock: Clock) -> None:
        self.adapter, self.gateway, self.clock = adapter, gateway, clock
        self._woken = asyncio.Event()
        self.serving = asyncio.ensure_future(gateway.serve(self._woken.set))

    def send(self, *commands: Command) -> None:
        for command in commands:
            self.gateway.send(command, 0)

    def heard(self) -> list[Answer]:
        """All answers that have arrived."""
        answers = []
        while (answer := self.gateway.answer()) is not None:
            answers.append(answer)
        return answers

    async def hears(self, count: int) -> list[Answer]:
        """Wait for so many answers."""
        answers = self.heard()
        while len(answers) < count:
            self._woken.clear()
            await asyncio.wait_for(self._woken.wait(), 5)
            answers += self.heard()
        return answers

    async def nothing_more(self) -> bool:
        """Let all that can happen at once happen; whether it said nothing."""
        for _ in range(20):
            await asyncio.wait([asyncio.ensure_future(_at_once())])
        return not self.heard()


async def _at_once() -> None:
    """Take one turn of the loop."""


def _play(
    scenario: Callable[[Desk], Awaitable[None]],
    react: Reaction,
    knocks: Sequence[Exception] = (),
    *,
    deadline_s: float = 5.0,
    patience_s: float = 5.0,
    in_flight_max: int = 16,
) -> None:
    async def play() -> None:
        adapter, clock = Scripted(react, knocks), Clock()
        options = {"deadline_s": deadline_s, "patience_s": patience_s}
        gateway = VenueGateway(adapter, clock.now_ns, "n", in_flight_max=in_flight_max, **options)
        desk = Desk(adapter, gateway, clock)
        try:
            await scenario(desk)
        finally:
            desk.serving.cancel()
            gateway.close()

    asyncio.run(play())


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway_module, "PAUSE_S", 0.001)


def _failing(error: Exception) -> Reaction:
    async def react(command: Command) -> Sequence[Answer]:
        raise error

    return react


async def _accepts(command: Command) -> Sequence[Answer]:
    return [Accepted(1, command.order_id, "v")] if hasattr(command, "order_id") else []


async def _is_mute(command: Command) -> Sequence[Answer]:
    await asyncio.Event().wait()
    return []


# outcomes

LOST = [Ambiguous("503"), Unavailable("gone"), OSError("reset"), TimeoutError("slow"), KeyError("bug")]
ABOUT: list[tuple[Command, str]] = [
    (SUBMIT, "submit"),
    (CANCEL, "cancel"),
    (REPLACE, "replace"),
    (QUERY, "query"),
]


@pytest.mark.parametrize("error", LOST)
@pytest.mark.parametrize(("command", "about"), ABOUT)
def test_an_answer_that_was_lost_leaves_the_outcome_open(
    error: Exception, command: Command, about: str
) -> None:
    async def scenario(desk: Desk) -> None:
        desk.send(command)
        (answer,) = await desk.hears(1)
        assert isinstance(answer, Unknown)
        assert (answer.at_ns, answer.order_id, answer.about) == (NOW_NS, "a", about) and answer.cause

    _play(scenario, _failing(error))


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        (SUBMIT, RejectedAnswer(NOW_NS, "a", "no")),
        (CANCEL, ChangeRefused(NOW_NS, "a", "no")),
        (REPLACE, ChangeRefused(NOW_NS, "a", "no")),
        (QUERY, Unknown(NOW_NS, "a", "no", "query")),
    ],
)
def test_a_definite_no_is_one_but_proves_nothing_about_an_order_that_was_asked_for(
    command: Command, answer: Answer
) -> None:
    async def scenario(desk: Desk) -> None:
        desk.send(command)
        assert await desk.hears(1) == [answer]

    _play(scenario, _failing(Rejected("no")))


def test_an_id_that_the_venue_has_already_proves_that_the_order_was_taken() -> None:
    async def scenario(desk: Desk) -> None:
        desk.send(SUBMIT)
        assert await desk.hears(1) == [Accepted(NOW_NS, "a", "")]

    _play(scenario, _failing(Duplicate("twice")))


@pytest.mark.parametrize(("command", "about"), ABOUT)
def test_a_throttled_request_may_come_again_after_its_time(command: Command, about: str) -> None:
    async def scenario(desk: Desk) -> None:
        desk.send(command)
        (answer,) = await desk.hears(1)
        assert answer == Throttled(NOW_NS, "a", NOW_NS + 1_500_000_000, about)  # type: ignore[arg-type]

    _play(scenario, _failing(Retryable("429", 1.5)))


def test_until_a_throttled_venue_listens_again_nothing_leaves() -> None:
    errors: list[Exception] = [Retryable("418", 2.0)]

    async def react(command: Command) -> Sequence[Answer]:
        if errors:
            raise errors.pop()
        return await _accepts(command)

    async def scenario(desk: Desk) -> None:
        desk.send(SUBMIT)
        until_ns = NOW_NS + 2_000_000_000
        await desk.hears(1)
        desk.clock.ns = until_ns - 1
        desk.send(order("b"), QueryOpen(0))
        assert await desk.hears(1) == [Throttled(until_ns - 1, "b", until_ns)]
        assert desk.adapter.asked == [SUBMIT]
        desk.clock.ns = until_ns
        desk.send(order("b"))
        assert await desk.hears(1) == [Accepted(until_ns, "b", "v")]

    _play(scenario, react)


@pytest.mark.parametrize("error", [*LOST, Rejected("no"), Retryable("429", 1.0)])
def test_a_lost_answer_about_the_account_is_silence(error: Exception) -> None:
    async def scenario(desk: Desk) -> None:
        desk.send(*OF_THE_ACCOUNT)
        assert await desk.nothing_more()
        assert desk.adapter.asked

    _play(scenario, _failing(error))


def test_an_answer_that_takes_too_long_is_lost() -> None:
    async def scenario(desk: Desk) -> None:
        desk.send(SUBMIT, QueryOpen(0))
        assert await desk.hears(1) == [Unknown(NOW_NS, "a", "no answer within 0.02 s", "submit")]
        assert await desk.nothing_more()

    _play(scenario, _is_mute, deadline_s=0.02)


def test_what_the_venue_says_unasked_is_stamped_with_the_engines_time() -> None:
    async def scenario(desk: Desk) -> None:
        desk.adapter.said.put_nowait(Report(1, "a", "canceled", 3))
        assert await desk.hears(1) == [Report(NOW_NS, "a", "canceled", 3)]

    _play(scenario, _accepts)


# turns


class Gate:
    """Requests that are answered when the test lets them."""

    def __init__(self) -> None:
        self._open: dict[Command, asyncio.Future[None]] = {}

    async def react(self, command: Command) -> Sequence[Answer]:
        self._open[command] = asyncio.get_running_loop().create_future()
        await self._open[command]
        return await _accepts(command)

    def release(self, command: Command) -> None:
        self._open[command].set_result(None)


def test_a_cancel_never_overtakes_its_submit_and_other_orders_do_not_wait() -> None:
    gate = Gate()

    async def scenario(desk: Desk) -> None:
        other = order("b")
        desk.send(SUBMIT, CANCEL, QUERY, other)
        await desk.nothing_more()
        assert desk.adapter.asked == [SUBMIT, other]
        gate.release(SUBMIT)
        await desk.hears(1)
        await desk.nothing_more()
        assert desk.adapter.asked == [SUBMIT, other, CANCEL]
        gate.release(CANCEL)
        await desk.hears(1)
        await desk.nothing_more()
        assert desk.adapter.asked == [SUBMIT, other, CANCEL, QUERY]

    _play(scenario, gate.react)


def test_where_only_so_many_may_be_out_cancels_leave_first() -> None:
    gate = Gate()

    async def scenario(desk: Desk) -> None:
        entry, question, back = order("b"), QueryOrder(0, "c"), CancelOrder(0, "d", "")
        desk.send(SUBMIT, entry, question, back)
        for command in (SUBMIT, back, question, entry):
            await desk.nothing_more()
            assert desk.adapter.asked[-1] == command
            gate.release(command)
            await desk.hears(1)

    _play(scenario, gate.react, in_flight_max=1)


def test_an_order_that_waited_too_long_for_its_turn_does_not_leave_late() -> None:
    async def scenario(desk: Desk) -> None:
        desk.send(SUBMIT, order("b"))
        lost, late = await desk.hears(2)
        assert isinstance(lost, Unknown) and lost.order_id == "a"
        assert late == RejectedAnswer(NOW_NS, "b", "it waited too long for its turn")
        assert desk.adapter.asked == [SUBMIT]

    _play(scenario, _is_mute, deadline_s=0.02, in_flight_max=1)


def test_a_cancel_leaves_however_long_its_submit_kept_it_waiting() -> None:
    async def scenario(desk: Desk) -> None:
        desk.send(SUBMIT, REPLACE, CANCEL)
        lost, late, taken_back = await desk.hears(3)
        assert isinstance(lost, Unknown) and lost.about == "submit"
        assert late == Unknown(NOW_NS, "a", "it waited too long for its turn", "replace")
        assert isinstance(taken_back, Unknown) and taken_back.about == "cancel"
        assert desk.adapter.asked == [SUBMIT, CANCEL]

    _play(scenario, _is_mute, deadline_s=0.02)


def test_only_so_many_requests_may_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway_module, "WAITING_MAX", 1)

    async def scenario(desk: Desk) -> None:
        desk.send(SUBMIT, CANCEL, order("b"), QUERY)
        refused, unknown = await desk.hears(2)
        assert refused == RejectedAnswer(NOW_NS, "b", "too many requests wait already")
        assert unknown == Unknown(NOW_NS, "a", "too many requests wait already", "query")

    _play(scenario, _is_mute, in_flight_max=1)


# the connection


@pytest.mark.parametrize("end", [None, OSError("reset"), KeyError("bug")])
def test_a_lost_connection_leaves_what_was_out_unknown_and_comes_back(end: Exception | None) -> None:
    async def scenario(desk: Desk) -> None:
        desk.send(SUBMIT, CANCEL, order("b"), QueryOpen(0))
        await desk.nothing_more()
        desk.adapter.said.put_nowait(end)
        out_a, out_b, waited, down, up = await desk.hears(5)
        assert out_a == Unknown(NOW_NS, "a", "the connection was lost", "submit")
        assert out_b == Unknown(NOW_NS, "b", "the connection was lost", "submit")
        assert waited == Unknown(NOW_NS, "a", "not connected", "cancel")
        assert (down, up) == (Link(NOW_NS, "down"), Link(NOW_NS, "up"))
        assert (desk.adapter.connects, desk.adapter.closed) == (1, 1)
        asked = len(desk.adapter.asked)
        desk.send(SUBMIT)
        await desk.nothing_more()
        assert len(desk.adapter.asked) == asked + 1

    _play(scenario, _is_mute)


def test_while_it_is_not_connected_nothing_leaves_and_an_order_is_certainly_not_there() -> None:
    closed = [OSError("refused")] * 1000

    async def scenario(desk: Desk) -> None:
        desk.adapter.said.put_nowait(None)
        assert await desk.hears(1) == [Link(NOW_NS, "down")]
        desk.send(SUBMIT, CANCEL, REPLACE, QUERY, *OF_THE_ACCOUNT)
        assert await desk.hears(4) == [
            RejectedAnswer(NOW_NS, "a", "not connected"),
            Unknown(NOW_NS, "a", "not connected", "cancel"),
            Unknown(NOW_NS, "a", "not connected", "replace"),
            Unknown(NOW_NS, "a", "not connected", "query"),
        ]
        assert not desk.adapter.asked

    _play(scenario, _accepts, closed)


def test_it_knocks_until_the_venue_is_back_whatever_is_wrong_there() -> None:
    wrong = [OSError("refused"), Unavailable("starting"), Retryable("429"), ValueError("bug")]

    async def scenario(desk: Desk) -> None:
        desk.adapter.said.put_nowait(None)
        assert await desk.hears(2) == [Link(NOW_NS, "down"), Link(NOW_NS, "up")]
        assert desk.adapter.connects == 5

    _play(scenario, _accepts, wrong)


def test_pauses_between_knocks_grow_so_that_a_venue_in_trouble_is_not_stormed() -> None:
    async def scenario(desk: Desk) -> None:
        begun = asyncio.get_running_loop().time()
        for _ in range(8):
            desk.adapter.said.put_nowait(None)
            await desk.hears(2)
        least = sum(0.5 * 0.001 * 2**n for n in range(8))
        assert asyncio.get_running_loop().time() - begun >= least

    _play(scenario, _accepts)


def test_patience_ends_in_one_line_and_the_link_went_down_once() -> None:
    async def scenario(desk: Desk) -> None:
        desk.adapter.said.put_nowait(None)
        with pytest.raises(Unavailable, match="the venue hung up") as caught:
            await asyncio.wait_for(asyncio.shield(desk.serving), 5)
        assert str(caught.value) == HUNG_UP and "\n" not in HUNG_UP
        assert desk.heard() == [Link(NOW_NS, "down")]
        assert desk.adapter.connects > 1

    _play(scenario, _accepts, [OSError("refused")] * 1000, patience_s=0.2)


def test_a_venue_that_refuses_this_run_is_not_asked_again() -> None:
    async def scenario(desk: Desk) -> None:
        desk.adapter.said.put_nowait(None)
        with pytest.raises(Refused, match="another venue"):
            await asyncio.wait_for(asyncio.shield(desk.serving), 5)
        assert desk.adapter.connects == 1

    _play(scenario, _accepts, [Refused("another venue")])


def test_a_closed_gateway_says_nothing_more() -> None:
    async def scenario(desk: Desk) -> None:
        desk.send(SUBMIT, QUERY)
        await desk.nothing_more()
        desk.serving.cancel()
        desk.gateway.close()
        assert await desk.nothing_more()
        assert desk.adapter.closed == 1

    _play(scenario, _is_mute)


def test_rows_and_virtual_time_are_the_venues_own_business() -> None:
    async def scenario(desk: Desk) -> None:
        gateway = desk.gateway
        gateway.watch(3)
        gateway.touch(3)
        gateway.advance()
        assert gateway.next_due_ns == gateway.next_touch == NEVER

    _play(scenario, _accepts)
