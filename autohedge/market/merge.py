"""Merges streams into rows ordered by (time, kind, stream, row), in blocks of bounded size."""

from collections.abc import Collection, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from autohedge.core.errors import Corrupt
from autohedge.market import cache
from autohedge.market.bar_spec import BarSpec
from autohedge.market.cache import Meta
from autohedge.market.column_file import write_columns
from autohedge.market.columns import Column, Columns, dtype_of, frozen, zeros
from autohedge.market.rows import ROW_COLUMNS, RowKinds, Rows
from autohedge.market.stream import KINDS, Kind, Stream, symbols_of
from autohedge.market.tape import Tape

BLOCK_ROWS = 1_000_000
_END_OF_TIME = int(np.iinfo(np.int64).max)


def merged(streams: Sequence[Stream], *, cached: bool) -> Tape:
    """Returns the tape of some streams, whose rows are merged in memory, or into the cache."""
    taken, mixed = _taken(streams)
    if len(taken) == 1 and not mixed:
        rows = _single(taken[0].stream)
    elif cached:
        rows = _merged_in_cache(taken, len(streams), mixed=mixed)
    else:
        rows = _merged_in_memory(taken, mixed=mixed)
    return Tape(tuple(streams), rows)


def _single(stream: Stream) -> Rows:
    columns: dict[str, Any] = stream.as_quotes()
    return Rows(lane=zeros(len(stream), np.int32), **columns)


class TakenStream(NamedTuple):
    """A stream whose rows are merged: its lane, its position in the tape, and its rank at equal times."""

    stream: Stream
    lane: int
    source: int
    rank: float

    @classmethod
    def of(cls, streams: Sequence[Stream], source: int) -> "TakenStream":
        """Returns the stream at a position of the tape."""
        stream = streams[source]
        return cls(stream, symbols_of(streams).index(stream.symbol), source, _rank(stream))

    def columns(self, *, mixed: bool) -> dict[str, Column]:
        """Returns the columns of its rows, apart from those that are equal in all of them."""
        columns = self.stream.as_quotes()
        if not self.stream.origin.prices:
            columns |= dict.fromkeys(ROW_COLUMNS[2:], np.broadcast_to(np.nan, len(self.stream)))
        return columns | ({"close": self.stream.closes()} if mixed else {})


def _rank(stream: Stream) -> float:
    """Returns the rank of a stream's rows among those of the same time."""
    if stream.kind is Kind.BARS and not _ends_by_time(stream):
        return len(KINDS)  # such a bar holds a row of its time, and is known after it
    return KINDS.index(Kind.BOOK if _is_touch(stream) else stream.kind)


def _is_touch(stream: Stream) -> bool:
    """Returns whether the rows are the best prices after each message of a book."""
    return stream.origin.derived == {"from": Kind.BOOK.value}


def _ends_by_time(stream: Stream) -> bool:
    derived = stream.origin.derived
    return BarSpec.of(derived["every"]).is_time if derived else stream.origin.interval_ns > 0


def merged_blocks(streams: Sequence[Stream], block_rows: int = BLOCK_ROWS) -> Iterator[dict[str, Column]]:
    """Yields the merged rows in blocks of at most `block_rows`; more only where times are equal."""
    taken, mixed = _taken(streams)
    return _blocks(taken, block_rows, mixed=mixed)


def _taken(streams: Sequence[Stream]) -> tuple[list[TakenStream], bool]:
    """Returns the streams to merge in the order of their rows at equal times, and whether there are `RowKinds`."""
    taken = [TakenStream.of(streams, source) for source, stream in enumerate(streams) if stream.origin.taken]
    taken.sort(key=lambda each: (each.rank, each.source))
    uses = (stream.origin for stream in streams if stream.origin.taken)
    mixed = not all(use.prices and use.read for use in uses)
    return taken, mixed or any(each.stream.skips_rows for each in taken)


