"""Opens tapes: from files, from a synthetic spec, or again from the origins of a recorded run."""

import os
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import msgspec

from autohedge.core.errors import Corrupt, Misconfigured
from autohedge.core.text import one_line
from autohedge.market import cache
from autohedge.market.bars import count_bad_bars
from autohedge.market.book_cache import messages_of
from autohedge.market.cache import CachedColumns, Meta
from autohedge.market.changed_rows import first_change
from autohedge.market.column_file import write_columns
from autohedge.market.columns import hash_columns, zeros
from autohedge.market.derived import rederive
from autohedge.market.importer import load
from autohedge.market.merge import merged
from autohedge.market.reads import PRICES, Reads, cached_tape_of
from autohedge.market.sources import TapeSource, is_same_symbol
from autohedge.market.store_tape import open_store, reopen_store, reopen_store_streams, store_among
from autohedge.market.stream import COLUMNS, OPTIONAL, Kind, Origin, Stream
from autohedge.market.synthetic import SyntheticSpec, generator_version, quotes
from autohedge.market.tape import Tape, require_distinct
from autohedge.market.tape_file import SYMBOL_CHARS, FileRequest, hash_file


def open_tape(sources: Sequence[TapeSource], *, growing: bool = False, reads: Reads = PRICES) -> Tape:
    """Returns the files as one tape, lanes in the given order; imports files that are not cached.

    A single source may be the folder of a live store; one that is still open only with `growing`. The rows are
    those that a strategy with these `reads` takes.

    Raises Misconfigured if a file is missing or is not a valid tape, if two are of one symbol, kind and length of
    bars, or if an instrument has no prices.
    """
    if store := store_among(sources):
        return open_store(store, growing=growing, reads=reads)
    return cached_tape_of(open_streams(sources), reads)


def open_streams(sources: Sequence[TapeSource]) -> list[Stream]:
    """Returns the streams of some files, in the given order, or those of a finished live store.

    They need not make a tape: none has to have prices. Raises Misconfigured if a file is missing or not valid, or if
    the store is still open.
    """
    if store := store_among(sources):
        return list(open_store(store, growing=False, reads=PRICES).streams)
    return [_from_source(source) for source in sources]


def synthesize(recipe: SyntheticSpec, reads: Reads = PRICES) -> Tape:
    """Returns the synthetic market of a spec as a tape; generates streams that are not cached."""
    require_distinct([(symbol, Kind.QUOTES, 0) for symbol in recipe.symbols])
    return cached_tape_of([_from_recipe(recipe, symbol) for symbol in recipe.symbols], reads)


def reopen(
    origins: Sequence[Origin], folder: Path | None = None, reached: Sequence[tuple[int, int]] = ()
) -> Tape:
    """Returns the tape of a recorded run; the content of every stream is checked against its origin.

    A file in `folder` that is named by the content hash, with any suffix, has priority over the origin's
    path. For a live store, `reached` says when a clock has finished bars, see `StoreCursor`.

    Raises Misconfigured if a source is missing, Corrupt if its content has changed.
    """
    if origins and origins[0].store:
        whole = reopen_store([origin.whole() for origin in origins], folder, reached)
        window_ns = origins[0].window_ns
        return whole.between(*window_ns) if window_ns else whole
    return merged(reopen_streams(origins, folder), cached=True)


def reopen_streams(origins: Sequence[Origin], folder: Path | None = None) -> list[Stream]:
    """Returns the streams of a recorded run; raises as `reopen` does."""
    if origins and origins[0].store:
        return reopen_store_streams([origin.whole() for origin in origins], folder)
    given = [origin for origin in origins if origin.derived is None]
    require_distinct([_key(origin) for origin in given])
    whole_streams = [_reopen(origin.whole(), given, folder) for origin in given]
    streams = [_in_window(stream, origin) for stream, origin in zip(whole_streams, given, strict=True)]
    for origin in origins:
        if origin.derived is not None:
            # In a window, either the bars of the whole tape were cut, or the bars of the window were made.
            sources = whole_streams if origin.window_ns else streams
            made = rederive(origin, sources)
            if origin.window_ns:
                whole_streams.append(made)
            streams.append(_in_window(made, origin))
    return [_used_as(stream, origin) for stream, origin in zip(streams, origins, strict=True)]


def _key(origin: Origin) -> tuple[str, Kind, int]:
    return origin.symbol, origin.kind, origin.interval_ns


def _in_window(stream: Stream, origin: Origin) -> Stream:
    return stream.between(*origin.window_ns) if origin.window_ns else stream


def _used_as(stream: Stream, origin: Origin) -> Stream:
    return stream.used(prices=origin.prices, read=origin.read, skips_partial=origin.skips_partial)


def _from_source(source: TapeSource) -> Stream:
    path = Path(os.path.abspath(source.path))  # noqa: PTH100  (resolve would follow links)
    request = FileRequest(path, hash_file(path), source.interval_ns, source.select)
    entry = load(request)
    _require_sound(path, source, entry.meta)
    return _of_file(_file_origin(source.symbol, str(path), entry), entry, request)


