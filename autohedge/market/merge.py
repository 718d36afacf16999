"""Merging streams into rows ordered by (time, stream, row), a bounded block at a time."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from autohedge.market import cache
from autohedge.market.cache import Meta
from autohedge.market.columns import Column, Columns, frozen, zeros
from autohedge.market.tape import Rows, Stream, Tape, require_distinct

BLOCK_ROWS = 1_000_000


def tape_of(streams: Sequence[Stream]) -> Tape:
    """A tape of streams in memory, merged in memory.

    Raises Misconfigured if there is no stream, or two for one symbol.
    """
    return _tape(streams, cached=False)


def cached_tape_of(streams: Sequence[Stream]) -> Tape:
    """A tape of streams that lie in the cache; what is merged is cached as well."""
    return _tape(streams, cached=True)


def merged_blocks(
    streams: Sequence[Stream], block_rows: int = BLOCK_ROWS
) -> Iterator[dict[str, Column]]:
    """The merged rows in blocks of about `block_rows`; more only where times are equal."""
    quoted = [stream.quoted() for stream in streams]
    at = [0] * len(streams)
    step = max(1, block_rows // len(streams))
    while any(start < len(columns["ts"]) for start, columns in zip(at, quoted, strict=True)):
        cut = _cut(quoted, at, step)
        ends = [
            start + int(np.searchsorted(columns["ts"][start:], cut, side="right"))
            for start, columns in zip(at, quoted, strict=True)
        ]
        yield _block(quoted, at, ends)
        at = ends


def _tape(streams: Sequence[Stream], *, cached: bool) -> Tape:
    require_distinct([stream.symbol for stream in streams])
    if len(streams) == 1:
        rows = _single(streams[0])
    else:
        rows = _merged_in_cache(streams) if cached else _merged_in_memory(streams)
    return Tape(tuple(streams), rows)


def _single(stream: Stream) -> Rows:
    return Rows(lane=zeros(len(stream), np.int32), **stream.quoted())


def _merged_in_memory(streams: Sequence[Stream]) -> Rows:
    blocks = list(merged_blocks(streams))
    columns = {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
    return Rows(**{name: frozen(column, column.dtype.type) for name, column in columns.items()})


def _merged_in_cache(streams: Sequence[Stream]) -> Rows:
    parts = [
        (stream.origin.content_hash, stream.origin.interval_ns, stream.origin.select)
        for stream in streams
    ]
    key = cache.key_of("merged", parts)
    entry = cache.find_or_build(key, partial(_fill, streams=streams, key=key))
    return Rows(**entry.columns)


def _fill(folder: Path, *, streams: Sequence[Stream], key: str) -> Meta:
    rows = cache.write_columns(folder, merged_blocks(streams))
    return Meta(streams[0].kind, rows, tuple(Rows.__slots__), key)


def _cut(quoted: Sequence[Columns], at: Sequence[int], step: int) -> int:
    """The latest time up to which no stream gives more than `step` rows, ties aside."""
    ends = [
        int(columns["ts"][min(start + step, len(columns["ts"])) - 1])
        for start, columns in zip(at, quoted, strict=True)
        if start < len(columns["ts"])
    ]
    full = [
        int(columns["ts"][start + step - 1])
        for start, columns in zip(at, quoted, strict=True)
        if start + step <= len(columns["ts"])
    ]
    return min(full) if full else max(ends)


def _block(
    quoted: Sequence[Columns], starts: Sequence[int], ends: Sequence[int]
) -> dict[str, Column]:
    spans = list(zip(quoted, starts, ends, strict=True))
    counts = [end - start for _, start, end in spans]
    block: dict[str, Column] = {
        name: np.concatenate([columns[name][start:end] for columns, start, end in spans])
        for name in quoted[0]
    }
    block["lane"] = np.repeat(np.arange(len(spans), dtype=np.int32), counts)
    block["row"] = np.concatenate([_numbers(start, end) for _, start, end in spans])
    # A stable sort keeps the order of streams, and of rows within each, where times are equal.
    order = np.argsort(block["ts"], kind="stable")
    return {name: column[order] for name, column in block.items()}


def _numbers(start: int, end: int) -> NDArray[np.int64]:
    return np.arange(start, end, dtype=np.int64)
