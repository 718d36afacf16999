"""Round trips: from the first entry of a symbol until its position is flat.

`TripTotals` does the arithmetic and is shared by audit, lessons and the legacy export. `RoundTrips` groups
the orders and fills of a journal into trips.
"""

from dataclasses import dataclass, field
from decimal import Decimal

from autohedge.core.bookings import FillBookings, RecordedFill
from autohedge.core.events import (
    AnyEvent,
    ExecutionReport,
    OrderAccepted,
    OrderAdopted,
    OrderRejected,
    RequestUnknown,
    SubmitOrder,
)
from autohedge.core.money import ZERO, add, divide, multiply, subtract
from autohedge.core.orders import BUY, ENTER, Purpose, Side

NO_VERDICT = "no verdict"


@dataclass(slots=True)
class TripTotals:
    """The totals of the fills of one round trip.

    `side` is that of its entries. `entry_notional` and `exit_notional` are before fees, in float64 because only
    average prices are derived from them. `cost` is what the quantity still held has cost with its fees, or for a
    short what its sale has brought after fees. `realized` is before fees.
    """

    side: Side = BUY
    opened_ns: int = 0
    entered: Decimal = ZERO
    left: Decimal = ZERO
    entry_notional: float = 0.0
    exit_notional: float = 0.0
    cost: Decimal = ZERO
    realized: Decimal = ZERO
    fees: Decimal = ZERO

    @property
    def held(self) -> Decimal:
        """The quantity that was entered and not yet left."""
        return subtract(self.entered, self.left)

    @property
    def position(self) -> Decimal:
        """The quantity held, negative for a short."""
        return self.held if self.side is BUY else self.held.copy_negate()

    @property
    def net(self) -> Decimal:
        """The realized profit after fees."""
        return subtract(self.realized, self.fees)

    @property
    def entry_price(self) -> float:
        """The mean price of the entries, before fees."""
        return self.entry_notional / float(self.entered)

    @property
    def exit_price(self) -> float:
        """The mean price of the exits, before fees."""
        return self.exit_notional / float(self.left)

    def enter(self, side: Side, quantity: Decimal, price: Decimal, fee: Decimal, ts_ns: int) -> None:
        """Adds a fill that entered."""
        self.side = side
        self.opened_ns = self.opened_ns or ts_ns
        self.entered = add(self.entered, quantity)
        self.entry_notional += float(quantity) * float(price)
        notional = multiply(quantity, price)
        self.cost = add(self.cost, add(notional, fee) if side is BUY else subtract(notional, fee))
        self.fees = add(self.fees, fee)

    def leave(self, quantity: Decimal, price: Decimal, fee: Decimal) -> Decimal:
        """Adds a fill that left; returns the cost of its quantity, at the mean cost of the position."""
        held, share = self.held, self.cost
        if quantity < held:  # a full exit takes the exact cost, without a quotient
            share = divide(multiply(self.cost, quantity), held)
        self.left = add(self.left, quantity)
        self.exit_notional += float(quantity) * float(price)
        self.cost = subtract(self.cost, share)
        self.fees = add(self.fees, fee)
        return share


@dataclass(slots=True)
class TripFill:
    """One fill, at the venue's time; `realized` is before fees."""

    ts_ns: int
    trade_id: str | None
    quantity: Decimal
    price: Decimal
    fee: Decimal
    realized: Decimal


@dataclass(slots=True)
class TrackedOrder:
    """One order, its state and its fills."""

    order_id: str
    symbol: str
    side: Side
    purpose: Purpose
    at_ns: int
    quantity: Decimal
    limit: Decimal | None
    reason: str
    time_in_force: str = ""
    take_profit: float | None = None
    stop_loss: float | None = None
    state: str = "working"
    fills: list[TripFill] = field(default_factory=list)

    @property
    def filled(self) -> Decimal:
        """The quantity filled."""
        total = ZERO
        for fill in self.fills:
            total = add(total, fill.quantity)
        return total

    @property
    def working(self) -> bool:
        """Whether the order may still fill, according to the record."""
        return self.state in {"working", "unknown"}


