"""Keeps the messages of a book in the column cache: the table of messages, and their levels."""

from pathlib import Path
from typing import Any

import numpy as np

from autohedge.core.errors import Misconfigured
from autohedge.market import cache
from autohedge.market.book_messages import BookMessages
from autohedge.market.book_reader import read_messages
from autohedge.market.cache import CachedColumns, Meta
from autohedge.market.column_file import write_columns
from autohedge.market.columns import Columns
from autohedge.market.sources import TapeSource
from autohedge.market.stream import COLUMNS, Kind
from autohedge.market.tape_file import FileRequest, hash_file


def import_book(request: FileRequest, key: str, select: str | None, symbol: str | None) -> CachedColumns:
    """Reads a file of messages into the cache; returns the table of messages, whose entry has this key.

    Raises Misconfigured if the file is damaged or changes meanwhile.
    """
    messages = read_messages(TapeSource(request.path, select))
    if hash_file(request.path) != request.content_hash:
        raise Misconfigured(f"{request.path}: changed while it was read; run again")
    about: dict[str, Any] = {"select": select, "symbol": symbol}
    about |= {"tick": messages.tick, "sequenced": messages.sequenced}

    def entry_of(columns: Columns, folder: Path) -> Meta:
        rows = len(next(iter(columns.values())))
        written = write_columns(folder, [dict(columns)], rows)
        return Meta(Kind.BOOK, written.rows, written.columns, request.content_hash, **about)

    cache.build(_levels_key(request.content_hash, select), lambda folder: entry_of(messages.levels(), folder))
    return cache.build(key, lambda folder: entry_of(messages.table(), folder))


def messages_of(entry: CachedColumns, request: FileRequest) -> BookMessages:
    """Returns the messages whose table is a cache entry."""
    meta, table = entry.meta, entry.columns
    levels = find_levels(meta)
    if levels is None:
        return read_messages(TapeSource(request.path, meta.select))
    end = levels.meta.rows
    return BookMessages(
        str(request.path),
        meta.tick,
        meta.sequenced,
        **levels.columns,
        start=np.append(table["start"], end),
        **{name: table[name] for name in COLUMNS[Kind.BOOK] if name != "start"},
    )


def find_levels(messages: Meta) -> CachedColumns | None:
    """Returns the levels of the book with these messages from the cache, None if they are not there."""
    return cache.find(_levels_key(messages.hash, messages.select))


def _levels_key(content_hash: str, select: str | None) -> str:
    return cache.key_of("levels", content_hash, select)
