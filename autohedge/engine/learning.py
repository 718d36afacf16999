"""Round trips that ended, gathered until there are enough of them to be learned from."""

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal

from autohedge.core.agenda import Agenda
from autohedge.core.events import AnyOutput, Decision, Deliberate
from autohedge.core.money import ZERO, add
from autohedge.core.orders import BUY, Side
from autohedge.core.snapshots import Closed
from autohedge.execution.inquiry import Matter

LEARNED = "learned"
KEPT_MAX = 20


@dataclass(slots=True)
class _Trip:
    """A position while it is open: money paid and received, quantities, fees."""

    opened_ns: int = 0
    bought: Decimal = ZERO
    sold: Decimal = ZERO
    paid: float = 0.0
    received: float = 0.0
    realized: Decimal = ZERO
    fees: Decimal = ZERO


@dataclass(slots=True)
class _Pupil:
    """One lane: the trip under way, the trips that ended, the number of the question on its way."""

    trip: _Trip = field(default_factory=_Trip)
    closed: list[Closed] = field(default_factory=list)
    waits_for: int = 0


class School:
    """Asks for a lesson after every so many round trips of a symbol, one question at a time."""

    def __init__(
        self,
        symbols: list[str],
        every_trades: int,
        deadline_ns: int,
        agenda: Agenda[Matter],
        emit: Callable[[AnyOutput], None],
        number: Callable[[], int],
        shoot: Callable[[int, int, int, tuple[Closed, ...]], str],
    ) -> None:
        self._symbols = symbols
        self._every = every_trades
        self._deadline_ns = deadline_ns
        self._agenda = agenda
        self._emit = emit
        self._number = number
        self._shoot = shoot
        self._pupils = [_Pupil() for _ in symbols]
        self.lessons = 0

    def filled(
        self,
        lane: int,
        side: Side,
        quantity: Decimal,
        price: Decimal,
        fee: Decimal,
        realized: Decimal,
        held: Decimal,
        reason: str,
        now_ns: int,
    ) -> None:
        """Follow one booked fill; `held` is what is held after it."""
        pupil = self._pupils[lane]
        trip = pupil.trip
        trip.fees, trip.realized = add(trip.fees, fee), add(trip.realized, realized)
        if side is BUY:
            trip.opened_ns = trip.opened_ns or now_ns
            trip.bought, trip.paid = add(trip.bought, quantity), trip.paid + float(quantity) * float(price)
        else:
            trip.sold, trip.received = (
                add(trip.sold, quantity),
                trip.received + float(quantity) * float(price),
            )
        if side is not BUY and held == ZERO and trip.bought > ZERO:
            pupil.closed = [*pupil.closed, self._closed(lane, trip, reason, now_ns)][-KEPT_MAX:]
            pupil.trip = _Trip()
            self._try(lane, now_ns)

    def decided(self, decision: Decision, lane: int) -> None:
        """Take an answer, if it is the one that is waited for."""
        if 0 < self._pupils[lane].waits_for == decision.number:
            self.lessons += decision.verdict == "lesson"
            self.give_up(lane)

    def give_up(self, lane: int) -> None:
        """Wait no longer."""
        self._pupils[lane].waits_for = 0
        self._agenda.drop((LEARNED, lane))

    def _closed(self, lane: int, trip: _Trip, reason: str, now_ns: int) -> Closed:
        return Closed(
            symbol=self._symbols[lane],
            opened_ns=trip.opened_ns,
            closed_ns=now_ns,
            quantity=trip.bought,
            entry_price=trip.paid / float(trip.bought),
            exit_price=trip.received / float(trip.sold),
            realized=trip.realized,
            fees=trip.fees,
            reason=reason,
        )

    def _try(self, lane: int, now_ns: int) -> None:
        pupil = self._pupils[lane]
        if pupil.waits_for or len(pupil.closed) < self._every:
            return
        pupil.waits_for = number = self._number()
        snapshot = self._shoot(lane, number, now_ns, tuple(pupil.closed))
        pupil.closed = []
        self._agenda.put((LEARNED, lane), now_ns + self._deadline_ns)
        self._emit(Deliberate(now_ns, number, "learning", self._symbols[lane], snapshot))
