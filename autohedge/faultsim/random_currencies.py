"""Random currencies of a history: a symbol that is quoted in another, and fees in a third asset.

They are drawn from a stream of their own, so that histories in one currency stay as they are.
"""

from collections.abc import Sequence
from math import floor, log10
from typing import Any

from msgspec import structs

from autohedge.core.ids import Randomness
from autohedge.faultsim.history import Quotes
from autohedge.faultsim.random_market import MarketInstrument

SHARE = 0.25  # of the histories with two symbols or more
REPORTING = "USD"


def with_currencies(
    draw: Randomness, instruments: Sequence[MarketInstrument]
) -> tuple[MarketInstrument, ...]:
    """Quotes the last of several instruments in the base of the first, in some histories."""
    if len(instruments) < 2 or draw.random() >= SHARE:
        return tuple(instruments)
    *others, last = instruments
    return *others, last._replace(symbol=f"{_base(last)}/{_base(instruments[0])}")


def market_in_currencies(market: list[Quotes], instruments: Sequence[MarketInstrument]) -> list[Quotes]:
    """A market whose prices are all in the reporting currency, with those of each symbol in its own."""
    if not _is_foreign(instruments[-1]):
        return market
    rate, (*others, last) = instruments[0].price, market
    places = -floor(log10(_own_tick(instruments)))
    bid, ask = ([round(price / rate, places) for price in side] for side in (last.bid, last.ask))
    return [*others, structs.replace(last, bid=bid, ask=ask)]


def currency_settings(
    draw: Randomness, instruments: Sequence[MarketInstrument], plain: dict[str, Any]
) -> dict[str, Any]:
    """What the settings need if an instrument is quoted in another currency; empty for one currency."""
    first, last, cash = instruments[0], instruments[-1], plain["account"]["initial_cash"]
    if not _is_foreign(last):
        return {}
    balances = {_base(first): _amount(draw, cash, first.price)}
    rules = plain["instruments"][last.symbol]
    # One letter is too few for a quote currency to be told from the symbol.
    own: dict[str, Any] = {"base": _base(last), "quote": _base(first)}
    own |= {"min_notional": float(f"{rules['min_notional'] / first.price:.4g}")}
    own |= {"tick": _own_tick(instruments)} if "tick" in rules else {}
    made = {"account": {"currency": REPORTING, "balances": balances}, "instruments": {last.symbol: own}}
    # Not the currency that another symbol is bought with: the engine does not know that a fee may need it.
    if len(instruments) > 2 and draw.random() < 0.7:
        paid_in = instruments[1]
        made["simulated"] = {"fee_currency": _base(paid_in)}
        if draw.random() < 0.8:
            # Enough for some fees, so that later ones are paid in the quote currency.
            balances[_base(paid_in)] = _amount(draw, cash / 5_000, paid_in.price)
    return made


def _is_foreign(instrument: MarketInstrument) -> bool:
    return not instrument.symbol.endswith(f"/{REPORTING}")


def _own_tick(instruments: Sequence[MarketInstrument]) -> float:
    """The tick of the last instrument in the currency of the first: five digits of its price."""
    return float(f"1e{floor(log10(instruments[-1].price / instruments[0].price)) - 4}")


def _base(instrument: MarketInstrument) -> str:
    return instrument.symbol.partition("/")[0]


def _amount(draw: Randomness, money: float, price: float) -> float:
    """About as much of a currency as some money buys."""
    return float(f"{money * draw.uniform(0.3, 3.0) / price:.3g}")