@dataclass(slots=True)
class RoundTrip:
    """The orders of one symbol until its position is flat.

    `verdict` is the number of the question whose verdict allowed the entry, 0 without one. `group` is the
    kind of verdict that it counts under. Amounts are in the quote currency of the symbol; `rate` is what a unit of
    it was worth in the reporting one at the last fill, None for the reporting one itself.
    """

    symbol: str
    verdict: int
    group: str
    orders: list[TrackedOrder] = field(default_factory=list)
    held: Decimal = ZERO
    totals: TripTotals = field(default_factory=TripTotals)
    closed_ns: int = 0
    rate: Decimal | None = None

    def reported(self, amount: Decimal) -> Decimal:
        """An amount of this trip in the reporting currency."""
        return amount if self.rate is None else multiply(amount, self.rate)

    def accepts_entry(self, side: Side) -> bool:
        """Whether a further entry belongs to this trip: a position is held, or an entry still works.

        An entry on the other side begins a trip, even if the last one has left what is too small to be closed.
        """
        entries = [order for order in self.orders if order.purpose is ENTER]
        if any(order.side is not side for order in entries):
            return False
        return self.held != ZERO or any(order.working for order in entries)


@dataclass(slots=True)
class TripStats:
    """Statistics of the round trips of one group: closed, still open, and without a fill.

    Amounts are in the reporting currency, each at the rate of the last fill of its trip.
    """

    closed: int = 0
    gained: int = 0
    realized: Decimal = ZERO
    fees: Decimal = ZERO
    still_open: int = 0
    unfilled: int = 0

    @property
    def net(self) -> Decimal:
        """The realized profit of the closed trips, after fees."""
        return subtract(self.realized, self.fees)

    def count(self, trip: RoundTrip) -> None:
        """Counts a trip that has ended or will not change any more."""
        if trip.closed_ns:
            self.closed += 1
            self.gained += trip.totals.net > ZERO
            self.realized = add(self.realized, trip.reported(trip.totals.realized))
            self.fees = add(self.fees, trip.reported(trip.totals.fees))
        elif any(order.fills for order in trip.orders):
            self.still_open += 1
        else:
            self.unfilled += 1


