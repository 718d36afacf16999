"""Checks a tape before it is traded, and writes a stream to a file."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from autohedge.core.errors import Misconfigured
from autohedge.market.columns import Column
from autohedge.market.schema import TIME
from autohedge.market.tape import Kind, Stream, Tape

_BLOCK_ROWS = 250_000
_SAMPLE_ROWS = 1_000_000


@dataclass(frozen=True, slots=True)
class StreamReport:
    """The data quality of one stream.

    A bad row counts once: as `missing` (a price is no number), else `non_positive`, else `crossed` (bid above
    ask, or a bar's low above its high). `locked` counts bids equal to their ask, 0 for bars. `equal_stamps`
    counts rows with the time of the row before. `median_spread_bps` is the median over good quotes, None if
    there are none; above a million rows it is taken from rows at a fixed stride.
    """

    symbol: str
    kind: Kind
    rows: int
    first_ns: int
    last_ns: int
    equal_stamps: int
    longest_gap_ns: int
    missing: int
    non_positive: int
    crossed: int
    locked: int
    median_spread_bps: float | None


def check(tape: Tape) -> list[StreamReport]:
    """Returns a report per stream, in lane order; memory does not grow with the tape."""
    return [check_stream(stream) for stream in tape.streams]


def check_stream(stream: Stream) -> StreamReport:
    """Returns the report of one stream."""
    ts = stream.columns["ts"]
    equal, longest_ns = _gaps(ts)
    missing, non_positive, crossed, locked = _bad_rows(stream)
    return StreamReport(
        symbol=stream.symbol,
        kind=stream.kind,
        rows=len(stream),
        first_ns=int(ts[0]),
        last_ns=int(ts[-1]),
        equal_stamps=equal,
        longest_gap_ns=longest_ns,
        missing=missing,
        non_positive=non_positive,
        crossed=crossed,
        locked=locked,
        median_spread_bps=_median_spread_bps(stream),
    )


def write_parquet(stream: Stream, path: Path) -> None:
    """Writes a stream with the columns that `--tape` reads; a bar's time becomes its start again.

    Raises Misconfigured if the file exists or cannot be written.
    """
    import polars as pl

    start = stream.columns["ts"] - stream.origin.interval_ns
    values = {name: column for name, column in stream.columns.items() if name != "ts"}
    frame = pl.DataFrame({TIME: start, **values})
    try:
        with path.open("xb") as file:
            frame.write_parquet(file)
    except FileExistsError as error:
        raise Misconfigured(f"{path}: exists already; name another file") from error
    except OSError as error:
        raise Misconfigured(f"{path}: cannot be written ({error.strerror}); check the folder") from error


def _gaps(ts: NDArray[np.int64]) -> tuple[int, int]:
    """Returns how many rows repeat the time before them, and the longest gap in nanoseconds."""
    equal = longest_ns = 0
    for span in _spans(len(ts)):
        # One row before the span, so that the gap between two spans counts too.
        gaps = np.diff(ts[max(span.start - 1, 0) : span.stop])
        equal += int(np.count_nonzero(gaps == 0))
        longest_ns = max(longest_ns, int(gaps.max(initial=0)))
    return equal, longest_ns


def _bad_rows(stream: Stream) -> tuple[int, int, int, int]:
    totals = np.zeros(4, np.int64)
    for span in _spans(len(stream)):
        totals += _bad_rows_in(stream, span)
    missing, non_positive, crossed, locked = totals.tolist()
    return missing, non_positive, crossed, locked


def _bad_rows_in(stream: Stream, span: slice) -> tuple[int, int, int, int]:
    prices = [stream.columns[name][span] for name in _price_names(stream.kind)]
    low, high = _sides(stream, span)
    missing = np.logical_or.reduce([np.isnan(price) for price in prices])
    non_positive = ~missing & np.logical_or.reduce([price <= 0 for price in prices])
    good = ~missing & ~non_positive
    locked = good & (low == high) & (stream.kind is Kind.QUOTES)
    crossed = good & (low > high)
    counts = [int(np.count_nonzero(mask)) for mask in (missing, non_positive, crossed, locked)]
    return counts[0], counts[1], counts[2], counts[3]


def _median_spread_bps(stream: Stream) -> float | None:
    if stream.kind is not Kind.QUOTES:
        return None
    bid, ask = _sides(stream, slice(0, None, max(1, len(stream) // _SAMPLE_ROWS)))
    good = (bid > 0) & (ask >= bid)
    if not good.any():
        return None
    bid, ask = bid[good], ask[good]
    return float(np.median((ask - bid) / (ask + bid) * 2e4))


def _sides(stream: Stream, rows: slice) -> tuple[Column, Column]:
    """Returns the two columns of which the first must not be above the second."""
    lower, upper = ("bid", "ask") if stream.kind is Kind.QUOTES else ("low", "high")
    return stream.columns[lower][rows], stream.columns[upper][rows]


def _price_names(kind: Kind) -> tuple[str, ...]:
    return ("bid", "ask") if kind is Kind.QUOTES else ("open", "high", "low", "close")


def _spans(rows: int) -> Iterator[slice]:
    for start in range(0, rows, _BLOCK_ROWS):
        yield slice(start, min(start + _BLOCK_ROWS, rows))
