"""The money of an account according to the record alone, by currency."""

from collections import defaultdict
from collections.abc import Mapping
from decimal import Decimal

from autohedge.config import Settings
from autohedge.core.money import add

PAIR = "/"  # every symbol of the random market is BASE/QUOTE


class RecordedBalances:
    """What an account holds in each currency; the reporting one is `reporting`."""

    def __init__(self, settings: Settings, symbols: tuple[str, ...]) -> None:
        self.reporting = settings.account.currency or (_quote(symbols[0]) if symbols else "")
        self.initial: Mapping[str, Decimal] = {
            self.reporting: settings.account.initial_cash,
            **settings.account.balances,
        }
        self.amounts = defaultdict(Decimal, self.initial)

    def quote(self, symbol: str) -> str:
        """The currency of a symbol's prices."""
        return _quote(symbol) or self.reporting

    def add(self, currency: str, amount: Decimal) -> None:
        """Adds an amount, or takes a negative one away."""
        self.amounts[currency] = add(self.amounts[currency], amount)


def _quote(symbol: str) -> str:
    return symbol.partition(PAIR)[2]
