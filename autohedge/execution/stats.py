"""Statistics of a run: counters while it runs, and the figures of its result."""

from collections import Counter
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

import msgspec

from autohedge.core.money import ZERO, add
from autohedge.core.orders import BUY, ENTER, LEAVE, SELL, Purpose, Side
from autohedge.core.reasons import Reason
from autohedge.core.results import Fill, TradingFigures, WorkingOrder
from autohedge.execution.orders import Order, OrderManager
from autohedge.execution.portfolio import Portfolio, PositionChange

_encode = msgspec.json.Encoder(decimal_format="string").encode
_decode = msgspec.json.Decoder(Fill).decode


@dataclass(slots=True)
class RunStats:
    """Fills in order of arrival, and counts of refused exits and slices.

    With `shows_direction` the figures tell longs from shorts; without, only once there was a short.

    Fills are kept as JSON lines, which take a third of the memory of `Fill` objects.
    """

    shows_direction: bool = False
    fill_lines: list[bytes] = field(default_factory=list)
    counts: Counter[tuple[Side, Purpose, str]] = field(default_factory=Counter)
    winning_exits: int = 0
    exit_refusals: Counter[str] = field(default_factory=Counter)
    slice_refusals: Counter[str] = field(default_factory=Counter)

    @property
    def fills(self) -> list[Fill]:
        """All fills so far."""
        return [_decode(line) for line in self.fill_lines]

    def count_refused_exit(self, code: Reason) -> None:
        """Counts a refused exit; its row keeps the code of the exit."""
        self.exit_refusals[code.label] += 1

    def record_fill(self, order: Order, change: PositionChange) -> None:
        """Stores one fill and counts it by side, purpose and reason."""
        intent = order.intent
        self.counts[intent.side, intent.purpose, intent.reason] += 1
        self.winning_exits += intent.purpose is LEAVE and change.realized > ZERO
        fill = Fill(
            symbol=intent.symbol,
            side=intent.side,
            ts_ns=change.ts_ns,
            qty=change.quantity,
            price=change.price,
            fee=change.fee,
            reason=intent.reason,
            order_id=order.id,
            realized=change.realized,
            fee_currency=change.fee_currency,
            venue=intent.venue,
            account=intent.account,
            strategy=intent.strategy,
        )
        self.fill_lines.append(_encode(fill))

    def count(self, side: Side) -> int:
        """The number of fills of a side."""
        return sum(n for (each, _, _), n in self.counts.items() if each is side)

    def entries(self) -> tuple[int, int] | tuple[None, None]:
        """The number of fills that entered a long, and a short; None if the direction is not shown."""
        longs, shorts = (
            sum(n for (each, purpose, _), n in self.counts.items() if (each, purpose) == (side, ENTER))
            for side in (BUY, SELL)
        )
        return (longs, shorts) if shorts or self.shows_direction else (None, None)

    def exits(self, reason: Reason) -> int:
        """The number of fills that left a position for one reason."""
        return sum(self.counts[side, LEAVE, reason.label] for side in (BUY, SELL))


def working_orders(orders: OrderManager) -> list[WorkingOrder]:
    """The orders that still work, as `results.json` lists them."""
    return [
        WorkingOrder(
            order_id=order.id,
            symbol=order.intent.symbol,
            side=order.intent.side,
            quantity=order.intent.quantity,
            filled=order.executed,
            limit=order.intent.limit,
            state=order.state,
        )
        for order in orders.working.values()
    ]


def trading_figures(
    portfolio: Portfolio, orders: OrderManager, stats: RunStats, codes: dict[str, int]
) -> TradingFigures:
    """The figures of a run so far; `codes` are the quotes by reason code."""
    ledger = portfolio.ledger
    held = {symbol: p for symbol, p in ledger.positions.items() if p.quantity}
    others = ledger.others.items()
    longs, shorts = stats.entries()
    return TradingFigures(
        quotes=sum(codes.values()),
        codes=codes,
        buys=stats.count(BUY),
        sells=stats.count(SELL),
        take_profits=stats.exits(Reason.TAKE_PROFIT),
        stop_losses=stats.exits(Reason.STOP_LOSS),
        trailing_stops=stats.exits(Reason.TRAILING_STOP),
        time_stops=stats.exits(Reason.TIME_STOP),
        exit_signals=stats.exits(Reason.EXIT_SIGNAL),
        expired=orders.expired,
        exit_refusals=dict(sorted(stats.exit_refusals.items())),
        slice_refusals=dict(sorted(stats.slice_refusals.items())),
        winning_exits=stats.winning_exits,
        open_position=reduce(add, (p.quantity for p in held.values()), ZERO),
        open_positions={symbol: p.quantity for symbol, p in held.items()},
        open_orders=len(orders.working),
        initial_cash=portfolio.reported(ledger.initial_cash, ledger.initial_balances),
        realized_pnl=portfolio.realized(),
        unrealized_pnl=portfolio.unrealized(),
        fees=portfolio.reported(ledger.fees, {name: book.fees for name, book in others}),
        external=portfolio.reported(ledger.adjustments, {name: book.adjustments for name, book in others}),
        cash=portfolio.cash,
        equity=portfolio.exact_equity(),
        longs=longs,
        shorts=shorts,
    )


def currency_figures(portfolio: Portfolio) -> dict[str, Any]:
    """The figures that only an account in several currencies has."""
    if portfolio.rates is None:
        return {}
    ledger = portfolio.ledger
    return {
        "currency": ledger.currency,
        "balances": ledger.balances,
        "fees_by_currency": {name: book.fees for name, book in ledger.books.items() if book.fees},
    }
