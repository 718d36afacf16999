"""Export in the format of the earlier Rust bot: trades, a summary, statistics.

The export is derived from the journal alone and corrects that bot's errors: each fill counts once, and not if
the venue busted it, an accepted order is not a fill, and profit is after the fees of both sides.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import msgspec

from autohedge.core.bookings import FillBookings
from autohedge.core.clock import format_utc
from autohedge.core.events import (
    AnyEvent,
    ExecutionReport,
    OrderAccepted,
    OrderAdopted,
    OrderRejected,
    RequestUnknown,
    SubmitOrder,
    VenueOrderStatus,
)
from autohedge.core.money import ZERO, add, divide, multiply, subtract
from autohedge.core.orders import BUY, ENTER, Purpose
from autohedge.core.units import NS_PER_MINUTE
from autohedge.records.round_trips import TripTotals

PERCENT = Decimal(100)
BOOKED = frozenset({"filled", "busted"})
ANSWERS: dict[type, str] = {
    OrderAccepted: "accepted",
    OrderRejected: "rejected",
    RequestUnknown: "unknown",
}


@dataclass(slots=True)
class LegacyTradeExport:
    """Collects the lines, closed trades and counts of a run from its events."""

    lines: list[dict[str, Any]] = field(default_factory=list)
    history: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    trips: dict[str, TripTotals] = field(default_factory=dict)
    profits: list[Decimal] = field(default_factory=list)
    notional: Decimal = ZERO
    counts: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(("orders", "reports", "buys", "sells", "rejected"), 0)
    )
    span_ns: list[int] = field(default_factory=list)
    _orders: dict[str, SubmitOrder | VenueOrderStatus] = field(default_factory=dict)
    _purposes: dict[str, Purpose] = field(default_factory=dict)
    _bookings: FillBookings = field(default_factory=FillBookings)
    _fills: dict[tuple[str, str | None], ExecutionReport] = field(default_factory=dict)
    _reported: set[tuple[str, str]] = field(default_factory=set)

    @classmethod
    def of(cls, events: Iterable[AnyEvent]) -> "LegacyTradeExport":
        """Collects a run's events, which must be in journal order."""
        trades = cls()
        for event in events:
            trades._apply(event)
        for (order_id, _), report in trades._fills.items():
            trades._fill(trades._orders[order_id], report)
        return trades

    def _apply(self, event: AnyEvent) -> None:
        if fill := self._bookings.apply(event):
            self._book(msgspec.structs.replace(fill.report, fee=fill.fee))
        match event:
            case SubmitOrder():
                self._orders[event.order_id] = event
                self._purposes[event.order_id] = event.purpose
                self.counts["orders"] += 1
                self.lines.append(_request(event))
            case OrderAdopted(order=found, purpose=purpose):
                self._orders[found.order_id] = found
                self._purposes[found.order_id] = purpose
            case ExecutionReport(kind="expired" | "canceled"):
                self._report(event, event.kind)
            case OrderAccepted() | OrderRejected() | RequestUnknown():
                self._report(event, ANSWERS[type(event)])

    def _report(
        self,
        event: OrderAccepted | OrderRejected | RequestUnknown | ExecutionReport,
        status: str,
        **facts: Any,
    ) -> None:
        order = self._orders.get(event.order_id)
        key = (event.order_id, status)
        # Queries repeat answers. Fills and busts share a status, but each was booked once.
        if order is None or (status not in BOOKED and key in self._reported):
            return
        self._reported.add(key)
        self.counts["rejected"] += status == "rejected"
        self.counts["reports"] += 1
        line = {"ts": format_utc(event.at_ns), "symbol": order.symbol, "action": str(order.side)}
        self.lines.append(line | {"order_id": event.order_id, "status": status} | facts)

    def _book(self, report: ExecutionReport) -> None:
        """Adds the line of a fill or a bust; a fill counts at the end, unless it was busted by then."""
        trade = (report.order_id, report.trade_id)
        if report.kind == "bust":
            fill = self._fills.pop(trade, report)
            self._report(report, "busted", **_amounts(fill))
        else:
            self._fills[trade] = report
            self._report(report, "filled", **_amounts(report))

    def _fill(self, order: SubmitOrder | VenueOrderStatus, report: ExecutionReport) -> None:
        quantity, price, fee = report.quantity or ZERO, report.price or ZERO, report.fee or ZERO
        notional = multiply(quantity, price)
        self.notional = add(self.notional, notional)
        self.span_ns.append(report.ts_ns)
        self.counts["buys" if order.side is BUY else "sells"] += 1
        trip = self.trips.setdefault(order.symbol, TripTotals())
        if self._purposes[order.order_id] is ENTER:
            if trip.entered and trip.side is not order.side:  # the rest of a trip on the other side
                trip = self.trips[order.symbol] = TripTotals()
            trip.enter(order.side, quantity, price, fee, report.ts_ns)
        else:
            self._close(order, trip, report)

    def _close(
        self, order: SubmitOrder | VenueOrderStatus, trip: TripTotals, report: ExecutionReport
    ) -> None:
        quantity, price, fee = report.quantity or ZERO, report.price or ZERO, report.fee or ZERO
        cost, notional = trip.leave(quantity, price, fee), multiply(quantity, price)
        is_long = order.side is not BUY
        # A long gets its proceeds less the fee; a short pays its cover and the fee from what its sale has brought.
        profit = subtract(subtract(notional, fee), cost) if is_long else subtract(cost, add(notional, fee))
        self.profits.append(profit)
        times = (format_utc(trip.opened_ns), format_utc(report.ts_ns))
        prices = (str(divide(cost, quantity)), str(report.price))
        (bought_at, sold_at), (buy_price, sell_price) = (
            (times, prices) if is_long else (times[::-1], prices[::-1])
        )
        closed = {
            "buy_time": bought_at,
            "sell_time": sold_at,
            "buy_price": buy_price,
            "sell_price": sell_price,
            "qty": str(quantity),
            "pnl": str(profit),
            "pnl_percent": str(divide(multiply(profit, PERCENT), cost)) if cost else None,
        }
        self.history.setdefault(order.symbol, []).append(closed)
        if trip.held == ZERO:
            self.trips[order.symbol] = TripTotals()


