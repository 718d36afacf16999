"""The series of bars that indicators read, without the bars that a strategy does not read."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from autohedge.core.units import NS_PER_DAY, NS_PER_S
from autohedge.market.bars import bad_bars
from autohedge.market.columns import Column
from autohedge.market.stream import BUY_VOLUME, PARTIAL, SELL_VOLUME, START, Kind, Stream
from autohedge.market.trading_session import parse_session

_PART_ROWS = 65_536


class BarSeries(NamedTuple):
    """Columns of equal length, float64. A volume that is not known, or cannot be one, is NaN.

    `session` is the day of a bar's start in UTC, or the second of its session's opening, since 1970.
    """

    session: Column
    high: Column
    low: Column
    close: Column
    volume: Column
    buy_volume: Column
    sell_volume: Column


def bar_series(stream: Stream, start: int = 0, stop: int | None = None) -> BarSeries:
    """Returns the series of the bars from row `start` on and before `stop` that `used_bars` gives."""
    rows = slice(start, stop)
    used = used_bars(stream, rows)
    columns = {name: column[rows][used] for name, column in stream.columns.items()}
    unknown = np.full(len(columns["ts"]), np.nan)
    return BarSeries(
        session=_sessions(stream, _starts(stream, columns)),
        high=columns["high"],
        low=columns["low"],
        close=columns["close"],
        volume=_volumes(columns["volume"]) if has_volume(stream) else unknown,
        buy_volume=columns.get(BUY_VOLUME, unknown),
        sell_volume=columns.get(SELL_VOLUME, unknown),
    )


def used_bars(stream: Stream, rows: slice) -> NDArray[np.bool_]:
    """Returns which of some rows a strategy reads: not those that contradict themselves or lack their beginning."""
    columns = {name: stream.columns[name][rows] for name in ("open", "high", "low", "close")}
    used = ~bad_bars(columns)
    if stream.origin.skips_partial:
        used &= stream.columns[PARTIAL][rows] == 0
    return used


def left_out_text(left_out: int) -> str:
    """Returns a line about bars that a strategy does not read; empty if there are none."""
    why = "bars left out, because they contradict themselves or lack their beginning"
    return f"{why}: {left_out:,}" if left_out else ""


def has_volume(stream: Stream) -> bool:
    """Returns whether the sizes of what the bars hold are known.

    A file of bars has volumes if one of them is above 0. Those of bars in a live store always count as known, because
    later rows must not change the values of earlier ones.
    """
    made_of = (stream.origin.derived or {}).get("from", Kind.BARS)
    if made_of != Kind.BARS:
        return bool(made_of == Kind.TRADES)
    return stream.origin.store is not None or _has_any(stream.columns["volume"])


def _volumes(column: Column) -> Column:
    """Returns volumes with NaN for one that is negative or infinite, which would spoil a sum for good."""
    volumes: Column = np.where((column >= 0.0) & (column < np.inf), column, np.nan)
    return volumes


def _has_any(volume: Column) -> bool:
    """Looks at one part after another, because most often the first one has a volume."""
    parts = range(0, len(volume), _PART_ROWS)
    return any(bool(np.any(volume[start : start + _PART_ROWS] > 0)) for start in parts)


def _starts(stream: Stream, columns: dict[str, Column]) -> Column:
    if START in columns:
        return columns[START]
    starts: Column = columns["ts"] - stream.origin.interval_ns
    return starts


def _sessions(stream: Stream, starts: Column) -> Column:
    hours = (stream.origin.derived or {}).get("session")
    if not hours or not len(starts):
        return (starts // NS_PER_DAY).astype(np.float64)
    segments = parse_session(hours).segments(int(starts[0]), int(starts[-1]), NS_PER_DAY)
    at = np.searchsorted(segments[:, 0], starts, side="right") - 1
    opened: Column = (segments[at, 0] // NS_PER_S).astype(np.float64)
    return opened
