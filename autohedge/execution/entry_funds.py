"""The money of an account for entries, in the reporting currency: what is free, and what orders reserve."""

from decimal import Decimal
from functools import reduce

from autohedge.core.money import ZERO, add, subtract
from autohedge.execution.orders import OrderManager
from autohedge.execution.portfolio import Portfolio


class EntryFunds:
    """What entries may spend and what working ones may still spend.

    An order reserves money in the quote currency of its symbol, and is paid from the cash in that currency.
    """

    def __init__(self, portfolio: Portfolio, orders: OrderManager) -> None:
        self._portfolio, self._orders = portfolio, orders

    def reserved(self) -> Decimal:
        """The money that all working entries may still spend, fees included."""
        if self._portfolio.rates is None:
            return self._orders.reserved
        return reduce(add, map(self.reserved_in, self._orders.lanes_with_entries), ZERO)

    def reserved_in(self, lane: int) -> Decimal:
        """The money that the working entries of a lane may still spend, fees included."""
        return self._portfolio.valued(self._orders.reserved_in(lane), lane)

    def buying_power(self, lane: int) -> Decimal:
        """The money for a new position in a lane: the cash in its quote currency that no working order needs.

        In a covered account it is that of the portfolio, for the equity covers all currencies.
        """
        portfolio, orders = self._portfolio, self._orders
        if portfolio.rates is None:
            return portfolio.buying_power(orders.reserved)
        if portfolio.covered:
            return portfolio.buying_power(self.reserved())
        currency = portfolio.currency(lane)
        needed = (
            orders.reserved_in(each)
            for each in orders.lanes_with_entries
            if portfolio.currency(each) == currency
        )
        return portfolio.valued(subtract(portfolio.cash_in(currency), reduce(add, needed, ZERO)), lane)