def _blocks(
    taken: Sequence[TakenStream], block_rows: int = BLOCK_ROWS, *, mixed: bool
) -> Iterator[dict[str, Column]]:
    columns = [each.columns(mixed=mixed) for each in taken]
    times = [each["ts"] for each in columns]
    lengths = [len(ts) for ts in times]
    step = max(1, block_rows // len(taken))
    starts = [0] * len(taken)
    while starts != lengths:
        cut = _cut(times, starts, step)
        ends = [_end(ts, start, cut) for ts, start in zip(times, starts, strict=True)]
        yield _block(taken, columns, starts, ends, mixed=mixed)
        starts = ends


def _merged_in_memory(taken: Sequence[TakenStream], *, mixed: bool) -> Rows:
    blocks = list(_blocks(taken, mixed=mixed))
    columns = {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
    return _rows({name: frozen(column, dtype_of(name)) for name, column in columns.items()})


def _merged_in_cache(taken: Sequence[TakenStream], sources: int, *, mixed: bool) -> Rows:
    key = cache.key_of("merged", mixed, [_identity(each) for each in taken])
    entry = cache.find_or_build(key, partial(_fill, taken=taken, key=key, mixed=mixed))
    _require_sound(entry.columns["lane"], 1 + max(each.lane for each in taken))
    if mixed:
        _require_sound(entry.columns["source"], sources)
    return _rows(entry.columns)


def _rows(columns: Columns) -> Rows:
    kinds = RowKinds(*(columns[name] for name in RowKinds._fields)) if "source" in columns else None
    return Rows(**{name: columns[name] for name in ROW_COLUMNS}, row=columns["row"], kinds=kinds)


def _identity(each: TakenStream) -> tuple[object, ...]:
    origin = each.stream.origin
    use = origin.prices, origin.read, origin.skips_partial, each.lane, each.source, each.rank
    return (origin.content_hash, origin.interval_ns, origin.select, origin.bad_bars, origin.window_ns, use)


def _require_sound(numbers: Column, count: int) -> None:
    """Refuses a damaged cache, whose lane numbers would make a kernel write outside its records."""
    if not 0 <= int(numbers.min()) <= int(numbers.max()) < count:
        raise Corrupt("the cache of the merged tape is damaged; delete the cache directory and run again")


def _fill(folder: Path, *, taken: Sequence[TakenStream], key: str, mixed: bool) -> Meta:
    rows = sum(len(each.stream) for each in taken)
    written = write_columns(folder, _blocks(taken, mixed=mixed), rows)
    return Meta(taken[0].stream.kind, written.rows, written.columns, key)


def _cut(times: Sequence[Column], starts: Sequence[int], step: int) -> int:
    """Returns the time up to which each stream gives at most `step` rows, apart from ties."""
    lasts = (start + step - 1 for start in starts)
    reached = (int(ts[last]) for ts, last in zip(times, lasts, strict=True) if last < len(ts))
    return min(reached, default=_END_OF_TIME)


def _end(ts: Column, start: int, cut: int) -> int:
    # "right": rows with equal times belong to one block, or streams would be merged in another order.
    return start + int(np.searchsorted(ts[start:], cut, side="right"))


def _block(
    taken: Sequence[TakenStream],
    columns: Sequence[Columns],
    starts: Sequence[int],
    ends: Sequence[int],
    *,
    mixed: bool,
) -> dict[str, Column]:
    spans = list(zip(columns, starts, ends, strict=True))
    counts = [end - start for _, start, end in spans]
    block: dict[str, Column] = {
        name: np.concatenate([each[name][start:end] for each, start, end in spans]) for name in columns[0]
    }
    block["lane"] = _repeated("lane", [each.lane for each in taken], counts)
    block["row"] = np.concatenate([_numbers(start, end) for _, start, end in spans])
    if mixed:
        block["source"] = _repeated("source", [each.source for each in taken], counts)
        block["priced"] = _repeated("priced", [each.stream.origin.prices for each in taken], counts)
    order = _order(taken, block, counts)
    return {name: column[order] for name, column in block.items()}


def _order(taken: Sequence[TakenStream], block: Columns, counts: Sequence[int]) -> NDArray[np.int64]:
    """Returns the order of a block's rows, which are those of one stream after the other."""
    books = {each.lane for each in taken if each.stream.kind is Kind.BOOK}
    touches = [_is_touch(each.stream) and each.lane in books for each in taken]
    if not any(touches):
        # A stable sort keeps the order of the streams, and of rows within a stream, at equal times.
        return np.argsort(block["ts"], kind="stable")
    # The prices after a message come right before it: a strategy that reads it is filled at what it sees.
    paired = {each.lane for each, touch in zip(taken, touches, strict=True) if touch}
    first = {each.lane: number for number, each in reversed(list(enumerate(taken))) if _in_pair(each, paired)}
    places = [first[each.lane] if _in_pair(each, paired) else number for number, each in enumerate(taken)]
    within = 2 * block["row"] + np.repeat([not touch for touch in touches], counts)
    return np.lexsort((within, np.repeat(places, counts), block["ts"]))


def _in_pair(each: TakenStream, lanes: Collection[int]) -> bool:
    return each.lane in lanes and (each.stream.kind is Kind.BOOK or _is_touch(each.stream))


def _repeated(name: str, values: Sequence[int], counts: Sequence[int]) -> Column:
    return np.repeat(np.array(values, dtype_of(name)), counts)


def _numbers(start: int, end: int) -> NDArray[np.int64]:
    return np.arange(start, end, dtype=np.int64)
