"""A seeded synthetic market, so that a first run needs no file, network or key."""

from dataclasses import dataclass, fields
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from autohedge.core.errors import Misconfigured
from autohedge.core.units import NS_PER_HOUR
from autohedge.market.columns import Column

START_NS = 1_735_776_000_000_000_000  # 2025-01-02T00:00Z
_KNOWN_PRICES = {"BTC/USD": 95_000.0, "ETH/USD": 3_400.0, "SOL/USD": 190.0}
_QUOTE_NOTIONAL = 20_000.0
_SIZE_STEP = 1e-4
_FLAWS = ("no bid", "no ask", "zero bid", "crossed")
_PRICE_DIGITS = 5

Floats: TypeAlias = NDArray[np.float64]

# One value each for the calm, the normal and the wild regime; volatility and drift are per quote. Chosen so
# that momentum trades and spreads stay plausible, not fitted to any real market.
_WEIGHT = np.array([0.38, 0.38, 0.24])
_MEAN_QUOTES = np.array([6_000.0, 4_000.0, 300.0])
_VOLATILITY_BPS = np.array([0.12, 0.35, 2.5])
_BURST_QUOTES = 40
_DRIFT_BPS = np.array([0.0, 0.0, 0.8])
_SPREAD_BPS = np.array([1.0, 2.0, 12.0])
_PAUSE = np.array([1.3, 0.8, 0.2])


@dataclass(frozen=True, slots=True)
class SyntheticSpec:
    """What to generate: the same spec gives the same quotes.

    `quotes_per_s` is the average per symbol, `bad_quote_rate` the share of quotes that lack a side, have a
    zero bid or are crossed. Raises Misconfigured if the values make no market.
    """

    symbols: tuple[str, ...] = tuple(_KNOWN_PRICES)
    hours: float = 24.0
    quotes_per_s: float = 4.0
    bad_quote_rate: float = 0.0002
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.symbols or not all(self.symbols):
            raise Misconfigured("synthetic market: name at least one symbol")
        if self.rows < 1:
            raise Misconfigured("synthetic market: hours x quotes_per_s is less than one quote; raise them")
        if not 0 <= self.bad_quote_rate <= 1:
            raise Misconfigured("synthetic market: bad_quote_rate must be from 0 to 1")
        if self.seed < 0:
            raise Misconfigured("synthetic market: the seed must not be negative")

    @property
    def rows(self) -> int:
        """Quotes per symbol; 0 if hours or rate are not positive numbers."""
        quotes = self.hours * 3_600 * self.quotes_per_s
        positive = self.hours > 0 and self.quotes_per_s > 0 and np.isfinite(quotes)
        return round(quotes) if positive else 0

    def as_dict(self) -> dict[str, Any]:
        """Returns the spec as JSON values."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {**values, "symbols": list(self.symbols)}


def generator_version() -> str:
    """Returns a hash of this module's source and numpy's version, for the key of the cache."""
    digest = blake2b(Path(__file__).read_bytes(), digest_size=8)
    digest.update(np.__version__.encode())
    return digest.hexdigest()


def quotes(recipe: SyntheticSpec, symbol: str) -> dict[str, Column]:
    """Returns the quotes of one symbol of a spec: ts, bid, ask, bid_size, ask_size.

    The random numbers depend on seed and symbol only, so a symbol's quotes are the same whichever others are
    generated.
    """
    # PCG64 by name: numpy may change its default generator. The calls below must keep their order, because
    # they share one stream of random numbers.
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([recipe.seed, *symbol.encode()])))
    price, decimals = _initial_price(symbol, rng)
    regime = _regimes(recipe.rows, rng)
    mid = _mid(price, regime, rng)
    bid, ask = _on_tick_grid(mid, _spread_bps(regime, rng), decimals)
    _corrupt(bid, ask, recipe.bad_quote_rate, rng)
    return {
        "ts": _times(recipe, regime, rng),
        "bid": bid,
        "ask": ask,
        "bid_size": _sizes(recipe.rows, price, rng),
        "ask_size": _sizes(recipe.rows, price, rng),
    }


def _initial_price(symbol: str, rng: np.random.Generator) -> tuple[float, int]:
    """Returns the first price and the number of decimals of all prices."""
    price = _KNOWN_PRICES.get(symbol) or float(10 ** rng.uniform(0, 3))
    return price, max(0, _PRICE_DIGITS - int(np.floor(np.log10(price))))


def _regimes(rows: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Returns each quote's regime; spells of regimes follow each other at random."""
    # Twice the expected number, so that the drawn spells almost always cover all rows.
    spells = int(2 * rows / float(_WEIGHT @ _MEAN_QUOTES)) + 20
    drawn = rng.choice(len(_WEIGHT), size=spells, p=_WEIGHT)
    return _repeated(drawn, rng.geometric(1 / _MEAN_QUOTES[drawn]), rows)


