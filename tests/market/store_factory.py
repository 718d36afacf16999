"""Rows for live stores, and stores with them."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from autohedge.kernels.book_codes import NO_SEQ
from autohedge.market import BookMessages, LiveStoreWriter, Rows, Stream
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


def stream_part(stream: Stream, start: int, end: int) -> Stream:
    """Returns some rows of a stream; of a book, its messages before them stay too."""
    columns = {name: column[start:end] for name, column in stream.columns.items()}
    messages = stream.messages and stream.messages.first(end)
    return replace(stream, columns=columns, messages=messages)


def book_of(symbol: str, times: Sequence[int], prices: Sequence[float]) -> Stream:
    """Returns messages that each replace a book of one bid and of an ask one above it."""
    count = len(times)
    levels = np.array([[price, price + 1.0] for price in prices]).ravel()
    messages = BookMessages(
        symbol,
        tick=0.5,
        sequenced=False,
        side=np.array([1, -1] * count, np.int8),
        price=levels,
        size=np.ones(2 * count),
        start=np.arange(0, 2 * count + 1, 2),
        ts=np.array(times, np.int64),
        is_snapshot=np.ones(count, np.int8),
        **{name: np.full(count, NO_SEQ) for name in ("first_seq", "last_seq", "prev_seq")},
    )
    return Stream.of_book(symbol, messages)