def _of_file(origin: Origin, entry: CachedColumns, request: FileRequest) -> Stream:
    stream = _stream(origin, entry)
    return replace(stream, messages=messages_of(entry, request)) if origin.kind is Kind.BOOK else stream


def _require_sound(path: Path, source: TapeSource, meta: Meta) -> None:
    """Refuses rows of another symbol than the wanted one, and bars whose times contradict each other."""
    if source.select and meta.symbol is not None and not is_same_symbol(source.select, meta.symbol):
        held = one_line(meta.symbol, SYMBOL_CHARS)
        raise Misconfigured(
            f"{path}: its column symbol says {held}, not {source.select}; write {held}=FILE, or name another"
        )
    if meta.flaw:
        raise Misconfigured(f"{path}: {meta.flaw}")


def _file_origin(symbol: str, path: str, entry: CachedColumns) -> Origin:
    meta = entry.meta
    return Origin(
        symbol=symbol,
        kind=meta.kind,
        rows=meta.rows,
        content_hash=meta.hash,
        path=path,
        interval_ns=meta.interval_ns,
        select=meta.select,
        bad_bars=count_bad_bars(entry.columns) if meta.kind is Kind.BARS else 0,
    )


def _from_recipe(recipe: SyntheticSpec, symbol: str) -> Stream:
    entry = _generated(recipe, symbol)
    meta = entry.meta
    origin = Origin(symbol, meta.kind, meta.rows, meta.hash, recipe=recipe.as_dict())
    return _stream(origin, entry)


def _generated(recipe: SyntheticSpec, symbol: str) -> CachedColumns:
    # The other symbols of a spec do not affect this one's quotes, so they are not part of the key.
    parts = {**recipe.as_dict(), "symbols": [symbol], "maker": generator_version()}
    key = cache.key_of("synthetic", parts)
    return cache.find_or_build(key, partial(_generate, recipe=recipe, symbol=symbol))


def _generate(folder: Path, *, recipe: SyntheticSpec, symbol: str) -> Meta:
    columns = quotes(recipe, symbol)
    written = write_columns(folder, [columns], recipe.rows)
    return Meta(Kind.QUOTES, written.rows, written.columns, hash_columns(columns))


def _reopen(origin: Origin, origins: Sequence[Origin], folder: Path | None) -> Stream:
    """Returns the stream of one of a run's origins."""
    packed_copy = _packed_copy(origin, folder)
    if packed_copy is None and origin.path is None:
        return _regenerate(origin)
    path = packed_copy or Path(origin.path or "")
    if not path.is_file():
        raise Misconfigured(f"{path}: the tape of the run is missing; restore the file and try again")
    found = hash_file(path)
    if found != origin.content_hash:
        of_file = [each for each in origins if each.content_hash == origin.content_hash]
        changed = first_change(of_file, path, found)
        where = f" ({changed})" if changed else ""
        raise Corrupt(f"{path}: its content differs from the recorded tape{where}; restore that version")
    request = FileRequest(path, found, origin.interval_ns, origin.select)
    entry = load(request)
    _require_recorded(origin, entry, str(path))
    return _of_file(origin, entry, request)


def _packed_copy(origin: Origin, folder: Path | None) -> Path | None:
    if folder is None:
        return None
    return next(iter(sorted(folder.glob(f"{origin.content_hash}*"))), None)


def _regenerate(origin: Origin) -> Stream:
    if origin.recipe is None:
        raise Misconfigured(f"{origin.symbol}: its rows existed in memory only; they cannot be loaded again")
    recipe = _recipe(origin)
    entry = _generated(recipe, origin.symbol)
    _require_recorded(origin, entry, f"{origin.symbol} (synthetic)")
    return _stream(origin, entry)


def _recipe(origin: Origin) -> SyntheticSpec:
    try:
        return msgspec.convert(origin.recipe, SyntheticSpec)
    except msgspec.ValidationError as error:
        raise Corrupt(f"{origin.symbol}: its recipe is damaged ({error})") from error


def _require_recorded(origin: Origin, entry: CachedColumns, subject: str) -> None:
    meta = entry.meta
    if (meta.hash, meta.rows, meta.kind) != (origin.content_hash, origin.rows, origin.kind):
        raise Corrupt(
            f"{subject}: {meta.rows} rows of {meta.kind} are not the {origin.rows} of "
            f"{origin.kind} that the run recorded; use the release that recorded it"
        )


def _stream(origin: Origin, entry: CachedColumns) -> Stream:
    absent = zeros(origin.rows)
    columns = {name: entry.columns.get(name, absent) for name in COLUMNS[origin.kind]}
    columns |= {name: entry.columns[name] for name in OPTIONAL if name in entry.columns}
    return Stream(origin.kind, origin.symbol, columns, origin)