def _drifts_bps(regime: NDArray[np.intp], rng: np.random.Generator) -> Floats:
    """Returns each quote's drift: bursts in one direction, with the strength of the regime."""
    bursts = int(2 * len(regime) / _BURST_QUOTES) + 20
    lengths = rng.geometric(1 / _BURST_QUOTES, size=bursts)
    drifts: Floats = _repeated(rng.standard_normal(bursts), lengths, len(regime)) * _DRIFT_BPS[regime]
    return drifts


def _repeated(values: Column, lengths: NDArray[np.int64], rows: int) -> Column:
    """Returns each value repeated for its length, cut or extended to `rows` in all."""
    return np.repeat(values, [*lengths[:-1], lengths[-1] + rows])[:rows]


def _mid(price: float, regime: NDArray[np.intp], rng: np.random.Generator) -> Floats:
    steps_bps = rng.standard_normal(len(regime)) * _VOLATILITY_BPS[regime]
    path: Floats = price * np.exp(np.cumsum(steps_bps + _drifts_bps(regime, rng)) / 1e4)
    return path


def _spread_bps(regime: NDArray[np.intp], rng: np.random.Generator) -> Floats:
    noise = np.exp(0.45 * rng.standard_normal(len(regime)))
    spread: Floats = _SPREAD_BPS[regime] * noise
    return spread


def _on_tick_grid(mid: Floats, spread_bps: Floats, decimals: int) -> tuple[Floats, Floats]:
    """Returns bid and ask rounded to ticks, at least one tick apart."""
    ticks_per_unit = float(10**decimals)
    half = mid * spread_bps / 2e4
    bid_ticks = np.maximum(np.floor((mid - half) * ticks_per_unit), 1)
    ask_ticks = np.maximum(np.ceil((mid + half) * ticks_per_unit), bid_ticks + 1)
    # Whole ticks divided by a power of ten give the same double as parsing the decimal price would.
    return bid_ticks / ticks_per_unit, ask_ticks / ticks_per_unit


def _corrupt(bid: Floats, ask: Floats, rate: float, rng: np.random.Generator) -> None:
    """Makes a share of the quotes bad, in place: a side missing or zero, or the sides swapped."""
    bad = np.flatnonzero(rng.random(len(bid)) < rate)
    flaw = rng.choice(_FLAWS, size=len(bad))
    bid[bad[flaw == "no bid"]] = np.nan
    ask[bad[flaw == "no ask"]] = np.nan
    bid[bad[flaw == "zero bid"]] = 0.0
    crossed = bad[flaw == "crossed"]
    bid[crossed], ask[crossed] = ask[crossed], bid[crossed]


def _times(recipe: SyntheticSpec, regime: NDArray[np.intp], rng: np.random.Generator) -> NDArray[np.int64]:
    """Returns irregular receive times over the spec's hours, denser in the wild regime."""
    gaps = rng.standard_exponential(recipe.rows) * _PAUSE[regime]
    elapsed = np.cumsum(gaps)
    span_ns = recipe.hours * NS_PER_HOUR
    times: NDArray[np.int64] = START_NS + (elapsed * (span_ns / elapsed[-1])).astype(np.int64)
    return times


def _sizes(rows: int, price: float, rng: np.random.Generator) -> Floats:
    steps = rng.standard_exponential(rows) * (_QUOTE_NOTIONAL / price / _SIZE_STEP)
    sizes: Floats = np.maximum(np.rint(steps), 1) / round(1 / _SIZE_STEP)
    return sizes
