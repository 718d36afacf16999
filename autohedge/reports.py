"""Reports in the shape of the earlier Rust bot: trades, a summary, statistics.

Derived from the journal alone, with its faults put right: fills are counted once, an accepted
order is no fill, and profit is what remains after the fees of both sides.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from autohedge.core.clock import readable
from autohedge.core.events import Accepted, AnyEvent, Rejected, Report, SubmitOrder, Unknown
from autohedge.core.money import ZERO, add, multiply, quotient, subtract
from autohedge.core.orders import BUY

NS_PER_MINUTE = 60 * 10**9
PERCENT = Decimal(100)


@dataclass(slots=True)
class _Holding:
    """What is held of one symbol; `cost` includes the fees paid for it."""

    quantity: Decimal = ZERO
    cost: Decimal = ZERO
    bought_ns: int = 0


@dataclass(slots=True)
class Trades:
    """A run's events, sorted into lines, closed trades and counts."""

    lines: list[dict[str, Any]] = field(default_factory=list)
    history: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    holdings: dict[str, _Holding] = field(default_factory=dict)
    profits: list[Decimal] = field(default_factory=list)
    notional: Decimal = ZERO
    counts: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(("orders", "reports", "buys", "sells", "rejected"), 0)
    )
    span_ns: list[int] = field(default_factory=list)
    _orders: dict[str, SubmitOrder] = field(default_factory=dict)
    _seen: set[tuple[str, str | None]] = field(default_factory=set)
    _told: set[tuple[str, str]] = field(default_factory=set)

    @classmethod
    def of(cls, events: Iterable[AnyEvent]) -> "Trades":
        """Sort a run's events, in the order of its journal."""
        trades = cls()
        for event in events:
            trades.take(event)
        return trades

    def take(self, event: AnyEvent) -> None:
        """Sort one event; those that are no trading are passed over."""
        match event:
            case SubmitOrder():
                self._orders[event.order_id] = event
                self.counts["orders"] += 1
                self.lines.append(_request(event))
            case Report(kind="fill") if (event.order_id, event.trade_id) not in self._seen:
                self._seen.add((event.order_id, event.trade_id))
                self._fill(self._orders[event.order_id], event)
            case Report(kind="expired" | "canceled"):
                self._report(event, event.kind)
            case Accepted() | Rejected() | Unknown():
                self._report(event, type(event).__name__.lower())

    def _report(self, event: Accepted | Rejected | Unknown | Report, status: str, **facts: Any) -> None:
        order = self._orders[event.order_id]
        told = (event.order_id, status)
        if status != "filled" and told in self._told:
            return
        self._told.add(told)
        self.counts["rejected"] += status == "rejected"
        self.counts["reports"] += 1
        line = {"ts": readable(event.at_ns), "symbol": order.symbol, "action": str(order.side)}
        self.lines.append(line | {"order_id": event.order_id, "status": status} | facts)

    def _fill(self, order: SubmitOrder, report: Report) -> None:
        quantity, price, fee = report.quantity or ZERO, report.price or ZERO, report.fee or ZERO
        notional = multiply(quantity, price)
        self.notional = add(self.notional, notional)
        self.span_ns.append(report.ts_ns)
        self.counts["buys" if order.side is BUY else "sells"] += 1
        facts = {"qty": str(quantity), "price": str(price), "notional": str(notional), "fee": str(fee)}
        self._report(report, "filled", **facts)
        holding = self.holdings.setdefault(order.symbol, _Holding())
        if order.side is BUY:
            holding.bought_ns = holding.bought_ns if holding.quantity else report.ts_ns
            holding.quantity = add(holding.quantity, quantity)
            holding.cost = add(holding.cost, add(notional, fee))
        else:
            self._close(order.symbol, holding, report, subtract(notional, fee))

    def _close(self, symbol: str, holding: _Holding, report: Report, proceeds: Decimal) -> None:
        quantity = report.quantity or ZERO
        share = holding.cost
        if quantity < holding.quantity:
            share = quotient(multiply(holding.cost, quantity), holding.quantity)
        profit = subtract(proceeds, share)
        self.profits.append(profit)
        closed = {
            "buy_time": readable(holding.bought_ns),
            "sell_time": readable(report.ts_ns),
            "buy_price": str(quotient(share, quantity)),
            "sell_price": str(report.price),
            "qty": str(quantity),
            "pnl": str(profit),
            "pnl_percent": str(quotient(multiply(profit, PERCENT), share)),
        }
        self.history.setdefault(symbol, []).append(closed)
        holding.quantity = subtract(holding.quantity, quantity)
        holding.cost = subtract(holding.cost, share)


