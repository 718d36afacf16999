"""Random rows beside the quotes of a history: trades, a book, funding and liquidations of each symbol.

They are drawn from a stream of their own, and agree with the quotes: a trade is at the last bid or ask before it.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autohedge.core.ids import Randomness
from autohedge.core.units import NS_PER_MS, NS_PER_S
from autohedge.faultsim.history import Feed, Quotes
from autohedge.faultsim.random_book import random_book
from autohedge.market.stream import Kind

SHARE = 0.25  # of the histories have rows of all kinds
READERS = "autohedge.faultsim.tape_readers"
TRADE_SHARE, BOOK_SHARE = 0.3, 0.3  # so many trades and messages of a book come with each quote
LIQUIDATIONS = 12

Times = NDArray[np.int64]
Floats = NDArray[np.float64]


def has_feeds(draw: Randomness) -> bool:
    """Draws whether a history has rows of all kinds."""
    return draw.random() < SHARE


def reading_settings(draw: Randomness, mode: str) -> dict[str, Any]:
    """Draws what reads the rows beside the quotes; empty where the strategy reads quotes alone.

    Where agents alone trade, no strategy reads anything.
    """
    names = ["", "crossover", "FlowReader", "EverythingReader", "BarReader"]
    (name,) = draw.choices(names, [15, 25, 20, 30, 10])
    bars = {
        "every": draw.choice(["1s", "1s", "2s", "5s", "8 ticks", "8 ticks"]),
        "source": draw.choice(["trades", "auto", "quotes"]),
        "skip_partial": draw.random() < 0.7,
    }
    if not name or mode == "llm":
        return {}
    if name == "crossover":
        return {"strategy": {"name": name}, "bars": bars}
    read: dict[str, Any] = {"strategy": {"name": f"{READERS}:{name}"}}
    return read if name == "FlowReader" else read | {"bars": bars}


def random_feeds(draw: Randomness, market: Sequence[Quotes], start_ns: int) -> list[Feed]:
    """Draws the rows of each symbol, kind by kind; `start_ns` is when the market starts."""
    feeds: list[Feed] = []
    for quotes in market:
        chance = np.random.default_rng(draw.getrandbits(64))
        feeds += [
            _trades(quotes, start_ns, chance),
            random_book(quotes, _book_rows(quotes, chance), tick_of(quotes), chance),
            _funding(quotes, chance),
            _liquidations(quotes, start_ns, chance),
        ]
    return feeds


def tick_of(quotes: Quotes) -> float:
    """The finest decimal of the prices of some quotes."""
    finest = min(int(Decimal(repr(price)).as_tuple().exponent) for price in (*quotes.bid, *quotes.ask))
    return float(f"1e{finest}")


def _times(quotes: Quotes, start_ns: int, count: int, chance: np.random.Generator) -> Times:
    """Times after the first quote: some at quotes, some at whole seconds, where bars end."""
    times = np.array(quotes.after_ns, np.int64)
    offsets = chance.choice([0, 0, 0, 1], count) * chance.integers(0, NS_PER_S, count)
    at: Times = times[chance.integers(0, len(times) - 1, count)] + offsets
    seconds = -(-(at + start_ns) // NS_PER_S) * NS_PER_S - start_ns
    return np.sort(np.minimum(np.where(chance.random(count) < 0.25, seconds, at), times[-1]))


def _shown(quotes: Quotes, times: Times) -> NDArray[np.intp]:
    """The quotes that show at some times."""
    return np.maximum(np.searchsorted(quotes.after_ns, times, side="right") - 1, 0)


def _amounts(price: Floats, chance: np.random.Generator) -> list[int | float]:
    """Sizes above zero, in money alike at every price."""
    amounts = chance.choice([20.0, 100.0, 700.0], len(price)) * chance.uniform(0.5, 2.0, len(price))
    return [float(f"{size:.3g}") for size in amounts / price]


def _trades(quotes: Quotes, start_ns: int, chance: np.random.Generator) -> Feed:
    times = _times(quotes, start_ns, int(TRADE_SHARE * len(quotes.bid)) + 20, chance)
    shown = _shown(quotes, times)
    side = chance.choice([-1, 1, 0], len(times), p=[0.45, 0.45, 0.1])
    price = np.where(side < 0, np.array(quotes.bid)[shown], np.array(quotes.ask)[shown])
    columns = {"price": price.tolist(), "size": _amounts(price, chance), "side": side.tolist()}
    return Feed(quotes.symbol, Kind.TRADES, times.tolist(), columns)


def _book_rows(quotes: Quotes, chance: np.random.Generator) -> list[int]:
    """The quotes with which a message of the book comes."""
    count = int(BOOK_SHARE * len(quotes.bid)) + 20
    rows: list[int] = np.unique(chance.integers(0, len(quotes.bid), count)).tolist()
    return rows


def _funding(quotes: Quotes, chance: np.random.Generator) -> Feed:
    every_ns = int(chance.integers(8, 25)) * NS_PER_S
    first_ns, last_ns = quotes.after_ns[0], quotes.after_ns[-1]
    # After a break the first rates come at once: no row is due while nothing trades.
    due = np.unique(np.array(quotes.after_ns, np.int64) // every_ns) * every_ns
    times = np.clip(due, first_ns, last_ns)
    rates = np.round(chance.normal(0.0, 2e-4, len(times)), 6)
    return Feed(quotes.symbol, Kind.FUNDING, times.tolist(), {"rate": rates.tolist()})


def _liquidations(quotes: Quotes, start_ns: int, chance: np.random.Generator) -> Feed:
    bursts = np.repeat(_times(quotes, start_ns, LIQUIDATIONS // 3, chance), 3)
    times = np.minimum(bursts + np.tile([0, 0, 300 * NS_PER_MS], LIQUIDATIONS // 3), quotes.after_ns[-1])
    times = np.sort(times)
    price = np.array(quotes.bid)[_shown(quotes, times)]
    side = chance.choice([-1, 1], len(times))
    columns = {"side": side.tolist(), "price": price.tolist(), "size": _amounts(price, chance)}
    return Feed(quotes.symbol, Kind.LIQUIDATIONS, times.tolist(), columns)
