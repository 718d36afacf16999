"""The money for entries according to the record alone, in the reporting currency."""

from decimal import Decimal
from functools import reduce

from autohedge.core.money import ZERO, add, subtract, with_fee
from autohedge.faultsim.recorded_account import RecordedAccount, RecordedOrder


class RecordedFunds:
    """What the working entries of an account may still need, and what is free besides."""

    def __init__(self, account: RecordedAccount, fee_bps: Decimal) -> None:
        self._account, self._fee_bps = account, fee_bps

    def needed(self, order: RecordedOrder) -> Decimal:
        """The money that an order may still need, in the quote currency, with its fee."""
        return with_fee(order.open_notional(), self._fee_bps)

    def unreserved(self, symbol: str, pos: int) -> Decimal:
        """The money for an entry, had no order reserved any: the cash in the quote currency of its symbol.

        A covered account has its equity, less what its long and its short positions are worth together.
        """
        account, currency = self._account, self._account.money.quote(symbol)
        if not account.covered:
            return account.worth(currency, account.money.amounts[currency], pos)
        sizes = (abs(account.position_worth(each, pos)) for each in list(account.held))
        return subtract(account.equity(pos), reduce(add, sizes, ZERO))

    def free(self, symbol: str, pos: int, but: RecordedOrder | None = None) -> Decimal:
        """The money for an entry that no other working entry may need; `but` does not count."""
        account, free = self._account, self.unreserved(symbol, pos)
        currency = account.money.quote(symbol)
        for order in account.working.values():
            quote = account.money.quote(order.symbol)
            if order.enters and order is not but and (account.covered or quote == currency):
                free = subtract(free, account.worth(quote, self.needed(order), pos))
        return free
