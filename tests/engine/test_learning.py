"""Round trips are followed to flat, and asked about when there are enough of them."""

from decimal import Decimal

from autohedge.core.agenda import Agenda
from autohedge.core.clock import NEVER
from autohedge.core.events import AnyOutput, Decision, Deliberate
from autohedge.core.orders import BUY, SELL, Side
from autohedge.core.snapshots import Closed
from autohedge.engine.learning import LEARNED, School
from autohedge.execution.inquiry import Matter

D = Decimal
DEADLINE_NS = 100


class Class:
    """A school of two symbols, and what it said, showed and planned."""

    def __init__(self, every_trades: int) -> None:
        self.said: list[AnyOutput] = []
        self.shown: list[tuple[Closed, ...]] = []
        self.agenda: Agenda[Matter] = Agenda()
        numbers = iter(range(1, 99))
        self.school = School(
            ["A", "B"],
            every_trades,
            DEADLINE_NS,
            self.agenda,
            self.said.append,
            lambda: next(numbers),
            self._shoot,
        )

    def _shoot(self, lane: int, number: int, now_ns: int, closed: tuple[Closed, ...]) -> str:
        self.shown.append(closed)
        return f"{lane} {number} {now_ns}"

    def fill(self, side: Side, quantity: str, price: str, realized: str, held: str, now_ns: int) -> None:
        self.school.filled(
            0, side, D(quantity), D(price), D("0.5"), D(realized), D(held), "take_profit", now_ns
        )

    def trip(self, now_ns: int) -> None:
        self.fill(BUY, "1", "100", "0", "1", now_ns)
        self.fill(SELL, "1", "101", "1", "0", now_ns)


def test_a_trip_in_parts_has_its_mean_prices_its_fees_and_its_times() -> None:
    desk = Class(1)
    desk.fill(BUY, "1", "100", "0", "1", 10)
    desk.fill(BUY, "3", "104", "0", "4", 20)
    desk.fill(SELL, "2", "110", "14", "2", 30)
    assert desk.shown == []
    desk.fill(SELL, "2", "100", "-6", "0", 40)
    assert desk.shown == [(Closed("A", 10, 40, D(4), 103.0, 105.0, D(8), D(2), "take_profit"),)]
    assert desk.said == [Deliberate(40, 1, "learning", "A", "0 1 40")]
    assert desk.agenda.due_ns((LEARNED, 0)) == 40 + DEADLINE_NS


def test_it_asks_after_as_many_trips_as_set_and_one_question_at_a_time() -> None:
    desk = Class(2)
    for now_ns in range(1, 6):
        desk.trip(now_ns)
    assert [len(trips) for trips in desk.shown] == [2]
    desk.school.give_up(0)
    desk.trip(6)
    assert [[trip.closed_ns for trip in trips] for trips in desk.shown] == [[1, 2], [3, 4, 5, 6]]


def test_only_the_answer_that_is_waited_for_ends_the_wait_and_only_a_lesson_counts() -> None:
    desk = Class(1)
    desk.trip(1)
    for number, verdict, lessons, due_ns in (
        (0, "lesson", 0, 101),
        (2, "lesson", 0, 101),
        (1, "lesson", 1, NEVER),
    ):
        desk.school.decided(Decision(5, number, "learning", "A", 1, verdict), 0)  # type: ignore[arg-type]
        assert (desk.school.lessons, desk.agenda.due_ns((LEARNED, 0))) == (lessons, due_ns)
    desk.trip(6)
    desk.school.decided(Decision(7, 2, "learning", "A", 6, "abstain", "timeout"), 0)
    assert desk.school.lessons == 1
