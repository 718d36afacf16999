"""The portfolio of one account: positions, cash, equity and exposure, and the equity at the day's start.

The books are exact decimals (`Ledger`). Limits see positions in float64 (ADR 6). A long is worth its last bid, a
short its last ask.
"""

from collections.abc import Mapping, MutableSequence
from decimal import Decimal
from functools import reduce
from math import isnan

import msgspec
import numpy as np
from numpy.typing import NDArray

from autohedge.core.accounts import ONE, SINGLE, Currencies, Rates
from autohedge.core.money import ZERO, add, divide, multiply, subtract, to_decimal
from autohedge.core.orders import Side
from autohedge.execution.ledger import Ledger, Position
from autohedge.execution.market_view import MarketView
from autohedge.execution.orders import Trade
from autohedge.execution.valuation import Holding, converted_equity, exact_equity, exact_value
from autohedge.kernels.state import net_and_gross, scalars


class PositionChange(msgspec.Struct, frozen=True, gc=False):
    """A booked fill, or the reversal of a busted one, and the account after it.

    `ts_ns` is the venue's time of the fill. `realized` is the P&L of this fill before fees, `total_realized` that
    of the run. `held` and `cost` are the position's, `cash` is in the reporting currency. `grew` is whether a larger
    position is held than before.

    The others are set where a fill moved another currency. `balances` has those that it moved. `rate` is what a
    unit of the quote currency is worth in the reporting one, and `quoted_fee` the fee in the quote currency, if it
    was paid in another.
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
    fee_currency: str | None = None
    balances: dict[str, Decimal] | None = None
    rate: Decimal | None = None
    quoted_fee: Decimal | None = None

    @property
    def fee_in_quote(self) -> Decimal:
        """The fee in the quote currency."""
        return self.fee if self.quoted_fee is None else self.quoted_fee


class Portfolio:
    """The positions and the cash of one account; a lane is an instrument's index.

    `held` has the position of each lane as float64, `holding` the number of lanes that are not flat. What limits
    and results see is in the reporting currency. In a `covered` account positions may be short; in a cash account a
    negative position is an error that no exit mends.
    """

    def __init__(
        self,
        ledger: Ledger,
        symbols: list[str],
        market: MarketView,
        currencies: Currencies = SINGLE,
        *,
        covered: bool = False,
    ) -> None:
        self.ledger = ledger
        self.market = market
        self.held: NDArray[np.float64] = np.zeros(len(symbols))
        self._held: MutableSequence[float] = scalars(self.held)
        self.holding = 0
        self.covered = covered
        self._symbols = symbols
        # None where all money is in one currency, so that nothing is converted.
        self.rates = None if currencies.single else Rates(currencies, market.quote)
        self._deposits = ZERO
        self._day_start_equity, self._day_start_deposits = ledger.cash, ZERO
        self._is_day_valued = not ledger.initial_balances

    def position(self, lane: int) -> Position:
        """The position of a lane."""
        return self.ledger.position(self._symbols[lane])

    def is_open(self, lane: int) -> bool:
        """Whether a lane has a position that exits manage: a long one, or a short one of a covered account."""
        held = self._held[lane]
        return held > 0.0 or (self.covered and held < 0.0)

    # bookings

    def book(self, lane: int, side: Side, trade: Trade, ts_ns: int) -> PositionChange:
        """Books one fill, or with the opposite side and a negative fee the reversal of one."""
        ledger, (quantity, price, fee, fee_currency) = self.ledger, trade
        realized = ledger.book_fill(self._symbols[lane], side, quantity, price, fee, fee_currency)
        position = self.position(lane)
        grew = self._hold(lane, position.quantity)
        change = PositionChange(
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
        return self._converted(change, fee_currency) if self.rates else change

    def _converted(self, change: PositionChange, fee_currency: str | None) -> PositionChange:
        """Adds what a fill moved in other currencies, and what converts it."""
        ledger, quote = self.ledger, self.currency(change.lane)
        moved = dict.fromkeys(each for each in (quote, fee_currency) if each not in (None, ledger.currency))
        fee = None if fee_currency in (None, quote) else self._in_quote(change.fee, fee_currency, quote)
        return msgspec.structs.replace(
            change,
            fee_currency=fee_currency,
            balances={currency: ledger.others[currency].cash for currency in moved} or None,
            rate=None if quote == ledger.currency else self._rate(quote),
            quoted_fee=fee,
        )

    def adopt_position(self, lane: int, amount: Decimal, price: Decimal) -> bool:
        """Books a position difference that no fill explains, without cash; returns whether it grew."""
        self.ledger.adjust_position(self._symbols[lane], amount, price)
        self._deposit(multiply(amount, price), self.currency(lane))
        return self._hold(lane, self.position(lane).quantity)

    def adopt_cash(self, currency: str, amount: Decimal) -> None:
        """Books a cash difference that no fill explains."""
        self.ledger.adjust_cash(amount, currency)
        self._deposit(amount, currency)

    def _deposit(self, amount: Decimal, currency: str) -> None:
        worth = multiply(amount, self._rate(currency)) if self.rates else amount
        self._deposits = add(self._deposits, worth)

    def _hold(self, lane: int, quantity: Decimal) -> bool:
        held, before = float(quantity), self._held[lane]
        self.holding += bool(held) - bool(before)
        self._held[lane] = held
        return held > before if held > 0.0 else 0.0 > held < before

    # currencies

    def currency(self, lane: int) -> str:
        """The currency in which the instrument of a lane is bought and sold."""
        return self.ledger.quote_currency(self._symbols[lane])

    def knows(self, currency: str) -> bool:
        """Whether the account may hold cash in this currency."""
        return currency == self.ledger.currency or (
            self.rates is not None and currency in self.rates.currencies.sources
        )

    def converts(self, currency: str) -> bool:
        """Whether an amount in this currency has a value; it has none before the first quote of its rate."""
        return self.rates is None or self.rates.rate(currency) is not None

    def is_valued(self) -> bool:
        """Whether all that is held has a value in the reporting currency."""
        if self.rates is None:
            return True
        held = {self.currency(lane): ONE for lane in np.flatnonzero(self.held).tolist()}
        return self.rates.covers(self.ledger.balances) and self.rates.covers(held)

    def can_enter(self, lane: int) -> bool:
        """Whether limits can see what an entry costs and what is held; if not, no entry is safe.

        The first time that they can, the day's loss begins to count.
        """
        if self.rates is None:
            return True
        if not (self.converts(self.currency(lane)) and self.is_valued()):
            return False
        if not self._is_day_valued:
            self.start_day()
        return True

    def reported(self, amount: Decimal, others: Mapping[str, Decimal]) -> Decimal:
        """An amount in the reporting currency and the value of `others`, by currency, at the last mids."""
        return add(amount, self.rates.value(others)) if self.rates else amount

    def rate(self, lane: int) -> Decimal:
        """What converts amounts of a lane to the reporting currency; zero before it is known."""
        return self._rate(self.currency(lane))

    def valued(self, amount: Decimal, lane: int) -> Decimal:
        """An amount in the quote currency of a lane, in the reporting one; zero before its rate is known."""
        return multiply(amount, self._rate(self.currency(lane))) if self.rates else amount

    def cash_in(self, currency: str) -> Decimal:
        """The cash in a currency."""
        return self.ledger.balances.get(currency, ZERO)

    def _rate(self, currency: str) -> Decimal:
        """The rate of a currency; zero without one, so that what has no value counts nothing."""
        return (self.rates.rate(currency) if self.rates else ONE) or ZERO

    def _in_quote(self, amount: Decimal, currency: str, quote: str) -> Decimal:
        """An amount in another quote currency; zero without rates."""
        worth, rate = multiply(amount, self._rate(currency)), self._rate(quote)
        return worth if rate == ONE or not rate else divide(worth, rate)

    # values

    def holdings_value(self) -> tuple[Decimal, Decimal]:
        """The net and gross value of all positions at the last quotes; shorts count negative in the net.

        A position in a symbol that has had no quote yet is worth its cost.
        """
        if not self.holding:
            return ZERO, ZERO
        # In float64, for limits only (ADR 6): hundreds of decimal products per decision would cost too much.
        net, gross = net_and_gross(self.market.lanes, self._weighted() if self.rates else self.held)
        if isnan(net):
            values = [self._value(lane) for lane in range(len(self._symbols))]
            net, gross = sum(values), sum(map(abs, values))
        worth = to_decimal(net)
        return worth, worth if gross == net else to_decimal(gross)

    def _weighted(self) -> NDArray[np.float64]:
        """The positions, each multiplied by the rate of its quote currency."""
        quotes = [self.currency(lane) for lane in range(len(self._symbols))]
        rates = {currency: float(self._rate(currency)) for currency in set(quotes)}
        return self.held * [rates[currency] for currency in quotes]

    @property
    def cash(self) -> Decimal:
        """The cash of all currencies, in the reporting one."""
        return self.rates.value(self.ledger.balances) if self.rates else self.ledger.cash

    def position_value(self, lane: int) -> Decimal:
        """The size of a lane's position at the last quote, for limits."""
        return to_decimal(abs(self._value(lane))) if self._held[lane] else ZERO

    def _value(self, lane: int) -> float:
        """The value of a lane's position at the last quote; its cost if the symbol has had no quote yet."""
        held, (bid, ask) = self._held[lane], self.market.quote(lane)
        value = held * (bid if held > 0.0 else ask) if bid > 0.0 else float(self.position(lane).cost)
        return value * float(self._rate(self.currency(lane))) if self.rates else value

    def equity_and_exposure(self, reserved: Decimal = ZERO) -> tuple[Decimal, Decimal]:
        """Cash plus positions, and all positions plus the money reserved for orders; at the last quotes, for limits."""
        net, gross = self.holdings_value()
        return add(self.cash, net), add(gross, reserved)

    def equity(self) -> Decimal:
        """Cash plus positions at the last quotes, for limits."""
        return self.equity_and_exposure()[0]

    def exact_equity(self) -> Decimal:
        """Cash plus positions at the last valid quotes, exactly, for the books."""
        if self.rates:
            return converted_equity(self.ledger.balances, self.holdings(), self.rates)
        return exact_equity(self.ledger.cash, self.holdings(), self.market.quote)

    def holdings(self) -> dict[int, Holding]:
        """The positions that are not flat, by lane."""
        # Not `position`, which makes one: the order of positions must not depend on who asks, and when.
        positions = ((lane, self.ledger.positions.get(symbol)) for lane, symbol in enumerate(self._symbols))
        return {lane: Holding(each.quantity, each.cost) for lane, each in positions if each and each.quantity}

    def buying_power(self, reserved: Decimal) -> Decimal:
        """The money for new positions: the cash that no working order needs.

        In a covered account: the equity that neither a position nor a working order needs. Longs and shorts
        together, with the orders for more of them, are worth at most the equity.
        """
        if not self.covered:
            return subtract(self.ledger.cash, reserved)
        equity, exposure = self.equity_and_exposure(reserved)
        return subtract(equity, exposure)

    def unrealized(self) -> Decimal:
        """The unrealized P&L for the books: positions at the last valid quotes less their cost, exactly."""
        total = ZERO
        for lane, holding in self.holdings().items():
            if self.market.mark(lane):  # without a quote, it is worth its cost
                value = exact_value(holding, self.market.quote(lane))
                gain = subtract(value, holding.cost)
                total = add(total, multiply(gain, self._rate(self.currency(lane))) if self.rates else gain)
        return total

    def realized(self) -> Decimal:
        """The realized P&L before fees."""
        if self.rates is None:
            return self.ledger.realized
        positions = self.ledger.positions.items()
        gains = (
            multiply(each.realized, self._rate(self.ledger.quote_currency(name))) for name, each in positions
        )
        return reduce(add, gains, ZERO)

    # days

    def start_day(self) -> None:
        """Starts a trading day: the daily loss is measured from the equity at this time."""
        self._day_start_equity, self._day_start_deposits = self.equity(), self._deposits
        self._is_day_valued = self.is_valued()

    def day_start_equity(self) -> Decimal:
        """Equity at the day's start plus later deposits, less withdrawals: they are not a gain or loss."""
        if self._deposits == self._day_start_deposits:
            return self._day_start_equity
        return add(self._day_start_equity, subtract(self._deposits, self._day_start_deposits))
