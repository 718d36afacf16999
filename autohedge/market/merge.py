"""Merges streams into rows ordered by (time, stream, row), in blocks of bounded size."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from autohedge.core.errors import Corrupt
from autohedge.market import cache
from autohedge.market.cache import Meta
from autohedge.market.column_file import write_columns
from autohedge.market.columns import Column, Columns, frozen, zeros
from autohedge.market.tape import Origin, Rows, Stream, Tape, require_distinct

BLOCK_ROWS = 1_000_000
_END_OF_TIME = int(np.iinfo(np.int64).max)


def tape_of(streams: Sequence[Stream]) -> Tape:
    """Returns a tape of streams in memory, merged in memory.

    Raises Misconfigured if there is no stream, or if a symbol has two.
    """
    return _tape(streams, cached=False)


def cached_tape_of(streams: Sequence[Stream]) -> Tape:
    """Returns a tape of cached streams; the merged rows are cached too."""
    return _tape(streams, cached=True)


def merged_blocks(streams: Sequence[Stream], block_rows: int = BLOCK_ROWS) -> Iterator[dict[str, Column]]:
    """Yields the merged rows in blocks of at most `block_rows`; more only where times are equal."""
    quoted = [stream.as_quotes() for stream in streams]
    times = [columns["ts"] for columns in quoted]
    lengths = [len(ts) for ts in times]
    step = max(1, block_rows // len(streams))
    starts = [0] * len(streams)
    while starts != lengths:
        cut = _cut(times, starts, step)
        ends = [_end(ts, start, cut) for ts, start in zip(times, starts, strict=True)]
        yield _block(quoted, starts, ends)
        starts = ends


def _tape(streams: Sequence[Stream], *, cached: bool) -> Tape:
    require_distinct([stream.symbol for stream in streams])
    if len(streams) == 1:
        rows = _single(streams[0])
    else:
        rows = _merged_in_cache(streams) if cached else _merged_in_memory(streams)
    return Tape(tuple(streams), rows)


def _single(stream: Stream) -> Rows:
    return Rows(lane=zeros(len(stream), np.int32), **stream.as_quotes())


def _merged_in_memory(streams: Sequence[Stream]) -> Rows:
    blocks = list(merged_blocks(streams))
    columns = {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
    return Rows(**{name: frozen(column, column.dtype.type) for name, column in columns.items()})


def _merged_in_cache(streams: Sequence[Stream]) -> Rows:
    key = cache.key_of("merged", [_identity(stream.origin) for stream in streams])
    entry = cache.find_or_build(key, partial(_fill, streams=streams, key=key))
    _require_sound(entry.columns["lane"], len(streams))
    return Rows(**entry.columns)


def _identity(origin: Origin) -> tuple[object, ...]:
    return origin.content_hash, origin.interval_ns, origin.select, origin.bad_bars, origin.window_ns


def _require_sound(lane: Column, streams: int) -> None:
    """Refuses a damaged cache, whose lane numbers would make a kernel write outside its records."""
    if not 0 <= int(lane.min()) <= int(lane.max()) < streams:
        raise Corrupt("the cache of the merged tape is damaged; delete the cache directory and run again")


def _fill(folder: Path, *, streams: Sequence[Stream], key: str) -> Meta:
    written = write_columns(folder, merged_blocks(streams), sum(len(stream) for stream in streams))
    return Meta(streams[0].kind, written.rows, written.columns, key)


def _cut(times: Sequence[Column], starts: Sequence[int], step: int) -> int:
    """Returns the time up to which each stream gives at most `step` rows, apart from ties."""
    lasts = (start + step - 1 for start in starts)
    reached = (int(ts[last]) for ts, last in zip(times, lasts, strict=True) if last < len(ts))
    return min(reached, default=_END_OF_TIME)


def _end(ts: Column, start: int, cut: int) -> int:
    # "right": rows with equal times belong to one block, or streams would be merged in another order.
    return start + int(np.searchsorted(ts[start:], cut, side="right"))


def _block(quoted: Sequence[Columns], starts: Sequence[int], ends: Sequence[int]) -> dict[str, Column]:
    spans = list(zip(quoted, starts, ends, strict=True))
    counts = [end - start for _, start, end in spans]
    block: dict[str, Column] = {
        name: np.concatenate([columns[name][start:end] for columns, start, end in spans])
        for name in quoted[0]
    }
    block["lane"] = np.repeat(np.arange(len(spans), dtype=np.int32), counts)
    block["row"] = np.concatenate([_numbers(start, end) for _, start, end in spans])
    # A stable sort keeps the order of streams, and of rows within a stream, at equal times.
    order = np.argsort(block["ts"], kind="stable")
    return {name: column[order] for name, column in block.items()}


def _numbers(start: int, end: int) -> NDArray[np.int64]:
    return np.arange(start, end, dtype=np.int64)
