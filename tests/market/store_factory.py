"""Rows for live stores, and stores with them."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from autohedge.market import LiveStoreWriter, Rows
from autohedge.market.rows import ROW_COLUMNS


def rows_at(*times: int, lane: int = 0) -> Rows:
    """Returns one quote of a lane at each time."""
    bids = [100.0 + ts / 8 for ts in times]
    asks, lanes = [bid + 0.5 for bid in bids], [lane] * len(times)
    return Rows.of(times, bids, asks, lanes, (bids, asks), lanes=lane + 1)


def part(rows: Rows, start: int, end: int) -> Rows:
    """Returns some rows of others."""
    columns: dict[str, Any] = {name: getattr(rows, name)[start:end] for name in ROW_COLUMNS}
    return replace(rows, row=None, **columns)


def store_of(folder: Path, rows: Rows, symbols: Sequence[str] = ("A",)) -> Path:
    """Writes a closed store; returns its folder."""
    with LiveStoreWriter(folder, symbols) as writer:
        writer.append(rows)
    return folder
