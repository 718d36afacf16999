"""Checks a tape before it is traded, and writes a stream to a file."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from autohedge.core.errors import Misconfigured
from autohedge.market.bars import Mask, PriceFaults, bar_faults, first_faults
from autohedge.market.columns import Columns
from autohedge.market.schema import TIME
from autohedge.market.stream import Kind, Stream
from autohedge.market.tape import Tape

_BLOCK_ROWS = 250_000
_SAMPLE_ROWS = 1_000_000


@dataclass(frozen=True, slots=True)
class StreamReport:
    """The data quality of one stream.

    `bad_quote` is the number of bad rows, which a run counts under the same code. Each of them counts once: as
    `missing` (a price is no finite number), else `non_positive`, else `crossed` (bid above ask, or a bar's low
    above its high), else `outside` (a bar's open or close is not between its low and high; 0 for quotes).
    `locked` counts bids equal to their ask, 0 for bars. `equal_stamps`
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
    outside: int
    bad_quote: int
    locked: int
    median_spread_bps: float | None


def check(tape: Tape) -> list[StreamReport]:
    """Returns a report per stream, in lane order; memory does not grow with the tape."""
    return [check_stream(stream) for stream in tape.streams]


def check_stream(stream: Stream) -> StreamReport:
    """Returns the report of one stream."""
    ts = stream.columns["ts"]
    equal, longest_ns = _gaps(ts)
    faults, locked = _faulty_rows(stream)
    return StreamReport(
        symbol=stream.symbol,
        kind=stream.kind,
        rows=len(stream),
        first_ns=int(ts[0]),
        last_ns=int(ts[-1]),
        equal_stamps=equal,
        longest_gap_ns=longest_ns,
        missing=faults.missing,
        non_positive=faults.non_positive,
        crossed=faults.crossed,
        outside=faults.outside,
        bad_quote=sum(faults),
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


def _faulty_rows(stream: Stream) -> tuple[PriceFaults[int], int]:
    """Returns how many rows are bad, by fault, and how many are locked."""
    totals = np.zeros(len(PriceFaults._fields), np.int64)
    locked = 0
    for span in _spans(len(stream)):
        columns = {name: column[span] for name, column in stream.columns.items()}
        faults = bar_faults(columns) if stream.kind is Kind.BARS else _quote_faults(columns)
        totals += [np.count_nonzero(mask) for mask in faults]
        if stream.kind is Kind.QUOTES:
            good = ~np.logical_or.reduce(faults)
            locked += int(np.count_nonzero(good & (columns["bid"] == columns["ask"])))
    return PriceFaults(*totals.tolist()), locked


def _quote_faults(columns: Columns) -> PriceFaults[Mask]:
    bid, ask = columns["bid"], columns["ask"]
    return first_faults(bid, ask, crossed=bid > ask, outside=np.zeros(len(bid), np.bool_))


def _median_spread_bps(stream: Stream) -> float | None:
    if stream.kind is not Kind.QUOTES:
        return None
    sample = slice(0, None, max(1, len(stream) // _SAMPLE_ROWS))
    bid, ask = stream.columns["bid"][sample], stream.columns["ask"][sample]
    good = (bid > 0) & (ask >= bid) & (ask < np.inf)
    if not good.any():
        return None
    bid, ask = bid[good], ask[good]
    return float(np.median((ask - bid) / (ask + bid) * 2e4))


def _spans(rows: int) -> Iterator[slice]:
    for start in range(0, rows, _BLOCK_ROWS):
        yield slice(start, min(start + _BLOCK_ROWS, rows))
