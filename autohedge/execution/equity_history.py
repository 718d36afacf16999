"""The equity of an account over time.

While a run is on, only its bookings are kept. The series is computed at the end, from them and the rows.
"""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import NamedTuple

import msgspec
import numpy as np

from autohedge.core.accounts import OpeningAccount, Rates
from autohedge.core.events import ExternalChange, FillBooked, Input, JournalEntry, OrderAdopted, SubmitOrder
from autohedge.core.money import ZERO, add
from autohedge.core.units import NS_PER_DAY, NS_PER_HOUR, NS_PER_MINUTE
from autohedge.execution.valuation import FLAT, Holding, converted_equity, exact_equity
from autohedge.kernels.matching import last_valid
from autohedge.kernels.state import scalars
from autohedge.market.columns import Column
from autohedge.market.rows import Rows

UNITS_NS = (NS_PER_DAY, NS_PER_HOUR, NS_PER_MINUTE)
POINTS_LEAST = 30  # of the longest unit that has as many; fewer would say little about a run
NO_QUOTE = (float("nan"), float("nan"))

EquityPoint = tuple[int, Decimal]


class _Booking(NamedTuple):
    """A fill, with the position of its lane and the cash after it; or an adjustment, with the amount that it added.

    The lane of an adjustment of cash is -1. `currency` is that of an adjustment, `balances` are those that a fill
    moved in other currencies than the reporting one.
    """

    pos: int
    ts_ns: int
    is_fill: bool
    lane: int
    quantity: str
    cost: str = ""
    cash: str = ""
    currency: str = ""
    balances: dict[str, str] | None = None


_encode = msgspec.msgpack.Encoder(decimal_format="string").encode
_decode = msgspec.msgpack.Decoder(_Booking).decode


class EquityHistory:
    """The bookings of a run, in their order.

    They are kept encoded, which takes a quarter of the memory of their decimals.
    """

    def __init__(self) -> None:
        self._bookings: list[bytes] = []

    def record_fill(self, pos: int, ts_ns: int, lane: int, booked: FillBooked) -> None:
        """Records a fill that was booked after `pos` rows."""
        values = (pos, ts_ns, True, lane, booked.position, booked.cost, booked.cash)
        self._bookings.append(_encode((*values, "", booked.balances) if booked.balances else values))

    def record_adjustment(self, pos: int, ts_ns: int, lane: int, amount: Decimal, currency: str = "") -> None:
        """Records a change of a position that no fill explains, or with lane -1 one of cash in a currency."""
        self._bookings.append(_encode((pos, ts_ns, False, lane, amount, "", "", currency)))

    def series(self, rows: Rows, taken: int, opening: OpeningAccount) -> list[EquityPoint]:
        """Returns (time in ns, exact equity) at every fill, and at the last row of each unit of time, oldest first.

        The unit is a UTC day, hour or minute: the longest of which there are `POINTS_LEAST`, else a minute.
        `rows` are those of the run, of which `taken` were taken.
        """
        account, points = _Account(rows, opening), list[EquityPoint]()
        bookings = map(_decode, self._bookings)
        booking = next(bookings, None)
        for end in _ends(rows.ts[:taken]):
            end_ns = rows.ts.item(end - 1)
            while booking and (booking.pos, booking.ts_ns) <= (end, end_ns):
                account.book(booking, points)
                booking = next(bookings, None)
            point = account.point(end, end_ns)
            if point not in points[-1:]:  # a fill at the row itself has the same one
                points.append(point)
        while booking:
            account.book(booking, points)
            booking = next(bookings, None)
        return points


