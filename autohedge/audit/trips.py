"""Orders followed from the journal into round trips: from the first bought to nothing held."""

from dataclasses import dataclass, field
from decimal import Decimal

from autohedge.core.events import (
    Accepted,
    Adopted,
    AnyEvent,
    Booked,
    Rejected,
    Report,
    SubmitOrder,
    Unknown,
)
from autohedge.core.money import ZERO, add, subtract
from autohedge.core.orders import BUY, Side

NO_VERDICT = "no verdict"


@dataclass(slots=True)
class Fill:
    """One fill, at the venue's time; `realized` is before fees."""

    ts_ns: int
    trade_id: str | None
    quantity: Decimal
    price: Decimal
    fee: Decimal
    realized: Decimal


@dataclass(slots=True)
class Placed:
    """One order and what became of it."""

    order_id: str
    symbol: str
    side: Side
    at_ns: int
    quantity: Decimal
    limit: Decimal | None
    reason: str
    time_in_force: str = ""
    take_profit: float | None = None
    stop_loss: float | None = None
    state: str = "working"
    fills: list[Fill] = field(default_factory=list)

    @property
    def filled(self) -> Decimal:
        """How much of it was filled."""
        total = ZERO
        for fill in self.fills:
            total = add(total, fill.quantity)
        return total

    @property
    def working(self) -> bool:
        """Whether it may still fill, as far as the record says."""
        return self.state in {"working", "unknown"}


@dataclass(slots=True)
class Trip:
    """Entries and exits of one symbol until nothing is held; `verdict` is the question that let it in, or 0."""

    symbol: str
    verdict: int
    group: str
    orders: list[Placed] = field(default_factory=list)
    held: Decimal = ZERO
    realized: Decimal = ZERO
    fees: Decimal = ZERO
    closed_ns: int = 0

    @property
    def net(self) -> Decimal:
        """What it brought after its fees."""
        return subtract(self.realized, self.fees)

    @property
    def enters(self) -> bool:
        """Whether more may be bought for it, or something is held."""
        return self.held != ZERO or any(order.side is BUY and order.working for order in self.orders)


@dataclass(slots=True)
class Group:
    """Round trips that verdicts of one kind let in: those that ended, and those that did not."""

    closed: int = 0
    gained: int = 0
    realized: Decimal = ZERO
    fees: Decimal = ZERO
    still_open: int = 0
    unfilled: int = 0

    @property
    def net(self) -> Decimal:
        """What they brought after fees."""
        return subtract(self.realized, self.fees)

    def count(self, trip: Trip) -> None:
        """Add a trip that nothing more will happen to."""
        if trip.closed_ns:
            self.closed += 1
            self.gained += trip.net > ZERO
            self.realized = add(self.realized, trip.realized)
            self.fees = add(self.fees, trip.fees)
        elif any(order.fills for order in trip.orders):
            self.still_open += 1
        else:
            self.unfilled += 1


class Trips:
    """Follows orders and fills; keeps the trip under way of each symbol, and sums of those before."""

    def __init__(self) -> None:
        self.groups: dict[str, Group] = {}
        self._current: dict[str, Trip] = {}
        self._orders: dict[str, tuple[Trip, Placed]] = {}
        self._report: Report | None = None
        self._realized = ZERO

    def submitted(self, order: SubmitOrder, verdict: int, group: str) -> Trip:
        """Put an order to its trip; an entry begins one where none is under way."""
        placed = Placed(
            order.order_id,
            order.symbol,
            order.side,
            order.at_ns,
            order.quantity,
            order.limit,
            order.reason,
            str(order.time_in_force),
            order.take_profit,
            order.stop_loss,
        )
        return self._place(placed, verdict, group)

    def symbol_of(self, order_id: str) -> str:
        """What an order of a trip under way is about; empty for one that is not known, or of one before."""
        return self._orders[order_id][1].symbol if order_id in self._orders else ""

    def take(self, event: AnyEvent) -> None:
        """Follow what became of orders; all other events are passed over."""
        match event:
            case Report(kind="fill" | "bust"):
                self._report = event
            case Report() | Rejected():
                self._end(event.order_id, event.kind if isinstance(event, Report) else "rejected")
            case Accepted() | Unknown(about="submit"):
                self._heard(event.order_id, "working" if isinstance(event, Accepted) else "unknown")
            case Booked():
                self._book(event)
            case Adopted(order=order):
                figures = (0, order.quantity, order.limit, "adopted")
                self._place(Placed(order.order_id, order.symbol, order.side, *figures), 0, NO_VERDICT)

    def finish(self) -> None:
        """Nothing more will happen."""
        for trip in self._current.values():
            self._retire(trip)
        self._current.clear()

    def _place(self, placed: Placed, verdict: int, group: str) -> Trip:
        trip = self._current.get(placed.symbol)
        if trip is None or (placed.side is BUY and not trip.enters):
            if trip:
                self._retire(trip)
            trip = self._current[placed.symbol] = Trip(placed.symbol, verdict, group)
        trip.orders.append(placed)
        self._orders[placed.order_id] = (trip, placed)
        return trip

    def _retire(self, trip: Trip) -> None:
        for order in trip.orders:
            self._orders.pop(order.order_id, None)
        self.groups.setdefault(trip.group, Group()).count(trip)

    def _end(self, order_id: str, state: str) -> None:
        if order_id in self._orders:
            self._orders[order_id][1].state = state

    def _heard(self, order_id: str, state: str) -> None:
        if order_id in self._orders and self._orders[order_id][1].working:
            self._orders[order_id][1].state = state

    def _book(self, booked: Booked) -> None:
        """A fill counts once it is in the books, where each is only once."""
        realized = subtract(booked.realized, self._realized)
        self._realized = booked.realized
        report, self._report = self._report, None
        if report is None or report.order_id != booked.order_id or booked.order_id not in self._orders:
            return
        trip, placed = self._orders[booked.order_id]
        _take_back(trip, placed, report) if report.kind == "bust" else _fill(trip, placed, report, realized)
        trip.realized, trip.held = add(trip.realized, realized), booked.position
        trip.closed_ns = report.ts_ns if trip.held == ZERO else 0


def _fill(trip: Trip, placed: Placed, report: Report, realized: Decimal) -> None:
    fee, quantity = report.fee or ZERO, report.quantity or ZERO
    placed.fills.append(Fill(report.ts_ns, report.trade_id, quantity, report.price or ZERO, fee, realized))
    trip.fees = add(trip.fees, fee)
    if placed.filled >= placed.quantity:
        placed.state = "filled"


def _take_back(trip: Trip, placed: Placed, report: Report) -> None:
    for fill in placed.fills:
        if fill.trade_id == report.trade_id:
            trip.fees = subtract(trip.fees, fill.fee)
    placed.fills = [fill for fill in placed.fills if fill.trade_id != report.trade_id]
    placed.state = "taken back" if not placed.fills else placed.state