def _request(order: SubmitOrder) -> dict[str, Any]:
    line = {"ts": readable(order.at_ns), "symbol": order.symbol, "action": str(order.side)}
    line |= {"order_id": order.order_id, "status": "order_created", "qty": str(order.quantity)}
    if order.limit is not None:
        line |= {"price": str(order.limit), "notional": str(multiply(order.quantity, order.limit))}
    notes = f"type={order.order_type}"
    if order.stop_loss is not None:
        notes += f" sl={order.stop_loss} tp={order.take_profit}"
    return line | {"notes": notes}


def summary(trades: Trades) -> dict[str, Any]:
    """`trade_summary.json`: counts, closed trades per symbol, what is open, profit after fees.

    A buy price in the history includes the fees of its purchase.
    """
    gains, losses = _split(trades.profits)
    filled = trades.counts["buys"] + trades.counts["sells"]
    return {
        "start_time": readable(min(trades.span_ns)) if trades.span_ns else None,
        "total_orders": trades.counts["orders"],
        "total_exec_reports": trades.counts["reports"],
        "buys": trades.counts["buys"],
        "sells": trades.counts["sells"],
        "filled": filled,
        "rejected": trades.counts["rejected"],
        "total_notional": str(trades.notional),
        "per_symbol": {symbol: len(closed) for symbol, closed in trades.history.items()},
        "history": trades.history,
        "open_positions": {s: str(h.quantity) for s, h in trades.holdings.items() if h.quantity},
        "total_realized_pnl": str(_sum(trades.profits)),
        "winning_trades": len(gains),
        "losing_trades": len(losses),
        "total_profit": str(_sum(gains)),
        "total_loss": str(_sum(losses)),
    }


def statistics(trades: Trades) -> dict[str, Any]:
    """`trade_stats.json`: rates and averages over the time from the first to the last fill."""
    gains, losses = _split(trades.profits)
    closed, total, lost = len(trades.profits), _sum(trades.profits), _sum(losses)
    minutes = (max(trades.span_ns) - min(trades.span_ns)) / NS_PER_MINUTE if trades.span_ns else 0.0
    return {
        "runtime_minutes": f"{minutes:.1f}",
        "trades_per_hour": f"{closed / minutes * 60:.2f}" if minutes else "0.00",
        "win_rate_pct": f"{len(gains) / closed * 100:.1f}%" if closed else "0.0%",
        "avg_profit_per_trade": _dollars(quotient(total, Decimal(closed))) if closed else _dollars(ZERO),
        "profit_factor": f"{_sum(gains) / -lost:.2f}" if lost else "inf" if gains else "0.00",
        "total_closed_trades": str(closed),
        "open_positions": str(sum(bool(holding.quantity) for holding in trades.holdings.values())),
        "winning_trades": str(len(gains)),
        "losing_trades": str(len(losses)),
        "total_realized_pnl": _dollars(total),
        "total_notional_traded": _dollars(trades.notional),
    }


def _split(profits: list[Decimal]) -> tuple[list[Decimal], list[Decimal]]:
    """Gains, and what gained nothing."""
    return [p for p in profits if p > 0], [p for p in profits if p <= 0]


def _sum(amounts: Iterable[Decimal]) -> Decimal:
    total = ZERO
    for amount in amounts:
        total = add(total, amount)
    return total


def _dollars(amount: Decimal) -> str:
    return f"{'-' if amount < 0 else ''}${amount.copy_abs():.4f}"


def files(events: Iterator[AnyEvent]) -> dict[str, Any]:
    """The three files by name: a list is one JSON object per line."""
    trades = Trades.of(events)
    return {
        "trades.jsonl": trades.lines,
        "trade_summary.json": summary(trades),
        "trade_stats.json": statistics(trades),
    }
