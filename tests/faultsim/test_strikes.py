"""Strikes wait for their opportunity, each by itself."""

from collections import Counter

from autohedge.core.clock import NEVER
from autohedge.faultsim.strikes import FaultSchedule, Strike


def _schedule(*strikes: Strike) -> FaultSchedule:
    return FaultSchedule(strikes, Counter())


def _times(schedule: FaultSchedule, opportunities: range) -> list[int]:
    return [now_ns for now_ns in opportunities if schedule.take("drop", now_ns)]


def test_strike_happens_at_the_first_opportunity_after_those_it_skips() -> None:
    assert _times(_schedule(Strike("drop", 3)), range(10)) == [3]
    assert _times(_schedule(Strike("drop", 3, skip=2)), range(10)) == [5]
    assert _times(_schedule(Strike("drop", 3)), range(5, 10)) == [5]


def test_strikes_of_one_fault_count_their_opportunities_apart() -> None:
    first, second = Strike("drop", 0, skip=4), Strike("drop", 2, skip=1)
    assert _times(_schedule(first, second), range(10)) == [3, 4]
    assert _times(_schedule(second), range(10)) == [3]
    assert _times(_schedule(first), range(10)) == [4]


def test_schedule_counts_what_was_taken_and_knows_what_comes_next() -> None:
    schedule = _schedule(Strike("drop", 3), Strike("delay", 7))
    assert schedule.next_of(["drop", "delay"]) == 3
    assert schedule.take("drop", 3) and schedule.due("delay", 6) is None
    assert (schedule.next_of(["drop", "delay"]), schedule.fault_counts) == (7, Counter(drop=1))
    schedule.clear()
    assert schedule.next_of(["drop", "delay"]) == NEVER


def test_values_decide_details() -> None:
    strike = Strike("drop", 0, values=(0.25, 0.99))
    assert strike.between(0, 8) == 2
    assert strike.choose("abc", 1) == "c"
    assert strike.between(0, 8, 5) == 4, "the middle without a value"
