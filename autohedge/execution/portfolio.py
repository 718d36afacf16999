"""The portfolio of one account: positions, cash, equity and exposure, and the equity at the day's start.

The books are exact decimals (`Ledger`). Limits see positions at the last bids in float64 (ADR 6).
"""

from collections.abc import MutableSequence
from decimal import Decimal
from math import isnan

import msgspec
import numpy as np
from numpy.typing import NDArray

from autohedge.core.money import ZERO, add, subtract, to_decimal
from autohedge.core.orders import Side
from autohedge.execution.ledger import Ledger, Position
from autohedge.execution.market_view import MarketView
from autohedge.execution.orders import Trade
from autohedge.execution.valuation import Holding, exact_equity, exact_value
from autohedge.kernels.state import net_and_gross, scalars


class PositionChange(msgspec.Struct, frozen=True, gc=False):
    """A booked fill, or the reversal of a busted one, and the account after it.

    `ts_ns` is the venue's time of the fill. `realized` is the P&L of this fill before fees, `total_realized` that
    of the run. `held` and `cost` are the position's. `grew` is whether more is held than before.
    """

    lane: int
    ts_ns: int
    side: Side
    quantity: Decimal
    price: Decimal
    fee: Decimal
    realized: Decimal
    held: Decimal
    cost: Decimal
    cash: Decimal
    total_realized: Decimal
    grew: bool


class Portfolio:
    """The positions and the cash of one account; a lane is an instrument's index.

    `held` has the position of each lane as float64, `holding` the number of lanes that are not flat.
    """

    def __init__(self, initial_cash: Decimal, symbols: list[str], market: MarketView) -> None:
        self.ledger = Ledger(initial_cash)
        self.market = market
        self.held: NDArray[np.float64] = np.zeros(len(symbols))
        self._held: MutableSequence[float] = scalars(self.held)
        self.holding = 0
        self._symbols = symbols
        self._day_start_equity = self.ledger.cash
        self._day_start_deposits = self.ledger.deposits

    def position(self, lane: int) -> Position:
        """The position of a lane."""
        return self.ledger.position(self._symbols[lane])

    # bookings

    def book(self, lane: int, side: Side, trade: Trade, ts_ns: int) -> PositionChange:
        """Books one fill, or with the opposite side and a negative fee the reversal of one."""
        ledger, (quantity, price, fee) = self.ledger, trade
        realized = ledger.book_fill(self._symbols[lane], side, quantity, price, fee)
        position = self.position(lane)
        grew = self._hold(lane, position.quantity)
        return PositionChange(
            lane=lane,
            ts_ns=ts_ns,
            side=side,
            quantity=quantity,
            price=price,
            fee=fee,
            realized=realized,
            held=position.quantity,
            cost=position.cost,
            cash=ledger.cash,
            total_realized=ledger.realized,
            grew=grew,
        )

    def adopt_position(self, lane: int, amount: Decimal, price: Decimal) -> bool:
        """Books a position difference that no fill explains, without cash; returns whether it grew."""
        self.ledger.adjust_position(self._symbols[lane], amount, price)
        return self._hold(lane, self.position(lane).quantity)

    def _hold(self, lane: int, quantity: Decimal) -> bool:
        held, before = float(quantity), self._held[lane]
        self.holding += bool(held) - bool(before)
        self._held[lane] = held
        return held > before

    # values

    def holdings_value(self) -> tuple[Decimal, Decimal]:
        """The net and gross value of all positions at the last bids; shorts count negative in the net.

        A position in a symbol that has had no quote yet is worth its cost.
        """
        if not self.holding:
            return ZERO, ZERO
        # In float64, for limits only (ADR 6): hundreds of decimal products per decision would cost too much.
        net, gross = net_and_gross(self.market.lanes, self.held)
        if isnan(net):
            values = [self._value(lane) for lane in range(len(self._symbols))]
            net, gross = sum(values), sum(map(abs, values))
        worth = to_decimal(net)
        return worth, worth if gross == net else to_decimal(gross)

    def position_value(self, lane: int) -> Decimal:
        """The size of a lane's position at the last bid, for limits."""
        return to_decimal(abs(self._value(lane))) if self._held[lane] else ZERO

    def _value(self, lane: int) -> float:
        """The value of a lane's position at the last bid; its cost if the symbol has had no quote yet."""
        bid = self.market.quote(lane)[0]
        return self._held[lane] * bid if bid > 0.0 else float(self.position(lane).cost)

    def equity_and_exposure(self, reserved: Decimal = ZERO) -> tuple[Decimal, Decimal]:
        """Cash plus positions, and all positions plus the money reserved for orders; at the last bids, for limits."""
        net, gross = self.holdings_value()
        return add(self.ledger.cash, net), add(gross, reserved)

    def equity(self) -> Decimal:
        """Cash plus positions at the last bids, for limits."""
        return self.equity_and_exposure()[0]

    def exact_equity(self) -> Decimal:
        """Cash plus positions at the last valid bids, exactly, for the books."""
        return exact_equity(self.ledger.cash, self.holdings(), self.market.quote)

    def holdings(self) -> dict[int, Holding]:
        """The positions that are not flat, by lane."""
        # Not `position`, which makes one: the order of positions must not depend on who asks, and when.
        positions = ((lane, self.ledger.positions.get(symbol)) for lane, symbol in enumerate(self._symbols))
        return {lane: Holding(each.quantity, each.cost) for lane, each in positions if each and each.quantity}

    def buying_power(self, reserved: Decimal) -> Decimal:
        """The cash that no working order needs."""
        return subtract(self.ledger.cash, reserved)

    def unrealized(self) -> Decimal:
        """The unrealized P&L for the books: positions at the last valid bids less their cost, exactly."""
        total = ZERO
        for lane, holding in self.holdings().items():
            if self.market.mark(lane):  # without a quote, it is worth its cost
                value = exact_value(holding, self.market.quote(lane))
                total = add(total, subtract(value, holding.cost))
        return total

    # days

    def start_day(self) -> None:
        """Starts a trading day: the daily loss is measured from the equity at this time."""
        self._day_start_equity = self.equity()
        self._day_start_deposits = self.ledger.deposits

    def day_start_equity(self) -> Decimal:
        """Equity at the day's start plus later deposits, less withdrawals: they are not a gain or loss."""
        deposits = self.ledger.deposits
        if deposits == self._day_start_deposits:
            return self._day_start_equity
        return add(self._day_start_equity, subtract(deposits, self._day_start_deposits))
