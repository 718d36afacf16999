"""The simulated venue: fills orders from recorded quotes, with fees, latency and scripted faults.

It reads the same rows as the engine, at the same position. An order arrives at the venue one order latency
after it was sent, and its outcome reaches the engine one response latency later. Without latency, the order
meets the quote that triggered it.

A marketable order fills at the quoted price, whole or up to the shown size. A resting order fills at its own
limit, on the first quote that touches it. Queue position is not modelled.
"""

import heapq
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum, auto, unique
from math import nan
from typing import Literal, TypeVar

import msgspec

from autohedge.config import Settings, opening_account
from autohedge.core.accounts import OpeningAccount
from autohedge.core.clock import NEVER
from autohedge.core.events import (
    AnyTradingCommand,
    CancelOrder,
    ChangeRejected,
    ExecutionReport,
    OrderAccepted,
    OrderEvent,
    OrderMassStatus,
    OrderNotFound,
    OrderRejected,
    OrderReplaced,
    QueryAccount,
    QueryFills,
    QueryOpenOrders,
    QueryOrder,
    ReplaceOrder,
    RequestUnknown,
    SubmitOrder,
    TradingCommand,
    VenueEvent,
    VenueOrderStatus,
)
from autohedge.core.ids import DEFAULT_IDS, RunIds, seeded_random
from autohedge.core.money import ZERO, add, bps_of, floor_to, multiply, subtract, to_decimal
from autohedge.core.orders import BUY, GTC, LIMIT, SELL
from autohedge.core.units import NS_PER_MS
from autohedge.exchanges.account import VenueAccount
from autohedge.exchanges.order_record import OrderRecord
from autohedge.kernels.matching import first_touch
from autohedge.market.cursor import MarketCursor
from autohedge.market.recent_quotes import RecentQuotes
from autohedge.market.rows import Rows

REMEMBERED_MAX = 10_000
SEARCHED_ROWS = 4_096  # at a time for a touch, so that rows which come one by one are not searched one by one
LISTED_MAX = 500  # real venues limit their lists too: an old order must be queried by its id

VenueEventT = TypeVar("VenueEventT", bound=VenueEvent)


@unique
class Fault(Enum):
    """A fault that a script can apply to one order."""

    REJECT = auto()
    LOSE_ANSWER = auto()
    LOSE_ORDER = auto()


# Module-level names, because Python 3.11 takes a quarter of a microsecond to look up an enum member.
_REJECT, _LOSE_ANSWER, _LOSE_ORDER = Fault

FaultScript = Callable[[SubmitOrder, int], Fault | None]


def no_faults(order: SubmitOrder, at_ns: int) -> Fault | None:
    """The fault script of a venue without faults."""
    return None


@dataclass(frozen=True, slots=True)
class VenueModel:
    """The fees, latencies (in ns) and fill model of the venue; `ids` names it and the account.

    A fill of an order that rested pays `maker_bps` of its notional, a fill on arrival `taker_bps`.
    """

    maker_bps: Decimal
    taker_bps: Decimal
    order_latency_ns: int
    response_latency_ns: int
    jitter_ns: int
    partial_fills: bool
    account: OpeningAccount
    fee_currency: str = ""
    ids: RunIds = DEFAULT_IDS

    @classmethod
    def of(cls, settings: Settings, symbols: Sequence[str] = ()) -> "VenueModel":
        """The model of the settings, for an account that trades these symbols."""
        account, simulated = settings.account, settings.simulated
        return cls(
            maker_bps=account.maker_bps,
            taker_bps=account.taker_bps,
            order_latency_ns=round(simulated.order_latency_ms * NS_PER_MS),
            response_latency_ns=round(simulated.response_latency_ms * NS_PER_MS),
            jitter_ns=round(simulated.latency_jitter_ms * NS_PER_MS),
            partial_fills=simulated.partial_fills,
            account=opening_account(settings, symbols),
            fee_currency=simulated.fee_currency,
        )


@dataclass(slots=True)
class _Resting:
    """A resting order: `touch` is the first row that fills it, NEVER if no row before `searched` does."""

    order: SubmitOrder
    lane: int
    remaining: Decimal
    searched: int = 0
    touch: int = NEVER


