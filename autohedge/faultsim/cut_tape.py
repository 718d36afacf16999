"""Parts of the market of a history: its first rows, and the feeds that its strategy needs."""

from dataclasses import replace
from typing import Any

import numpy as np
from msgspec import structs

from autohedge.faultsim.history import History
from autohedge.market.book_messages import BookMessages
from autohedge.market.rows import ROW_COLUMNS, RowKinds, Rows
from autohedge.market.stream import Kind, Stream
from autohedge.market.tape import Tape


def first_rows(tape: Tape, count: int) -> Tape:
    """A copy of the first rows of a tape, whose streams have no later rows either."""
    rows = _copied(tape.rows, count)
    if rows.kinds is None:
        return Tape(tape.streams, rows)
    numbers = np.bincount(rows.kinds.source, minlength=len(tape.streams)).tolist()
    streams = [
        _first(stream, number) if stream.origin.taken else stream
        for stream, number in zip(tape.streams, numbers, strict=True)
    ]
    return Tape(tuple(streams), rows)


def with_feeds_read(history: History, tape: Tape) -> History:
    """The history without the feeds that its strategy needs neither as they are nor for bars."""
    if not history.feeds:
        return history
    kinds = {stream.kind for stream in tape.streams if stream.origin.read}
    kinds |= {Kind(stream.origin.derived["from"]) for stream in tape.streams if stream.origin.derived}
    return structs.replace(history, feeds=[feed for feed in history.feeds if feed.kind in kinds])


def _copied(rows: Rows, count: int) -> Rows:
    # A slice shares memory, so compiled code without bounds checks could read the later rows.
    kept: dict[str, Any] = {name: getattr(rows, name)[:count].copy() for name in ROW_COLUMNS}
    kinds = rows.kinds and RowKinds(*[column[:count].copy() for column in rows.kinds])  # type: ignore[arg-type]
    return Rows(**kept, row=None if rows.row is None else rows.row[:count].copy(), kinds=kinds)


def _first(stream: Stream, count: int) -> Stream:
    columns = {name: column[:count].copy() for name, column in stream.columns.items()}
    return replace(
        stream, columns=columns, messages=stream.messages and _first_messages(stream.messages.now, count)
    )


def _first_messages(messages: BookMessages, count: int) -> BookMessages:
    levels = int(messages.start[count])
    kept: dict[str, Any] = {name: column[:levels].copy() for name, column in messages.levels().items()}
    return replace(messages.first(count), **kept)
