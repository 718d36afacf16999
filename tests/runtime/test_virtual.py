"""Deadlines that passed together, and answers that are owed, while a remote venue has not answered."""

from typing import Any

import pytest

from autohedge.app import engine_for
from autohedge.core.clock import NEVER
from autohedge.core.events import (
    AnyTradingCommand,
    Decision,
    EndOfTape,
    ExecutionReport,
    OrderAccepted,
    OrderMassStatus,
    QueryOpenOrders,
    RequestUnknown,
    RunEnded,
    SubmitOrder,
    Timer,
    VenueEvent,
)
from autohedge.runtime.virtual import NoDecisions, NoVenueClock, VirtualRuntime
from tests.run_harness import Recording, begun, play, quotes_tape, settings

S = 10**9
BEGUN_NS = 1_700_000_000 * S
TAPE = quotes_tape([(BEGUN_NS + n * 10 * S, 100.0, 101.0) for n in range(4)])


EAGER: dict[str, Any] = {
    "momentum__evaluate_every_quotes": 1,
    "momentum__lookback": 1,
    "momentum__warmup_count": 0,
    "momentum__min_edge_bps": 0,
    "execution__time_in_force": '"gtc"',
}


class UnansweringVenue:
    """A remote venue that has not answered yet."""

    def send(self, command: AnyTradingCommand, now_ns: int) -> None:
        pass

    def poll(self) -> VenueEvent | None:
        return None


def _played(until_ns: int) -> tuple[VirtualRuntime, Recording]:
    wanted = settings()
    record = Recording()
    runtime = VirtualRuntime(engine_for(wanted, TAPE), UnansweringVenue(), TAPE.rows, record, clock=None)
    runtime.late_as_one = True
    runtime.begin("n")
    runtime.advance(until_ns)
    return runtime, record


def test_passed_deadlines_merge_into_one_timer_before_next_row() -> None:
    _, record = _played(BEGUN_NS + 25 * S)
    timers = [(entry.pos, entry.event.at_ns) for entry in record if isinstance(entry.event, Timer)]
    before = [(0, BEGUN_NS - 1), (1, BEGUN_NS + 10 * S - 1), (2, BEGUN_NS + 20 * S - 1)]
    assert [each for each in timers if each in before] == before
    assert len(timers) <= 2 * len(before)


def test_deadlines_after_last_row_still_fire_timers() -> None:
    runtime, record = _played(BEGUN_NS + 30 * S)
    query_count = sum(isinstance(entry.event, QueryOpenOrders) for entry in record)
    runtime.fire_deadlines(BEGUN_NS + 40 * S)
    assert runtime.next_deadline_ns > BEGUN_NS + 40 * S
    assert sum(isinstance(entry.event, QueryOpenOrders) for entry in record) > query_count


def test_run_whose_answers_take_longer_than_its_passes_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autohedge.runtime.virtual.FINISH_NS", 120 * S)
    monkeypatch.setattr("autohedge.execution.reconciliation.PAUSE_MAX_NS", 0)
    wanted = settings(
        momentum__evaluate_every_quotes=1,
        momentum__lookback=1,
        momentum__warmup_count=0,
        momentum__min_edge_bps=0,
        simulated__order_latency_ms=9_000,
        simulated__response_latency_ms=9_000,
        reconciliation__every_s=1,
    )
    quotes = [(BEGUN_NS + second * S, 100.0, 100.1) for second in range(30)]
    played = play(wanted, quotes_tape(quotes))
    assert isinstance(played.record[-1].event, RunEnded)
    assert len(played.events(QueryOpenOrders)) > 50
    assert played.engine.now_ns <= BEGUN_NS + 160 * S


def test_venue_owes_an_answer_until_it_has_accepted_the_order() -> None:
    tape = quotes_tape([(BEGUN_NS + n * S, 100.0, 100.1) for n in range(60)])
    wanted = settings(**EAGER)
    engine, record = begun(engine_for(wanted, tape)), Recording()
    runtime = VirtualRuntime(engine, UnansweringVenue(), tape.rows, record, clock=None)
    assert not runtime.awaiting_venue
    runtime.advance(BEGUN_NS + S)
    (order,) = [entry.event for entry in record if isinstance(entry.event, SubmitOrder)]
    assert runtime.awaiting_venue
    runtime.inject(RequestUnknown(engine.now_ns, order.order_id, "lost"))
    assert runtime.awaiting_venue
    runtime.inject(OrderAccepted(engine.now_ns, order.order_id, "v"))
    assert not runtime.awaiting_venue


class AnsweringVenue(UnansweringVenue, NoVenueClock):
    """A venue of this process with answers in transit."""

    def __init__(self, *due_ns: int) -> None:
        self._due_ns = [*due_ns, NEVER]
        self._arrived: list[VenueEvent] = []

    @property
    def next_due_ns(self) -> int:  # type: ignore[override]
        return self._due_ns[0]

    def advance(self) -> None:
        self._arrived.append(OrderMassStatus(self._due_ns.pop(0), 0, ()))

    def poll(self) -> VenueEvent | None:
        return self._arrived.pop() if self._arrived else None


class OneDecision(NoDecisions):
    """A source with one decision."""

    def __init__(self, decision: Decision) -> None:
        self._decision, self.next_due_ns = decision, decision.at_ns

    def poll(self, by_ns: int) -> Decision | None:
        self.next_due_ns = NEVER
        return self._decision


def test_of_one_time_rows_come_first_then_venue_timers_and_decisions() -> None:
    tape = quotes_tape([(n * S, 100.0, 101.0) for n in range(1, 5)])
    record, engine = Recording(), engine_for(settings(), tape)
    decisions = OneDecision(Decision(2 * S, 1, "gate", "X", 0, "no_trade"))
    venue = AnsweringVenue(2 * S)
    runtime = VirtualRuntime(engine, venue, tape.rows, record, decisions, clock=venue)
    runtime.begin("n")
    assert engine.next_deadline_ns == 2 * S
    runtime.advance(2 * S)
    inputs = [entry for entry in record if isinstance(entry.event, OrderMassStatus | Timer | Decision)]
    assert [(entry.pos, type(entry.event)) for entry in inputs] == [
        (2, OrderMassStatus),
        (2, Timer),
        (2, Decision),
    ]


def test_run_ends_after_all_that_was_in_transit_has_arrived() -> None:
    tape, record = quotes_tape([(S, 100.0, 101.0)]), Recording()
    venue = AnsweringVenue(2 * S, 3 * S, 4 * S)
    VirtualRuntime(engine_for(settings(), tape), venue, tape.rows, record, clock=venue).run("n")
    inputs = [entry.event for entry in record if isinstance(entry.event, OrderMassStatus | EndOfTape)]
    assert [type(event) for event in inputs] == [*[OrderMassStatus] * 3, EndOfTape]


def test_resting_order_fills_at_the_row_that_touches_it() -> None:
    quotes = [(BEGUN_NS + n * S, 100.0, 100.1) for n in range(5)] + [(BEGUN_NS + 5 * S, 99.9, 100.0)]
    record = play(settings(**EAGER, execution__aggression_bps=0), quotes_tape(quotes)).record
    fills = [entry for entry in record if isinstance(entry.event, ExecutionReport)]
    assert [(entry.pos, entry.event.kind) for entry in fills] == [(6, "fill")]  # type: ignore[union-attr]