class SimulatedVenue:
    """A venue for all symbols of a market, in virtual time."""

    def __init__(
        self,
        model: VenueModel,
        lots: dict[str, Decimal],
        market: MarketCursor,
        *,
        nonce: str = "",
        faults: FaultScript = no_faults,
    ) -> None:
        self._model = model
        self._lots = lots
        self._lanes = {symbol: lane for lane, symbol in enumerate(lots)}
        self._market = market
        self._quotes = RecentQuotes(len(lots), 1)
        self._seen = 0
        self._faults = faults
        self._jitter = seeded_random(nonce, "order latency")
        self._pos = 0
        self._count = 0
        self._trades = 0
        self._last_arrival_ns = 0
        self._due: list[tuple[int, int, int, AnyTradingCommand | VenueEvent]] = []
        self._arrived: deque[VenueEvent] = deque()
        self._resting: dict[str, _Resting] = {}
        self._known: dict[str, OrderRecord] = {}
        self.account = VenueAccount(model.account, model.fee_currency, list(lots), self._quote_of, model.ids)

    # the `Gateway` interface

    def send(self, command: AnyTradingCommand, now_ns: int) -> None:
        """Takes a command; without latency it takes effect at once."""
        delay_ns = self._model.order_latency_ns
        if self._model.jitter_ns:
            delay_ns += self._jitter.randrange(self._model.jitter_ns + 1)
        if delay_ns == 0 and self._last_arrival_ns <= now_ns:
            self._execute(command, now_ns, at_once=True)
        else:
            # one connection: a command never overtakes an earlier one
            self._last_arrival_ns = max(now_ns + delay_ns, self._last_arrival_ns)
            self._schedule(self._last_arrival_ns, 0, command)

    def poll(self) -> VenueEvent | None:
        """The next answer that has reached the engine, or None."""
        return self._arrived.popleft() if self._arrived else None

    # the account

    def fills(self, order_id: str) -> list[ExecutionReport]:
        """All fills of an order, oldest first."""
        events = self.events(order_id)
        return [answer for answer in events if isinstance(answer, ExecutionReport) and answer.kind == "fill"]

    def events(self, order_id: str) -> tuple[OrderEvent, ...]:
        """All events that the venue has sent about an order, oldest first; none for an unknown id."""
        return tuple(self._known[order_id].events) if order_id in self._known else ()

    def status(self, order_id: str) -> VenueOrderStatus:
        """An order as the venue lists it. Raises KeyError for an unknown id."""
        return self._known[order_id].listed()

    @property
    def orders(self) -> tuple[VenueOrderStatus, ...]:
        """All orders that the venue remembers, oldest first."""
        return tuple(known.listed() for known in self._known.values())

    @property
    def cash(self) -> Decimal:
        """The cash in the reporting currency."""
        return self.account.cash

    @property
    def held(self) -> dict[str, Decimal]:
        """The positions that are not zero."""
        return self.account.held

    @property
    def resting(self) -> tuple[str, ...]:
        """The orders that rest in the book, oldest first."""
        return tuple(self._resting)

    # virtual time

    @property
    def next_due_ns(self) -> int:
        """When the next message arrives, here or at the engine; NEVER if none is in transit."""
        return self._due[0][0] if self._due else NEVER

    def first_touch(self, stop: int) -> int:
        """Returns the first row before `stop` that fills a resting order; `stop` if none does."""
        if not self._resting:
            return stop
        return min(self._touch_of(rest, stop) for rest in self._resting.values())

    def on_position(self, pos: int) -> None:
        """Makes the rows before `pos` known to the venue."""
        self._pos = max(self._pos, pos)

    def advance(self) -> None:
        """Delivers the earliest message; at one time, commands to the venue come before answers."""
        due_ns, _, _, what = heapq.heappop(self._due)
        if isinstance(what, TradingCommand):
            self._execute(what, due_ns, at_once=False)
        else:
            self._arrived.append(what)

    def fill_resting(self, row: int) -> None:
        """Fills the resting orders that this row touches, oldest first."""
        touched = [rest for rest in self._resting.values() if rest.touch == row]
        for rest in touched:
            self._fill_resting(rest, row)

    # at the venue

    def _schedule(self, due_ns: int, rank: int, what: AnyTradingCommand | VenueEvent) -> None:
        self._count += 1  # keeps the order of sending within one time, and events are not comparable
        heapq.heappush(self._due, (due_ns, rank, self._count, what))

    def _record_and_deliver(self, answer: OrderEvent, *, at_once: bool) -> None:
        self._known[answer.order_id].events.append(answer)
        self._deliver(answer, at_once=at_once)

    def _deliver(self, answer: VenueEvent, *, at_once: bool) -> None:
        delay_ns = self._model.response_latency_ns
        # An answer to a delayed command is scheduled even without a response latency, so that commands which
        # arrive at the same time come first.
        if at_once and delay_ns == 0:
            self._arrived.append(answer)
        else:
            at_ns = answer.at_ns + delay_ns
            self._schedule(at_ns, 1, _delayed(answer, at_ns))

    def _execute(self, command: AnyTradingCommand, now_ns: int, *, at_once: bool) -> None:
        match command:
            case SubmitOrder():
                self._place(command, now_ns, at_once=at_once)
            case CancelOrder():
                self._cancel(command.order_id, now_ns, at_once=at_once)
            case ReplaceOrder():
                self._replace(command, now_ns, at_once=at_once)
            case QueryOrder():
                self._report_order(command.order_id, command.at_ns, now_ns, at_once=at_once)
            case QueryFills():
                self._report_fills(command.since_ns, now_ns, at_once=at_once)
            case QueryOpenOrders():
                names = self._model.ids.venue, self._model.ids.account
                listed = OrderMassStatus(now_ns, command.at_ns, self._recent(), *names)
                self._deliver(listed, at_once=at_once)
            case QueryAccount():
                self._deliver(self.account.state(now_ns, command.at_ns), at_once=at_once)

    def _recent(self) -> tuple[VenueOrderStatus, ...]:
        """All open orders, and those that ended among the last `LISTED_MAX` orders."""
        newest = list(self._known.values())[-LISTED_MAX:]
        open_before = [k for k in list(self._known.values())[:-LISTED_MAX] if k.status == "open"]
        return tuple(known.listed() for known in (*open_before, *newest))

    def _place(self, order: SubmitOrder, now_ns: int, *, at_once: bool) -> None:
        """Places an order; an order id that exists already is not placed twice, but reported."""
        if order.order_id in self._known:
            self._report_order(order.order_id, order.at_ns, now_ns, at_once=at_once)
            return
        fault = self._faults(order, now_ns)
        if fault is _LOSE_ORDER or fault is _LOSE_ANSWER:
            self._deliver(RequestUnknown(now_ns, order.order_id, "scripted"), at_once=at_once)
        if fault is _LOSE_ORDER:
            return
        self._register(order)
        if fault is _REJECT:
            self._known[order.order_id].status = "rejected"
            self._record_and_deliver(OrderRejected(now_ns, order.order_id, "scripted"), at_once=at_once)
        else:
            self._match(order, now_ns, at_once=at_once, acknowledge=fault is None)

    def _register(self, order: SubmitOrder) -> None:
        """Stores an order; beyond `REMEMBERED_MAX`, drops the oldest one unless it still rests."""
        self._known[order.order_id] = OrderRecord(order, [])
        if len(self._known) > REMEMBERED_MAX:
            oldest = next(iter(self._known))
            known = self._known.pop(oldest)
            if oldest in self._resting:  # back in as the newest: it is looked at again after all others
                self._known[oldest] = known

    def _report_order(self, order_id: str, requested_ns: int, now_ns: int, *, at_once: bool) -> None:
        """Repeats all events of an order, and whether it rests; reports "not found" for an unknown id."""
        if order_id not in self._known:
            self._deliver(OrderNotFound(now_ns, order_id, requested_ns), at_once=at_once)
            return
        if order_id in self._resting:
            self._deliver(OrderAccepted(now_ns, order_id, f"sim-{order_id}"), at_once=at_once)
        for answer in self._known[order_id].events:
            self._deliver(_delayed(answer, now_ns), at_once=at_once)

    def _report_fills(self, since_ns: int, now_ns: int, *, at_once: bool) -> None:
        """Repeats all fills since `since_ns`, oldest first."""
        fills = (fill for order_id in self._known for fill in self.fills(order_id) if fill.ts_ns >= since_ns)
        for fill in sorted(fills, key=lambda fill: fill.ts_ns):
            self._deliver(_delayed(fill, now_ns), at_once=at_once)

    def _match(self, order: SubmitOrder, now_ns: int, *, at_once: bool, acknowledge: bool) -> None:
        lane = self._lanes[order.symbol]
        remaining = order.quantity
        quote = self._last_quote(lane)
        if quote and (price := self._marketable(order, *quote)) is not None:
            quantity = self._available(order, *quote, remaining)
            remaining = subtract(remaining, quantity)
            self._fill(order, quantity, price, now_ns, at_once=at_once)
        if remaining == ZERO:
            return
        if order.time_in_force is GTC and order.order_type is LIMIT:
            if acknowledge:
                self._accept(order, now_ns, at_once=at_once)
            self._rest(_Resting(order, lane, remaining), self._pos)
        else:
            self._finish(order.order_id, "expired", now_ns, at_once=at_once)

    def _accept(self, order: SubmitOrder, now_ns: int, *, at_once: bool) -> None:
        """Acknowledges an order that rests; one that ends on arrival is answered by its reports alone."""
        self._record_and_deliver(
            OrderAccepted(now_ns, order.order_id, f"sim-{order.order_id}"), at_once=at_once
        )

    def _last_quote(self, lane: int) -> tuple[Rows, int] | None:
        """Where the last valid quote of a lane is; None before the first."""
        self._quotes.extend(self._market.rows, self._seen, self._pos)
        self._seen = self._pos
        return self._quotes.latest(lane)

    def _marketable(self, order: SubmitOrder, rows: Rows, row: int) -> Decimal | None:
        """The price at which a quote fills the order now, or None."""
        buys = order.side is BUY
        price = to_decimal((rows.ask if buys else rows.bid).item(row))
        if order.limit is None:
            return price
        good = price <= order.limit if buys else price >= order.limit
        return price if good else None

    def _available(self, order: SubmitOrder, rows: Rows, row: int, wanted: Decimal) -> Decimal:
        """The quantity that fills now: all, or with `partial_fills` at most the shown size in whole lots."""
        if not self._model.partial_fills:
            return wanted
        shown = (rows.ask_size if order.side is BUY else rows.bid_size).item(row)
        if not shown > 0:  # zero or NaN: the tape has no sizes
            return wanted
        return min(wanted, floor_to(to_decimal(shown), self._lots[order.symbol]))

    def _fill(
        self,
        order: SubmitOrder,
        quantity: Decimal,
        price: Decimal,
        now_ns: int,
        *,
        at_once: bool,
        rested: bool = False,
    ) -> None:
        """Fills a part of an order, which rested before or was marketable on arrival."""
        if quantity == ZERO:
            return
        self._trades += 1
        fee_bps = self._model.maker_bps if rested else self._model.taker_bps
        fee, fee_currency = self._settle(order, quantity, price, fee_bps)
        report = ExecutionReport(
            at_ns=now_ns,
            order_id=order.order_id,
            kind="fill",
            ts_ns=now_ns,
            trade_id=f"t{self._trades}",
            quantity=quantity,
            price=price,
            fee=fee,
            fee_currency=fee_currency,
            venue=order.venue,
            account=order.account,
            strategy=order.strategy,
        )
        self._record_and_deliver(report, at_once=at_once)

    def _settle(
        self, order: SubmitOrder, quantity: Decimal, price: Decimal, fee_bps: Decimal
    ) -> tuple[Decimal, str | None]:
        """Applies one fill to the account; returns the fee, and its currency if it is not the quote currency."""
        known = self._known[order.order_id]
        known.filled = add(known.filled, quantity)
        if known.filled >= known.order.quantity:
            known.status = "filled"
        cost = multiply(quantity, price)
        fee = bps_of(cost, fee_bps)
        if order.side is SELL:
            quantity, cost = quantity.copy_negate(), cost.copy_negate()
        return self.account.book_fill(order.symbol, quantity, cost, fee)

    def _quote_of(self, lane: int) -> tuple[float, float]:
        """Bid and ask of a lane's last valid quote; NaN before the first."""
        found = self._last_quote(lane)
        if found is None:
            return nan, nan
        rows, row = found
        return rows.bid.item(row), rows.ask.item(row)

    def _rest(self, rest: _Resting, from_row: int) -> None:
        rest.searched, rest.touch = from_row, NEVER
        self._resting[rest.order.order_id] = rest

    def _touch_of(self, rest: _Resting, stop: int) -> int:
        """The first row before `stop` that touches a resting order, else `stop`; each row is searched once."""
        if rest.touch == NEVER and rest.searched < stop:
            rows, limit = self._market.rows, float(rest.order.limit or ZERO)
            end = max(stop, min(rest.searched + SEARCHED_ROWS, len(rows)))
            side = 1 if rest.order.side is BUY else -1
            row = first_touch(rows.lane, rows.bid, rows.ask, rest.searched, end, rest.lane, side, limit)
            rest.searched, rest.touch = end, row if row < end else NEVER
        return min(rest.touch, stop)

    def _fill_resting(self, rest: _Resting, row: int) -> None:
        order, rows = rest.order, self._market.rows
        now_ns = rows.next_ts(row)
        quantity = self._available(order, rows, row, rest.remaining)
        self._fill(order, quantity, order.limit or ZERO, now_ns, at_once=True, rested=True)
        rest.remaining = subtract(rest.remaining, quantity)
        if rest.remaining == ZERO:
            del self._resting[order.order_id]
        else:
            self._rest(rest, row + 1)

    def _cancel(self, order_id: str, now_ns: int, *, at_once: bool) -> None:
        # An order that is gone already has its fill or expiry in transit, which answers the cancel.
        if self._resting.pop(order_id, None):
            self._finish(order_id, "canceled", now_ns, at_once=at_once)

    def _finish(
        self, order_id: str, kind: Literal["expired", "canceled"], now_ns: int, *, at_once: bool
    ) -> None:
        known = self._known[order_id]
        known.status = kind
        names = {name: getattr(known.order, name) for name in RunIds._fields}
        report = ExecutionReport(now_ns, order_id, kind, now_ns, filled=known.filled, **names)
        self._record_and_deliver(report, at_once=at_once)

    def _replace(self, command: ReplaceOrder, now_ns: int, *, at_once: bool) -> None:
        """Changes limit and quantity of a resting order, which may fill at once."""
        rest = self._resting.pop(command.order_id, None)
        if rest is None:
            self._deliver(ChangeRejected(now_ns, command.order_id, "it does not rest"), at_once=at_once)
            return
        known = self._known[command.order_id]
        known.order = msgspec.structs.replace(known.order, limit=command.limit, quantity=command.quantity)
        self._record_and_deliver(
            OrderReplaced(now_ns, command.order_id, command.limit, command.quantity), at_once=at_once
        )
        rest.order, rest.remaining = known.order, subtract(command.quantity, known.filled)
        quote = self._last_quote(rest.lane)
        if quote and (price := self._marketable(rest.order, *quote)) is not None:
            quantity = self._available(rest.order, *quote, rest.remaining)
            rest.remaining = subtract(rest.remaining, quantity)
            self._fill(rest.order, quantity, price, now_ns, at_once=at_once)
        if rest.remaining > ZERO:
            self._rest(rest, self._pos)


def _delayed(answer: VenueEventT, at_ns: int) -> VenueEventT:
    """A copy of the answer that the engine learns at `at_ns`."""
    return msgspec.structs.replace(answer, at_ns=at_ns)


def lots_of(settings: Settings, symbols: Sequence[str]) -> dict[str, Decimal]:
    """The lot size of each symbol, in lane order."""
    return {symbol: settings.instrument(symbol).lot for symbol in symbols}
