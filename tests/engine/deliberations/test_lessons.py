"""Lessons: round trips are followed until flat, and requested once there are enough."""

from decimal import Decimal

from autohedge.core.clock import NEVER
from autohedge.core.events import Decision
from autohedge.core.orders import BUY, SELL, Side
from autohedge.core.snapshots import ClosedTrade
from autohedge.core.timers import TimerQueue
from autohedge.engine.deliberations.lessons import LEARNED, LessonScheduler
from autohedge.execution.tracking import TimerKey
from tests.execution.trading_factory import position_change
from tests.risk.intent_factory import buy, sell

D = Decimal
DEADLINE_NS = 100


class LessonHarness:
    """A lesson scheduler for two symbols, with the trades of each question and the timers."""

    def __init__(self, every_trades: int) -> None:
        self.questions: list[tuple[ClosedTrade, ...]] = []
        self.timers: TimerQueue[TimerKey] = TimerQueue()
        self.scheduler = LessonScheduler(["A", "B"], every_trades, DEADLINE_NS, self.timers)

    def fill(self, side: Side, quantity: str, price: str, realized: str, held: str, now_ns: int) -> None:
        change = position_change(side, D(quantity), D(price), D(realized), D(held))
        intent = buy() if side is BUY else sell(reason="take_profit")
        if closed := self.scheduler.on_fill(change, intent, now_ns):
            self.questions.append(closed)
            self.scheduler.on_asked(0, len(self.questions), now_ns)

    def round_trip(self, now_ns: int) -> None:
        self.fill(BUY, "1", "100", "0", "1", now_ns)
        self.fill(SELL, "1", "101", "1", "0", now_ns)


def test_round_trip_in_parts_has_mean_prices_fees_and_times() -> None:
    harness = LessonHarness(1)
    harness.fill(BUY, "1", "100", "0", "1", 10)
    harness.fill(BUY, "3", "104", "0", "4", 20)
    harness.fill(SELL, "2", "110", "14", "2", 30)
    assert harness.questions == []
    harness.fill(SELL, "2", "100", "-6", "0", 40)
    assert harness.questions == [(ClosedTrade("A", 10, 40, D(4), 103.0, 105.0, D(8), D(2), "take_profit"),)]
    assert harness.timers.deadline_ns((LEARNED, 0)) == 40 + DEADLINE_NS


def test_lesson_scheduler_batches_trades_with_one_pending_request() -> None:
    harness = LessonHarness(2)
    for now_ns in range(1, 6):
        harness.round_trip(now_ns)
    assert [len(trades) for trades in harness.questions] == [2]
    harness.scheduler.cancel(0)
    harness.round_trip(6)
    assert [[trade.closed_ns for trade in trips] for trips in harness.questions] == [[1, 2], [3, 4, 5, 6]]
    assert {
        (trade.quantity, trade.realized, trade.fees) for trips in harness.questions for trade in trips
    } == {(D(1), D(1), D(1))}


def test_lesson_wait_ends_on_pending_answer_and_counts_only_lessons() -> None:
    harness = LessonHarness(1)
    harness.round_trip(1)
    for number, verdict, lessons, due_ns in (
        (0, "lesson", 0, 101),
        (2, "lesson", 0, 101),
        (1, "lesson", 1, NEVER),
    ):
        harness.scheduler.on_decision(Decision(5, number, "learning", "A", 1, verdict), 0)  # type: ignore[arg-type]
        assert (harness.scheduler.lessons, harness.timers.deadline_ns((LEARNED, 0))) == (lessons, due_ns)
    harness.round_trip(6)
    harness.scheduler.on_decision(Decision(7, 2, "learning", "A", 6, "abstain", "timeout"), 0)
    assert harness.scheduler.lessons == 1
