"""Deadlines that passed together while a remote venue could not answer, and the end of a run."""

import pytest

from autohedge.app import engine_for
from autohedge.core.clock import NEVER
from autohedge.core.events import AnyTradingCommand, QueryOpenOrders, RunResult, Timer, VenueEvent
from autohedge.runtime.virtual import VirtualRuntime
from tests.run_harness import Recording, play, quotes_tape, settings

S = 10**9
BEGUN_NS = 1_700_000_000 * S
TAPE = quotes_tape([(BEGUN_NS + n * 10 * S, 100.0, 101.0) for n in range(4)])


class UnansweringVenue:
    """A remote venue that has not answered yet."""

    next_due_ns = NEVER
    next_touch = NEVER

    def send(self, command: AnyTradingCommand, now_ns: int) -> None:
        pass

    def poll(self) -> VenueEvent | None:
        return None

    def on_position(self, pos: int) -> None:
        pass

    def advance(self) -> None:
        pass

    def fill_resting(self, row: int) -> None:
        pass


def _played(until_ns: int) -> tuple[VirtualRuntime, Recording]:
    wanted = settings()
    record = Recording()
    runtime = VirtualRuntime(engine_for(wanted, TAPE), UnansweringVenue(), TAPE.rows, record)
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
    assert isinstance(played.record[-1].event, RunResult)
    assert len(played.events(QueryOpenOrders)) > 50
    assert played.engine.now_ns <= BEGUN_NS + 160 * S
