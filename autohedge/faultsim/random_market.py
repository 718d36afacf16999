"""The random market of a history: instruments, sessions, and quotes without faults."""

from decimal import Decimal
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from autohedge.core.ids import Randomness
from autohedge.core.units import NS_PER_DAY, NS_PER_HOUR, NS_PER_MS, NS_PER_S
from autohedge.faultsim.history import Quotes

SYMBOLS = ("A/USD", "B/USD", "C/USD", "D/USD")
ROWS = 1_850  # over all symbols, without the calm at the end
FIRST_DAY_NS = 19_675 * NS_PER_DAY  # 14 November 2023, UTC
CALM_S = 120  # without faults at the end: long enough for every query and reconciliation to finish
MOST_GAPS_S = 60  # how much later than the clean market a market with gaps may end

Floats = NDArray[np.float64]
Times = NDArray[np.int64]


class MarketInstrument(NamedTuple):
    """An instrument of the market: its first price, tick and lot, and its share of the quotes."""

    symbol: str
    price: float
    tick: float
    lot: float
    weight: float


class TradingSessions(NamedTuple):
    """When the market trades: `trading_ns` from `start_ns` on, with breaks.

    A break is how much trading comes before it, and its length, both in ns.
    """

    start_ns: int
    trading_ns: int
    breaks: tuple[tuple[int, int], ...] = ()

    def at_ns(self, traded_ns: int) -> int:
        """The time after so much trading."""
        return self.start_ns + traded_ns + sum(length for after, length in self.breaks if traded_ns > after)

    def with_breaks(self, traded_ns: Times) -> Times:
        """Times after the start of the market, from times of trading."""
        lengths = [np.where(traded_ns > after, length, 0) for after, length in self.breaks]
        return sum(lengths, traded_ns)


# Price, tick and lot; the last one's lot costs more than many orders.
_KINDS = (
    (100.0, 0.01, 0.001),
    (60_000.0, 0.01, 0.00001),
    (0.08, 0.00001, 1.0),
    (2_500.0, 0.1, 0.0001),
    (25.0, 0.01, 1.0),
    (0.00002, 0.00000001, 100.0),
    (60_000.0, 0.01, 0.01),
)


def random_instruments(draw: Randomness) -> tuple[MarketInstrument, ...]:
    """Draws one to four instruments, in many histories of very different price and lot."""
    (count,) = draw.choices([1, 2, 3, 4], [10, 30, 40, 20])
    similar = draw.random() < 0.3
    kinds = [_KINDS[0]] * count if similar else draw.sample(_KINDS if count > 2 else _KINDS[:-1], count)
    return tuple(
        MarketInstrument(symbol, price, tick, lot, draw.choice([0.5, 1.0, 1.0, 2.0]))
        for symbol, (price, tick, lot) in zip(SYMBOLS, kinds, strict=False)
    )


def random_sessions(draw: Randomness) -> TradingSessions:
    """Draws when the market trades: within a day, over one midnight, or on several days."""
    trading_ns = draw.choice([110, 155, 240]) * NS_PER_S
    kind = draw.random()
    if kind < 0.5:
        return TradingSessions(FIRST_DAY_NS + draw.randrange(23 * NS_PER_HOUR), trading_ns)
    if kind < 0.75:
        before_midnight_ns = int(draw.uniform(0.05, 0.95) * trading_ns)
        return TradingSessions(FIRST_DAY_NS + NS_PER_DAY - before_midnight_ns, trading_ns)
    start_ns = FIRST_DAY_NS + draw.randrange(12 * NS_PER_HOUR, 23 * NS_PER_HOUR)
    count = draw.randint(1, 3)
    ends = sorted(draw.uniform(0.1, 0.9) for _ in range(count))
    breaks = ((int(end * trading_ns), int(draw.uniform(2, 30) * NS_PER_HOUR)) for end in ends)
    return TradingSessions(start_ns, trading_ns, tuple(breaks))


