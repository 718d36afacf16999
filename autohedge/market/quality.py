"""Checks streams before they are traded, and writes a stream to a file."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autohedge.core.errors import Misconfigured
from autohedge.market.bar_ends import END
from autohedge.market.bars import PriceFaults
from autohedge.market.columns import row_blocks
from autohedge.market.row_codes import count_codes
from autohedge.market.schema import TIME
from autohedge.market.stream import PRICE_KINDS, START, Kind, Stream

_SAMPLE_ROWS = 1_000_000


@dataclass(frozen=True, slots=True)
class StreamReport:
    """The data quality of one stream; the rows of a book are its messages.

    `codes` are the rows with each code of the kind, see docs/tapes.md. `equal_stamps` counts rows with the time of
    the row before. `locked` counts quotes whose bid is equal to their ask. `median_spread_bps` is the median over
    good quotes, None if there are none; above a million rows it is taken from rows at a fixed stride.
    """

    symbol: str
    kind: Kind
    rows: int
    first_ns: int
    last_ns: int
    equal_stamps: int
    longest_gap_ns: int
    codes: dict[str, int]
    locked: int = 0
    median_spread_bps: float | None = None

    @property
    def bad_quote(self) -> int:
        """The quotes or bars that are bad, which a run counts under this code; 0 for other kinds."""
        return sum(self.codes.values()) if self.kind in PRICE_KINDS else 0

    def as_dict(self) -> dict[str, Any]:
        """Returns the report as `data check --json` has it: of quotes and bars with each code as a key too."""
        values = asdict(self)
        codes, locked, spread = (values.pop(name) for name in ("codes", "locked", "median_spread_bps"))
        if self.kind in PRICE_KINDS:
            values |= {code: codes.get(code, 0) for code in PriceFaults._fields}
            values |= {"bad_quote": self.bad_quote, "locked": locked, "median_spread_bps": spread}
        return {**values, "codes": codes}


def check(streams: Sequence[Stream]) -> list[StreamReport]:
    """Returns a report per stream, in the given order; memory does not grow with the streams."""
    return [check_stream(stream) for stream in streams]


def check_stream(stream: Stream) -> StreamReport:
    """Returns the report of one stream."""
    ts = stream.columns["ts"]
    equal, longest_ns = _gaps(ts)
    return StreamReport(
        symbol=stream.symbol,
        kind=stream.kind,
        rows=len(stream),
        first_ns=int(ts[0]),
        last_ns=int(ts[-1]),
        equal_stamps=equal,
        longest_gap_ns=longest_ns,
        codes=count_codes(stream),
        locked=_locked(stream),
        median_spread_bps=_median_spread_bps(stream),
    )


def write_parquet(stream: Stream, path: Path) -> None:
    """Writes a stream of quotes or bars with the columns that `--tape` reads; a bar's time is its start again.

    Raises Misconfigured if the file exists or cannot be written.
    """
    import polars as pl

    values = dict(stream.columns)
    ends = values.pop("ts")
    starts = values.pop(START, None)
    if starts is None:
        frame = pl.DataFrame({TIME: ends - stream.origin.interval_ns, **values})
    else:
        frame = pl.DataFrame({TIME: starts, END: ends, **values})
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
    for span in row_blocks(len(ts)):
        # One row before the span, so that the gap between two spans counts too.
        gaps = np.diff(ts[max(span.start - 1, 0) : span.stop])
        equal += int(np.count_nonzero(gaps == 0))
        longest_ns = max(longest_ns, int(gaps.max(initial=0)))
    return equal, longest_ns


def _locked(stream: Stream) -> int:
    if stream.kind is not Kind.QUOTES:
        return 0
    locked = 0
    for rows in row_blocks(len(stream)):
        bid, ask = stream.columns["bid"][rows], stream.columns["ask"][rows]
        locked += int(np.count_nonzero((bid == ask) & (bid > 0) & (bid < np.inf)))
    return locked


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
