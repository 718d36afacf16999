"""Tradable instruments: what they are, in which currencies, and the rules of their venue."""

import re
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum, auto, unique
from typing import NamedTuple

DEFAULT_LOT = Decimal("0.000001")


@unique
class InstrumentKind(StrEnum):
    """What is traded: the currency or share itself, a perpetual future, or a contract on one of two outcomes."""

    SPOT = auto()
    PERP = auto()
    BINARY = auto()
    EQUITY = auto()


class CurrencyPair(NamedTuple):
    """The base and the quote currency of a symbol; both empty if the symbol does not tell."""

    base: str
    quote: str


NO_PAIR = CurrencyPair("", "")
# A quote currency has three letters at least, so the B in BRK-B is none; a number is the date of a future.
_PAIR = re.compile(r"([A-Za-z0-9.]+)[/_-]([A-Za-z][A-Za-z0-9]{2,11})")
_PRODUCTS = frozenset({"PERP", "SPOT", "SWAP"})


def split_symbol(symbol: str) -> CurrencyPair:
    """Returns base and quote of a symbol such as BTC/USD, BTC-USD or BTC_USD, in capitals.

    Other symbols, such as AAPL, BTCUSDT or SOL-USD-PERP, do not tell where the base ends.
    """
    found = _PAIR.fullmatch(symbol)
    if found is None or found[2].upper() in _PRODUCTS:
        return NO_PAIR
    return CurrencyPair(found[1].upper(), found[2].upper())


@dataclass(frozen=True, slots=True)
class Instrument:
    """One tradable symbol with its rules.

    `tick` is the price increment; None means that it follows from the prices printed on the tape.
    `significant_figures` bounds the digits of a price before its decimal places do, as in `price_step`. `lot` is
    the quantity increment; `min_quantity` and `min_notional` are the venue's least order.

    A price is in the `quote` currency per unit of `base`; an unknown currency is empty. Profits are paid in
    `settlement`. A quantity of 1 is `multiplier` units. `payout_min` and `payout_max` are what a contract is worth
    at `expiry_ns`. At most `max_leverage` times the money of a position may be held.
    """

    symbol: str
    tick: Decimal | None = None
    lot: Decimal = DEFAULT_LOT
    min_notional: Decimal = Decimal(0)
    kind: InstrumentKind = InstrumentKind.SPOT
    base: str = ""
    quote: str = ""
    settlement: str = ""
    significant_figures: int | None = None
    min_quantity: Decimal = Decimal(0)
    multiplier: Decimal = Decimal(1)
    expiry_ns: int | None = None
    payout_min: Decimal | None = None
    payout_max: Decimal | None = None
    max_leverage: Decimal = Decimal(1)

    @property
    def unsupported(self) -> str:
        """What the engine would ignore, so that it must not trade the instrument; empty if there is nothing."""
        reasons = {
            "a multiplier": self.multiplier != 1,
            "leverage": self.max_leverage > 1,
            "an expiry": self.expiry_ns is not None,
            "a settlement currency other than the quote currency": self.settlement != self.quote,
        }
        return next((reason for reason, holds in reasons.items() if holds), "")

    def is_dust(self, quantity: Decimal, notional: Decimal) -> bool:
        """Whether a position is too small for an order of its own."""
        return notional < self.min_notional or quantity < self.min_quantity

    def price_step(self, price: Decimal) -> Decimal | None:
        """Returns the increment of prices at a positive `price`; None if only the tape's digits tell.

        With `significant_figures` it is 10^(⌊log10 price⌋ + 1 - figures), at most 1, because whole prices are
        always valid, and at least the tick. This is the rule of Hyperliquid, whose tick is 10^-(6 - szDecimals).
        """
        if self.significant_figures is None:
            return self.tick
        step = Decimal(1).scaleb(min(price.adjusted() + 1 - self.significant_figures, 0))
        return step if self.tick is None else max(step, self.tick)