def random_market(
    draw: Randomness, instruments: tuple[MarketInstrument, ...], sessions: TradingSessions
) -> list[Quotes]:
    """Draws the quotes of each instrument: a random walk with short trends, then a calm of thin quotes."""
    weights = sum(instrument.weight for instrument in instruments)
    return [
        _quotes(
            instrument,
            sessions,
            int(ROWS * instrument.weight / weights) + 1,
            np.random.default_rng(draw.getrandbits(64)),
        )
        for instrument in instruments
    ]


def _quotes(
    instrument: MarketInstrument, sessions: TradingSessions, count: int, chance: np.random.Generator
) -> Quotes:
    traded_ns = _times(sessions.trading_ns, count, chance)
    mid = _walk(instrument.price, traded_ns, sessions, chance)
    bid, ask = _spread(mid, instrument, chance)
    # In money, so that partial fills are as likely at every price.
    unit = chance.choice([100.0, 1_000.0, 10_000.0]) / instrument.price
    sizes = _round(chance.choice([0.0, 0.3, 1.0, 5.0], (2, len(mid))) * unit, instrument.lot)
    return Quotes(
        instrument.symbol,
        sessions.with_breaks(traded_ns).tolist(),
        bid.tolist(),
        ask.tolist(),
        sizes[0].tolist(),
        sizes[1].tolist(),
    )


def _times(trading_ns: int, count: int, chance: np.random.Generator) -> Times:
    """The times of `count` quotes and of the calm after them: a quote a second, then one in five."""
    ends = chance.uniform(0.1, 1.9, count).cumsum()
    unit_ns = chance.choice([1, 1, 1, 100]) * NS_PER_MS  # in hundreds, quotes of several symbols coincide
    stormy = (ends / ends[-1] * trading_ns).astype(np.int64) // unit_ns * unit_ns
    seconds = np.concatenate([np.arange(1, CALM_S + 1), np.arange(CALM_S + 5, CALM_S + MOST_GAPS_S + 1, 5)])
    return np.concatenate([stormy, trading_ns + seconds * NS_PER_S])


def _walk(price: float, traded_ns: Times, sessions: TradingSessions, chance: np.random.Generator) -> Floats:
    """Mid prices: a random walk that may rise or fall, with short trends and a jump where a session opens."""
    count = len(traded_ns)
    volatility = chance.choice([1.5e-4, 4e-4, 4e-4, 1.5e-3])
    trends = np.repeat(chance.normal(0.0, 0.15 * volatility, count // 60 + 1), 60)[:count]
    steps = chance.normal(chance.choice([-0.15, -0.05, 0.0, 0.1]) * volatility, volatility, count) + trends
    for after_ns, _ in sessions.breaks:
        steps[np.searchsorted(traded_ns, after_ns, side="right")] += chance.normal(0.0, 0.01)
    walk: Floats = price * np.exp(steps.cumsum())
    return walk


def _spread(mid: Floats, instrument: MarketInstrument, chance: np.random.Generator) -> tuple[Floats, Floats]:
    """Bid and ask around the mids, mostly 2 to 6 bps apart, sometimes far, sometimes equal."""
    bps = chance.choice([2.0, 4.0, 6.0, 40.0, 0.0], len(mid), p=[0.3, 0.32, 0.32, 0.04, 0.02])
    ticks = np.round(mid * bps / 10_000.0 / instrument.tick)
    ticks = np.where(bps > 0.0, np.maximum(ticks, 1.0), 0.0) * instrument.tick
    bid = _round(mid - ticks / 2.0, instrument.tick)
    return bid, _round(bid + ticks, instrument.tick)


def _round(values: Floats, step: float) -> Floats:
    """The values as multiples of a step, with no more digits than it."""
    exponent = Decimal(str(step)).as_tuple().exponent
    return np.round(np.round(values / step) * step, max(-int(exponent), 0))
