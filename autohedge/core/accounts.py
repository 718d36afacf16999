"""The currencies of an account, and the rates that convert them to the one that is reported."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

from autohedge.core.errors import Misconfigured
from autohedge.core.instruments import Instrument
from autohedge.core.money import ZERO, add, divide, multiply, to_decimal

ONE, HALF = Decimal(1), Decimal("0.5")

QuoteOf = Callable[[int], tuple[float, float]]
"""Returns bid and ask of a lane's last valid quote; NaN before the first."""


class RateSource(NamedTuple):
    """The lane whose mid converts a currency.

    `inverse` is false for the price of the currency in the reporting one, true for the other way round.
    """

    lane: int
    inverse: bool


@dataclass(frozen=True, slots=True)
class Currencies:
    """The currencies of a run.

    `reporting` is the one of results and limits, empty if it is unknown. `quotes` has the currency of each lane's
    prices, and `sources` what converts each currency that is not the reporting one.
    """

    reporting: str = ""
    quotes: tuple[str, ...] = ()
    sources: Mapping[str, RateSource] = field(default_factory=dict)

    @property
    def single(self) -> bool:
        """Whether all money is in the reporting currency, so that nothing is converted."""
        return not self.sources


SINGLE = Currencies()


def currencies_of(
    instruments: Sequence[Instrument], reporting: str = "", others: Collection[str] = ()
) -> Currencies:
    """Returns the currencies of a run, by lane, with those of fees and balances among the `others`.

    An unknown quote currency is taken for the reporting one; that is by default the one which all instruments
    share. Raises Misconfigured if they share none, and for a currency that no instrument converts.
    """
    reporting = reporting or _shared(instruments)
    quotes = tuple(instrument.quote or reporting for instrument in instruments)
    bases = [instrument.base for instrument in instruments]
    pairs = list(zip(bases, quotes, strict=True))
    sources = {
        currency: _source(currency, reporting, pairs)
        for currency in dict.fromkeys([*quotes, *others])
        if currency != reporting
    }
    return Currencies(reporting, quotes, sources)


def _shared(instruments: Sequence[Instrument]) -> str:
    quotes = sorted({instrument.quote for instrument in instruments if instrument.quote})
    if len(quotes) > 1:
        named = ", ".join(quotes)
        raise Misconfigured(
            f"prices are in {named}: set account.currency to the one that results and limits are in"
        )
    return quotes[0] if quotes else ""


def _source(currency: str, reporting: str, pairs: Sequence[tuple[str, str]]) -> RateSource:
    for pair, inverse in (((currency, reporting), False), ((reporting, currency), True)):
        if reporting and pair in pairs:
            return RateSource(pairs.index(pair), inverse)
    into = reporting or "the reporting currency"
    raise Misconfigured(
        f"there is no rate from {currency} to {into}: no symbol of the run is {currency}/{into} or {into}/{currency};"
        " add its tape, or change account.currency"
    )


@dataclass(frozen=True, slots=True)
class OpeningAccount:
    """The money of an account at the start of a run: `cash` in the reporting currency, `balances` in others."""

    cash: Decimal
    balances: Mapping[str, Decimal] = field(default_factory=dict)
    currencies: Currencies = SINGLE

    @property
    def amounts(self) -> dict[str, Decimal]:
        """The money by currency."""
        return {self.currencies.reporting: self.cash, **self.balances}


class Rates:
    """What one unit of each currency is worth in the reporting one, at the mids of the last valid quotes."""

    def __init__(self, currencies: Currencies, quote_of: QuoteOf) -> None:
        self.currencies = currencies
        self.quote_of = quote_of

    def rate(self, currency: str) -> Decimal | None:
        """Returns the rate; None for an unknown currency, and before the first quote of what converts it.

        A mid is exact, its inverse is rounded to 28 digits.
        """
        if currency == self.currencies.reporting:
            return ONE
        source = self.currencies.sources.get(currency)
        bid, ask = self.quote_of(source.lane) if source else (0.0, 0.0)
        if source is None or not bid > 0.0:
            return None
        mid = multiply(add(to_decimal(bid), to_decimal(ask)), HALF)
        return divide(ONE, mid) if source.inverse else mid

    def value(self, amounts: Mapping[str, Decimal]) -> Decimal:
        """Returns the sum of amounts by currency in the reporting one; an amount without a rate counts nothing."""
        total = ZERO
        for currency, amount in amounts.items():
            if amount:
                total = add(total, multiply(amount, self.rate(currency) or ZERO))
        return total

    def covers(self, amounts: Mapping[str, Decimal]) -> bool:
        """Returns whether every amount that is not zero has a rate."""
        return all(self.rate(currency) is not None for currency, amount in amounts.items() if amount)
