"""The tape of all rows: a seeded random walk, the same on every machine, cached as Parquet.

The volatility changes from one stretch of quotes to the next, with a median of about 1.5 bps a quote, so that
positions last long and short in turn. One quote in a thousand is invalid, one in a hundred is too wide.
"""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import platformdirs
import polars as pl
from numpy.typing import NDArray

QUOTES = 5_000_000
BLOCK_ROWS = 1_000_000
VERSION = 1  # part of the file name: a change of the walk must not find tapes of the old one
SYMBOL = "WALK"

_SEED = 7
_START_NS = 1_735_776_000_000_000_000
_FIRST_PRICE = 60_000.0
_MEDIAN_VOLATILITY = 1.5e-4
_VOLATILITY_SPREAD = 0.35
_STRETCH = 2_000
_INVALID, _WIDE = 0.001, 0.01
_MEAN_GAP_NS = 100_000_000
_CENTS = 2

Floats = NDArray[np.float64]


def tape_file(quotes: int = QUOTES) -> Path:
    """Returns the path of the tape in the user's cache; writes it there first if needed."""
    chosen = os.environ.get("AUTOHEDGE_CACHE_DIR")
    folder = Path(chosen or platformdirs.user_cache_dir("autohedge")) / "benchmarks"
    path = folder / f"{SYMBOL}_{quotes}_v{VERSION}_quotes.parquet"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        write_tape(path, quotes)
    return path


def write_tape(path: Path, quotes: int) -> None:
    """Writes a tape with one row group for each block; needs the memory of one block, whatever the length."""
    with tempfile.TemporaryDirectory(dir=path.parent) as aside:
        parts = []
        for number, block in enumerate(_blocks(quotes)):
            parts.append(Path(aside) / f"{number:04}.parquet")
            block.write_parquet(parts[-1])
        whole = Path(aside) / "whole.parquet"
        pl.scan_parquet(parts).sink_parquet(whole, row_group_size=BLOCK_ROWS)
        # Renamed when complete, so that an interrupted run leaves no partial tape in the cache.
        whole.rename(path)


def _blocks(quotes: int) -> Iterator[pl.DataFrame]:
    rng = np.random.Generator(np.random.PCG64(_SEED))
    price, ts = _FIRST_PRICE, _START_NS
    for start in range(0, quotes, BLOCK_ROWS):
        rows = min(BLOCK_ROWS, quotes - start)
        mids = price * np.exp(np.cumsum(_volatility(rng, rows) * rng.standard_normal(rows)))
        times = ts + np.cumsum(rng.exponential(_MEAN_GAP_NS, rows).astype(np.int64) + 1)
        price, ts = float(mids[-1]), int(times[-1])
        yield _quotes(rng, times, mids)


def _volatility(rng: np.random.Generator, rows: int) -> Floats:
    """Returns the standard deviation of each return, constant within a stretch."""
    stretches = _MEDIAN_VOLATILITY * np.exp(_VOLATILITY_SPREAD * rng.standard_normal(rows // _STRETCH + 1))
    return np.repeat(stretches, _STRETCH)[:rows]


def _quotes(rng: np.random.Generator, ts: NDArray[np.int64], mids: Floats) -> pl.DataFrame:
    rows = len(mids)
    spread_bps = rng.uniform(0.5, 4.0, rows)
    wide = rng.random(rows) < _WIDE
    spread_bps[wide] = rng.uniform(30.0, 80.0, int(wide.sum()))
    half = mids * spread_bps / 20_000.0  # bps of the mid, half on each side
    bid, ask = np.round(mids - half, _CENTS), np.round(mids + half, _CENTS)
    _spoil(rng, bid, ask)
    sizes = {name: np.round(rng.exponential(1.0, rows) + 0.001, 4) for name in ("bid_size", "ask_size")}
    return pl.DataFrame({"ts_ns": ts, "bid": bid, "ask": ask, **sizes})


def _spoil(rng: np.random.Generator, bid: Floats, ask: Floats) -> None:
    """Makes some quotes invalid in the ways that occur in feeds: missing, zero, crossed, infinite."""
    bad = np.flatnonzero(rng.random(len(bid)) < _INVALID)
    bid[bad[0::4]] = np.nan
    bid[bad[1::4]] = 0.0
    ask[bad[2::4]] = bid[bad[2::4]] - 1.0
    ask[bad[3::4]] = np.inf
