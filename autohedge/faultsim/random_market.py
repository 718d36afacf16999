"""The random market of a scenario: a seeded random walk in a few symbols, with feed faults."""

from collections import Counter
from decimal import Decimal
from enum import StrEnum, auto, unique

import numpy as np

from autohedge.core.ids import Randomness
from autohedge.core.units import NS_PER_S
from autohedge.market import Stream, Tape, tape_of

START_NS = 1_700_000_000_000_000_000
SYMBOLS = ("A/USD", "B/USD", "C/USD")
TICK = Decimal("0.01")


@unique
class FeedFault(StrEnum):
    """A fault of the market data."""

    GAP = auto()
    STALE = auto()
    CROSSED = auto()
    NAN = auto()


def random_market(
    draw: Randomness, rows: int, faults: frozenset[FeedFault], fault_counts: Counter[str], calm_s: float
) -> tuple[Tape, int]:
    """Returns a tape of at least `rows` quotes, and the time after which it has no faults for `calm_s`."""
    # 0.25 s is the mean pause between quotes of a symbol in `_stream`.
    stormy_s = rows / len(SYMBOLS) * 0.25
    gap = (draw.uniform(0.3, 0.6) * stormy_s, draw.uniform(6, 40)) if FeedFault.GAP in faults else (0.0, 0.0)
    fault_counts["gap"] += FeedFault.GAP in faults
    streams = [
        _stream(symbol, draw, rows // len(SYMBOLS) + 1, faults, fault_counts, gap, calm_s)
        for symbol in SYMBOLS
    ]
    return tape_of(streams), START_NS + int((stormy_s + gap[1]) * NS_PER_S)


def _stream(
    symbol: str,
    draw: Randomness,
    count: int,
    faults: frozenset[FeedFault],
    fault_counts: Counter[str],
    gap: tuple[float, float],
    calm_s: float,
) -> Stream:
    chance = np.random.default_rng(draw.getrandbits(64))
    calm = int(calm_s)  # one quote a second while faults are over
    times = np.concatenate([chance.uniform(0.05, 0.45, count), np.ones(calm)]).cumsum()
    times[times > gap[0]] += gap[1]
    mask = np.ones(len(times), bool)
    if FeedFault.STALE in faults:
        stale_start = draw.randrange(count // 4, count // 2)
        mask[stale_start : stale_start + 60] = False
        fault_counts["stale"] += 1
    mid = 100.0 * np.exp(np.cumsum(chance.normal(0.0, 4e-4, len(times))))
    half = chance.choice([0.01, 0.02, 0.03], len(times))
    bid, ask = np.round(mid - half, 2), np.round(mid + half, 2)
    _spoil(bid, ask, chance, count, faults, fault_counts)
    sizes = chance.choice([0.0, 0.3, 1.0, 5.0], (2, len(times)))
    return Stream.of(
        symbol,
        {
            "ts": (START_NS + (times * NS_PER_S).astype(np.int64))[mask],
            "bid": bid[mask],
            "ask": ask[mask],
            "bid_size": sizes[0][mask],
            "ask_size": sizes[1][mask],
        },
    )


def _spoil(
    bid: np.ndarray[tuple[int], np.dtype[np.float64]],
    ask: np.ndarray[tuple[int], np.dtype[np.float64]],
    chance: np.random.Generator,
    count: int,
    faults: frozenset[FeedFault],
    fault_counts: Counter[str],
) -> None:
    if FeedFault.CROSSED in faults:
        crossed = chance.integers(0, count, count // 50)
        bid[crossed] = ask[crossed] + 0.05
        fault_counts["crossed"] += len(crossed)
    if FeedFault.NAN in faults:
        missing = chance.integers(0, count, count // 50)
        ask[missing] = np.nan
        fault_counts["nan"] += len(missing)