class RoundTrips:
    """Groups orders and fills into trips; keeps each symbol's current trip and totals of earlier ones."""

    def __init__(self) -> None:
        self.groups: dict[str, TripStats] = {}
        self._current: dict[str, RoundTrip] = {}
        self._orders: dict[str, tuple[RoundTrip, TrackedOrder]] = {}
        self._bookings = FillBookings()

    def on_submit(self, order: SubmitOrder, verdict: int, group: str) -> RoundTrip:
        """Assigns an order to its trip; an entry starts one if the symbol has none that accepts it."""
        if order.purpose is ENTER:
            self._end_unreported(order.symbol)
        tracked = TrackedOrder(
            order.order_id,
            order.symbol,
            order.side,
            order.purpose,
            order.at_ns,
            order.quantity,
            order.limit,
            order.reason,
            str(order.time_in_force),
            order.take_profit,
            order.stop_loss,
        )
        return self._place(tracked, verdict, group)

    def symbol_of(self, order_id: str) -> str:
        """The symbol of an order of a current trip; empty for any other order."""
        return self._orders[order_id][1].symbol if order_id in self._orders else ""

    def apply(self, event: AnyEvent) -> None:
        """Follows the events of orders; ignores all others."""
        if fill := self._bookings.apply(event):
            self._book(fill)
        match event:
            case ExecutionReport(kind="fill" | "bust"):
                pass  # counts once it is booked
            case ExecutionReport() | OrderRejected():
                self._end(event.order_id, event.kind if isinstance(event, ExecutionReport) else "rejected")
            case OrderAccepted() | RequestUnknown(about="submit"):
                self._set_state(event.order_id, "working" if isinstance(event, OrderAccepted) else "unknown")
            case OrderAdopted(order=order, purpose=purpose):
                figures = (0, order.quantity, order.limit, "adopted")
                adopted = TrackedOrder(order.order_id, order.symbol, order.side, purpose, *figures)
                self._place(adopted, 0, NO_VERDICT)

    def finish(self) -> None:
        """Counts the trips that are still open at the end of the record."""
        for trip in self._current.values():
            self._retire(trip)
        self._current.clear()

    def _end_unreported(self, symbol: str) -> None:
        """Ends the entries of a symbol before the next one: the engine sends none while another works.

        An entry that never arrived, or that the venue throttled, has no report of its end.
        """
        trip = self._current.get(symbol)
        for order in trip.orders if trip else ():
            if order.purpose is ENTER and order.working:
                order.state = "not_placed"

    def _place(self, tracked: TrackedOrder, verdict: int, group: str) -> RoundTrip:
        trip = self._current.get(tracked.symbol)
        # An exit belongs to the current trip even if that is flat: its entry may still fill.
        if trip is None or (tracked.purpose is ENTER and not trip.accepts_entry(tracked.side)):
            if trip:
                self._retire(trip)
            trip = self._current[tracked.symbol] = RoundTrip(tracked.symbol, verdict, group)
        trip.orders.append(tracked)
        self._orders[tracked.order_id] = (trip, tracked)
        return trip

    def _retire(self, trip: RoundTrip) -> None:
        # Counted and dropped: a long run would otherwise keep every trip in memory.
        for order in trip.orders:
            self._orders.pop(order.order_id, None)
        self.groups.setdefault(trip.group, TripStats()).count(trip)

    def _end(self, order_id: str, state: str) -> None:
        if order_id in self._orders:
            self._orders[order_id][1].state = state

    def _set_state(self, order_id: str, state: str) -> None:
        if order_id in self._orders and self._orders[order_id][1].working:
            self._orders[order_id][1].state = state

    def _book(self, fill: RecordedFill) -> None:
        """Adds a fill, or takes back a busted one."""
        report, booked, realized = fill
        if booked.order_id not in self._orders:
            return
        trip, tracked = self._orders[booked.order_id]
        _take_back(trip, tracked, report) if report.kind == "bust" else _fill(trip, tracked, fill)
        trip.totals.realized, trip.held = add(trip.totals.realized, realized), booked.position
        trip.rate = booked.rate
        trip.closed_ns = report.ts_ns if trip.held == ZERO else 0


def _fill(trip: RoundTrip, tracked: TrackedOrder, booked: RecordedFill) -> None:
    report = booked.report
    fill = TripFill(
        report.ts_ns,
        report.trade_id,
        report.quantity or ZERO,
        report.price or ZERO,
        booked.fee,
        booked.realized,
    )
    tracked.fills.append(fill)
    _add(trip.totals, tracked, fill)
    if tracked.filled >= tracked.quantity:
        tracked.state = "filled"


def _add(totals: TripTotals, order: TrackedOrder, fill: TripFill) -> None:
    if order.purpose is ENTER:
        totals.enter(order.side, fill.quantity, fill.price, fill.fee, fill.ts_ns)
    else:
        totals.leave(fill.quantity, fill.price, fill.fee)


def _take_back(trip: RoundTrip, tracked: TrackedOrder, report: ExecutionReport) -> None:
    """Recomputes the totals of a trip without the busted fill."""
    tracked.fills = [fill for fill in tracked.fills if fill.trade_id != report.trade_id]
    realized, trip.totals = trip.totals.realized, TripTotals()
    trip.totals.realized = realized  # comes from the ledger, not from the fills
    fills = [(fill, order) for order in trip.orders for fill in order.fills]
    for fill, order in sorted(fills, key=lambda each: each[0].ts_ns):
        _add(trip.totals, order, fill)
    tracked.state = "busted" if not tracked.fills else tracked.state
