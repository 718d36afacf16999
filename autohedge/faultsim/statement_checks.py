"""Invariant 18: results and round trips at the end are what the venue's own statement makes."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from decimal import Decimal
from typing import NamedTuple

from autohedge.core.events import (
    AnyEvent,
    ExecutionReport,
    FillBooked,
    OrderAdopted,
    OrderEventBase,
    OrderOverfilled,
    SubmitOrder,
)
from autohedge.core.money import ZERO, add, multiply
from autohedge.core.orders import ENTER, Side
from autohedge.core.results import RunResult
from autohedge.engine.engine import Engine
from autohedge.exchanges.simulated import SimulatedVenue
from autohedge.faultsim.question_checks import InvariantViolation
from autohedge.faultsim.recorded_account import RecordedAccount, RecordedOrder
from autohedge.records.round_trips import RoundTrips

EXITS = {
    "take_profits": "take_profit",
    "stop_losses": "stop_loss",
    "trailing_stops": "trailing_stop",
    "time_stops": "time_stop",
    "exit_signals": "exit_signal",
}


class StatementFill(NamedTuple):
    """One fill as the venue states it."""

    order_id: str
    quantity: Decimal
    price: Decimal
    fee: Decimal
    fee_currency: str | None


class StatementChecker:
    """Compares the engine's results with the venue's statement; raises InvariantViolation."""

    def __init__(self, account: RecordedAccount, venue: SimulatedVenue) -> None:
        self._account = account
        self._venue = venue
        self._trades: list[AnyEvent] = []
        self._changed: set[str] = set()
        self._irregular: set[str] = set()
        self._trips = _TripCounts(account)

    def apply(self, event: AnyEvent) -> None:
        """Follows one recorded event, after the account has."""
        if isinstance(event, SubmitOrder | FillBooked | OrderAdopted | OrderEventBase):
            self._trades.append(event)
        if self._account.external:
            self._changed.update(change.subject for change, _ in self._account.external)
        if isinstance(event, OrderAdopted):
            self._irregular.add(event.order.symbol)
        elif isinstance(event, OrderOverfilled):
            self._irregular.add(self._account.orders[event.order_id].symbol)
        if self._account.bookings:
            self._irregular.update(each.order.symbol for each in self._account.bookings if each.bust)
        self._trips.apply(event)

    def settled(self, engine: Engine) -> None:
        """Checks the results once everything has arrived."""
        result = engine.result()
        stated, busted = self._statement()
        self._fills(engine, stated, busted)
        self._counts(engine, result)
        standing = [fill for trade, fill in stated.items() if trade not in busted]
        self._fees(engine, standing)
        self._profit(engine, standing)
        self._round_trips(engine)

    def _fees(self, engine: Engine, standing: list[StatementFill]) -> None:
        """Checks the fees of each currency."""
        paid: defaultdict[str, Decimal] = defaultdict(Decimal)
        for fill in standing:
            quote = self._account.money.quote(self._account.orders[fill.order_id].symbol)
            currency = fill.fee_currency or quote
            paid[currency] = add(paid[currency], fill.fee)
        for currency, book in engine.ledger.books.items():
            self._equal(f"fees in {currency}", book.fees, paid[currency])

    def _statement(self) -> tuple[dict[tuple[str, str], StatementFill], set[tuple[str, str]]]:
        """The fills of the orders in the record by order and trade, and those of them that were busted.

        A bust whose report was lost is found by reconciliation only, as an external change.
        """
        stated, busted = {}, set()
        for order_id in self._account.orders:
            for report in self._venue.events(order_id):
                if not isinstance(report, ExecutionReport):
                    continue
                trade = (order_id, report.trade_id or "")
                if report.kind == "fill":
                    figures = (report.quantity or ZERO, report.price or ZERO, report.fee or ZERO)
                    stated[trade] = StatementFill(order_id, *figures, report.fee_currency)
                elif report.kind == "bust" and trade[1] in self._account.orders[order_id].busted:
                    busted.add(trade)
        return stated, busted

    def _fills(
        self, engine: Engine, stated: dict[tuple[str, str], StatementFill], busted: set[tuple[str, str]]
    ) -> None:
        """Checks each fill; one whose bust arrived first is never counted."""
        fills = engine.stats.fills
        ours = Counter(StatementFill(f.order_id, f.qty, f.price, f.fee, f.fee_currency) for f in fills)
        theirs = Counter(stated.values())
        standing = Counter(fill for trade, fill in stated.items() if trade not in busted)
        if extra := ours - theirs:
            raise InvariantViolation(f"18: fills that the venue does not state: {dict(extra)}")
        if missing := standing - ours:
            raise InvariantViolation(f"18: the results lack fills: {dict(missing)}")

    def _counts(self, engine: Engine, result: RunResult) -> None:
        """Checks the numbers of fills by side and reason, and of orders that expired unfilled."""
        orders = self._account.orders
        filled = [orders[fill.order_id] for fill in engine.stats.fills]
        self._equal("buys", result.buys, sum(order.buys for order in filled))
        self._equal("sells", result.sells, sum(not order.buys for order in filled))
        for name, count, buys in (("longs", result.longs, True), ("shorts", result.shorts, False)):
            if count is not None:
                self._equal(name, count, sum(order.enters and order.buys is buys for order in filled))
        for name, reason in EXITS.items():
            left = sum(not order.enters and order.reason == reason for order in filled)
            self._equal(name, getattr(result, name), left)
        ends = [self._venue.events(order.order_id) for order in self._stated_orders()]
        unfilled = [events for events in ends if any(map(_expired_unfilled, events))]
        # A fill that comes after the end may be known before it.
        certain = [events for events in unfilled if not any(map(_is_fill, events))]
        if not len(certain) <= result.expired <= len(unfilled):
            raise InvariantViolation(f"18: expired are {result.expired}, the venue states {len(unfilled)}")

    def _stated_orders(self) -> Iterator[RecordedOrder]:
        return (order for order in self._account.orders.values() if self._venue.events(order.order_id))

    def _profit(self, engine: Engine, standing: list[StatementFill]) -> None:
        """Checks the realized P&L of symbols that are flat and that nobody else traded."""
        earned: defaultdict[str, Decimal] = defaultdict(Decimal)
        for fill in standing:
            order = self._account.orders[fill.order_id]
            notional = multiply(fill.quantity, fill.price)
            change = notional.copy_negate() if order.buys else notional
            earned[order.symbol] = add(earned[order.symbol], change)
        for symbol, position in engine.ledger.positions.items():
            if not position.quantity and symbol not in self._changed:
                self._equal(f"realized P&L of {symbol}", position.realized, earned[symbol])

    def _round_trips(self, engine: Engine) -> None:
        trips = RoundTrips()
        for event in self._trades:
            if isinstance(event, SubmitOrder):
                trips.on_submit(event, 0, event.symbol)
            else:
                trips.apply(event)
        trips.finish()
        for symbol, stats in trips.groups.items():
            # The audit leaves a trip as it was when the next one began, so later changes are not in it.
            if symbol in engine.ledger.positions and symbol not in self._changed | self._irregular:
                self._equal(f"closed round trips in {symbol}", stats.closed, self._trips.closed(symbol))

    @staticmethod
    def _equal(name: str, ours: Decimal | int, theirs: Decimal | int) -> None:
        if ours != theirs:
            raise InvariantViolation(f"18: {name} are {ours}, the venue's statement makes {theirs}")


class _TripCounts:
    """Counts round trips: from the first entry of a symbol until its position is flat, or until one on the other side.

    What is too small to be closed stays when a position on the other side is entered: its trip has not closed.
    """

    def __init__(self, account: RecordedAccount) -> None:
        self._account = account
        self._filled: dict[str, bool] = {}
        self._side: dict[str, Side] = {}
        self._done: Counter[str] = Counter()

    def closed(self, symbol: str) -> int:
        """The trips of a symbol that have fills and are closed."""
        is_open = bool(self._account.held[symbol])
        return self._done[symbol] + (self._filled.get(symbol, False) and not is_open)

    def apply(self, event: AnyEvent) -> None:
        """Follows one recorded event, after the account has."""
        if isinstance(event, SubmitOrder) and event.purpose is ENTER:
            is_flat, turns = not self._account.held[event.symbol], self._side.get(event.symbol) != event.side
            if is_flat or turns:
                self._done[event.symbol] += is_flat and self._filled.get(event.symbol, False)
                self._filled[event.symbol] = False
            self._side[event.symbol] = event.side
        for booking in self._account.bookings:
            self._filled[booking.order.symbol] = True


def _expired_unfilled(event: OrderEventBase) -> bool:
    return isinstance(event, ExecutionReport) and event.kind == "expired" and not event.filled


def _is_fill(event: OrderEventBase) -> bool:
    return isinstance(event, ExecutionReport) and event.kind == "fill"
