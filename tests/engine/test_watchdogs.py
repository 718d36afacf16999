"""The watchdogs: midnight and silent feed, each set once, and again after it fired."""

from autohedge.core.timers import TimerQueue
from autohedge.core.units import NS_PER_DAY, NS_PER_S
from autohedge.engine.watchdogs import MIDNIGHT, SILENCE, Watchdogs
from autohedge.execution.tracking import TimerKey

DAY_NS = 20_000 * NS_PER_DAY
NOON_NS = DAY_NS + NS_PER_DAY // 2
TIMEOUT_NS = 60 * NS_PER_S


def _armed(row_ns: int, timeout_ns: int = TIMEOUT_NS) -> tuple[Watchdogs, TimerQueue[TimerKey]]:
    timers: TimerQueue[TimerKey] = TimerQueue()
    watchdogs = Watchdogs(timers, timeout_ns)
    watchdogs.row_ns = row_ns
    watchdogs.arm(NOON_NS)
    return watchdogs, timers


def test_watchdogs_wait_for_midnight_and_for_the_next_row() -> None:
    _, timers = _armed(NOON_NS - NS_PER_S)
    assert timers.deadline_ns(MIDNIGHT) == DAY_NS + NS_PER_DAY
    assert timers.deadline_ns(SILENCE) == NOON_NS - NS_PER_S + TIMEOUT_NS


def test_silence_of_an_old_row_is_later_than_now() -> None:
    _, timers = _armed(NOON_NS - NS_PER_DAY)
    assert timers.deadline_ns(SILENCE) == NOON_NS + 1


def test_without_a_timeout_only_midnight_is_watched() -> None:
    _, timers = _armed(NOON_NS, 0)
    assert MIDNIGHT in timers and SILENCE not in timers


def test_feed_is_silent_only_without_a_row_within_the_timeout() -> None:
    watchdogs, _ = _armed(NOON_NS)
    assert not watchdogs.on_silence(NOON_NS + TIMEOUT_NS - 1)
    assert watchdogs.on_silence(NOON_NS + TIMEOUT_NS)


def test_silence_is_not_watched_again_before_a_row_has_come() -> None:
    watchdogs, timers = _armed(NOON_NS)
    list(timers.pop_due(NOON_NS + TIMEOUT_NS))
    assert watchdogs.on_silence(NOON_NS + TIMEOUT_NS)
    watchdogs.feed_timed_out = True
    watchdogs.arm(NOON_NS + TIMEOUT_NS)
    assert SILENCE not in timers
    watchdogs.on_row_after_timeout()
    watchdogs.arm(NOON_NS + TIMEOUT_NS)
    assert SILENCE in timers