def _amounts(fill: ExecutionReport) -> dict[str, str]:
    quantity, price, fee = fill.quantity or ZERO, fill.price or ZERO, fill.fee or ZERO
    notional = multiply(quantity, price)
    return {"qty": str(quantity), "price": str(price), "notional": str(notional), "fee": str(fee)}


def _request(order: SubmitOrder) -> dict[str, Any]:
    line = {"ts": format_utc(order.at_ns), "symbol": order.symbol, "action": str(order.side)}
    line |= {"order_id": order.order_id, "status": "order_created", "qty": str(order.quantity)}
    if order.limit is not None:
        line |= {"price": str(order.limit), "notional": str(multiply(order.quantity, order.limit))}
    notes = f"type={order.order_type}"
    if order.stop_loss is not None:
        notes += f" sl={order.stop_loss} tp={order.take_profit}"
    return line | {"notes": notes}


def summary(trades: LegacyTradeExport) -> dict[str, Any]:
    """The content of `trade_summary.json`: counts, closed trades, open positions, profit after fees.

    A `buy_price` in `history` includes the fees of the purchase.
    """
    gains, losses = _split(trades.profits)
    filled = trades.counts["buys"] + trades.counts["sells"]
    return {
        "start_time": format_utc(min(trades.span_ns)) if trades.span_ns else None,
        "total_orders": trades.counts["orders"],
        "total_exec_reports": trades.counts["reports"],
        "buys": trades.counts["buys"],
        "sells": trades.counts["sells"],
        "filled": filled,
        "rejected": trades.counts["rejected"],
        "total_notional": str(trades.notional),
        "per_symbol": {symbol: len(closed) for symbol, closed in trades.history.items()},
        "history": trades.history,
        "open_positions": {symbol: str(trip.position) for symbol, trip in trades.trips.items() if trip.held},
        "total_realized_pnl": str(_sum(trades.profits)),
        "winning_trades": len(gains),
        "losing_trades": len(losses),
        "total_profit": str(_sum(gains)),
        "total_loss": str(_sum(losses)),
    }


def statistics(trades: LegacyTradeExport) -> dict[str, Any]:
    """The content of `trade_stats.json`: rates and averages from the first to the last fill."""
    gains, losses = _split(trades.profits)
    closed, total, lost = len(trades.profits), _sum(trades.profits), _sum(losses)
    minutes = (max(trades.span_ns) - min(trades.span_ns)) / NS_PER_MINUTE if trades.span_ns else 0.0
    return {
        "runtime_minutes": f"{minutes:.1f}",
        "trades_per_hour": f"{closed / minutes * 60:.2f}" if minutes else "0.00",
        "win_rate_pct": f"{len(gains) / closed * 100:.1f}%" if closed else "0.0%",
        "avg_profit_per_trade": _dollars(divide(total, Decimal(closed))) if closed else _dollars(ZERO),
        "profit_factor": f"{_sum(gains) / -lost:.2f}" if lost else "inf" if gains else "0.00",
        "total_closed_trades": str(closed),
        "open_positions": str(sum(bool(trip.held) for trip in trades.trips.values())),
        "winning_trades": str(len(gains)),
        "losing_trades": str(len(losses)),
        "total_realized_pnl": _dollars(total),
        "total_notional_traded": _dollars(trades.notional),
    }


def _split(profits: list[Decimal]) -> tuple[list[Decimal], list[Decimal]]:
    """The profits above zero, and the others; a profit of zero counts as a loss."""
    return [p for p in profits if p > 0], [p for p in profits if p <= 0]


def _sum(amounts: Iterable[Decimal]) -> Decimal:
    # Not sum(): it adds in the thread's context, which rounds.
    total = ZERO
    for amount in amounts:
        total = add(total, amount)
    return total


def _dollars(amount: Decimal) -> str:
    # The sign before the dollar sign, as the earlier bot wrote it.
    return f"{'-' if amount < 0 else ''}${amount.copy_abs():.4f}"


def export_files(events: Iterator[AnyEvent]) -> dict[str, Any]:
    """The content of the three files by name; a list is written as one JSON object per line."""
    trades = LegacyTradeExport.of(events)
    return {
        "trades.jsonl": trades.lines,
        "trade_summary.json": summary(trades),
        "trade_stats.json": statistics(trades),
    }