class _Account:
    """An account as it was at one time after another."""

    def __init__(self, rows: Rows, opening: OpeningAccount) -> None:
        self._rows, self._cash, self._balances = rows, opening.cash, dict(opening.balances)
        currencies = opening.currencies
        self._rates = None if currencies.single else Rates(currencies, self._last_quote)
        self._ts, self._lane = scalars(rows.ts), scalars(rows.lane)
        self._bid, self._ask = scalars(rows.bid), scalars(rows.ask)
        self._holdings: dict[int, Holding] = {}
        self._quotes: dict[int, tuple[int, tuple[float, float]]] = {}
        self._pos = self._ts_ns = 0

    def book(self, booking: _Booking, points: list[EquityPoint]) -> None:
        """Applies a booking; appends the point of a fill."""
        if booking.is_fill:
            self._cash = Decimal(booking.cash)
            for currency, amount in (booking.balances or {}).items():
                self._balances[currency] = Decimal(amount)
            self._hold(booking.lane, Decimal(booking.quantity), Decimal(booking.cost))
            points.append(self.point(booking.pos, booking.ts_ns))
        elif booking.lane < 0:
            self._deposit(Decimal(booking.quantity), booking.currency)
        else:
            held = self._holdings.get(booking.lane, FLAT)
            # The cost is that of a position without a quote; without one, no difference is adopted.
            self._hold(booking.lane, add(held.quantity, Decimal(booking.quantity)), held.cost)

    def _deposit(self, amount: Decimal, currency: str) -> None:
        if self._rates and currency != self._rates.currencies.reporting:
            self._balances[currency] = add(self._balances.get(currency, ZERO), amount)
        else:
            self._cash = add(self._cash, amount)

    def _hold(self, lane: int, quantity: Decimal, cost: Decimal) -> None:
        if quantity:
            self._holdings[lane] = Holding(quantity, cost)
        else:
            self._holdings.pop(lane, None)

    def point(self, pos: int, ts_ns: int) -> EquityPoint:
        """Returns the point after `pos` rows; its time is not before that of a row or point before it."""
        row_ns = self._ts[pos - 1] if pos else 0
        self._pos, self._ts_ns = pos, max(self._ts_ns, ts_ns, row_ns)
        if self._rates is None:
            if not self._holdings:
                return self._ts_ns, self._cash
            return self._ts_ns, exact_equity(self._cash, self._holdings, self._last_quote)
        balances = {self._rates.currencies.reporting: self._cash, **self._balances}
        return self._ts_ns, converted_equity(balances, self._holdings, self._rates)

    def _last_quote(self, lane: int) -> tuple[float, float]:
        """Returns the last valid quote of a lane; each row is searched once per lane at most."""
        row = self._pos - 1
        if row >= 0 and self._lane[row] == lane:
            quote = self._bid[row], self._ask[row]
            if quote[0] > 0.0 and quote[0] <= quote[1] < np.inf:
                return quote
        rows, pos = self._rows, self._pos
        start, quote = self._quotes.get(lane, (0, NO_QUOTE))
        row = last_valid(rows.lane, rows.bid, rows.ask, start, pos, lane)
        if row >= 0:
            quote = rows.bid.item(row), rows.ask.item(row)
        self._quotes[lane] = pos, quote
        return quote


def _ends(ts: Column) -> list[int]:
    """Returns the number of rows up to the end of each unit of time that has any."""
    ends: list[int] = []
    for unit_ns in UNITS_NS:
        ends = list(_ends_of(ts, unit_ns))
        if len(ends) >= POINTS_LEAST:
            break
    return ends


def _ends_of(ts: Column, unit_ns: int) -> Iterator[int]:
    end = 0
    while end < len(ts):
        next_ns = (ts.item(end) // unit_ns + 1) * unit_ns
        end = int(ts.searchsorted(next_ns))
        yield end


class RecordedBookings:
    """The bookings of a run as its journal has them; they give the same series as those of its engine."""

    def __init__(self, symbols: Sequence[str]) -> None:
        self.history = EquityHistory()
        self._lanes = {symbol: lane for lane, symbol in enumerate(symbols)}
        self._lane_of_order: dict[str, int] = {}
        self._input_ns = 0

    def apply(self, entry: JournalEntry) -> None:
        """Takes the next entry of the journal."""
        pos, event = entry.pos, entry.event
        if isinstance(event, Input):
            self._input_ns = max(self._input_ns, getattr(event, "at_ns", 0))
        match event:
            case SubmitOrder() as order:
                self._lane_of_order[order.order_id] = self._lanes.get(order.symbol, -1)
            case OrderAdopted(order=found):
                self._lane_of_order[found.order_id] = self._lanes.get(found.symbol, -1)
            case FillBooked():
                lane = self._lane_of_order.get(event.order_id, -1)
                self.history.record_fill(pos, self._input_ns, lane, event)
            case ExternalChange(policy="adopt", kind="cash"):
                self.history.record_adjustment(pos, self._input_ns, -1, event.amount, event.subject)
            case ExternalChange(policy="adopt") if event.subject in self._lanes:
                lane = self._lanes[event.subject]
                self.history.record_adjustment(pos, self._input_ns, lane, event.amount)
