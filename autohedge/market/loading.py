"""Opens tapes: from files, from a synthetic spec, or again from the origins of a recorded run."""

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import msgspec

from autohedge.core.errors import Corrupt, Misconfigured
from autohedge.core.text import one_line
from autohedge.market import cache
from autohedge.market.bars import count_bad_bars
from autohedge.market.cache import CachedColumns, Meta
from autohedge.market.column_file import write_columns
from autohedge.market.columns import hash_columns, zeros
from autohedge.market.importer import SYMBOL_CHARS, FileRequest, hash_file, load
from autohedge.market.merge import cached_tape_of
from autohedge.market.sources import TapeSource, is_same_symbol
from autohedge.market.store_tape import open_store, reopen_store, store_among
from autohedge.market.synthetic import SyntheticSpec, generator_version, quotes
from autohedge.market.tape import (
    COLUMNS,
    Kind,
    Origin,
    Stream,
    Tape,
    require_distinct,
    require_loadable,
)


def open_tape(sources: Sequence[TapeSource], *, growing: bool = False) -> Tape:
    """Returns the files as one tape, lanes in the given order; imports files that are not cached.

    A single source may be the folder of a live store; one that is still open only with `growing`.

    Raises Misconfigured if a file is missing or is not a valid tape, or if a symbol occurs twice.
    """
    if store := store_among(sources):
        return open_store(store, growing=growing)
    require_distinct([source.symbol for source in sources])
    return cached_tape_of([_from_source(source) for source in sources])


def synthesize(recipe: SyntheticSpec) -> Tape:
    """Returns the synthetic market of a spec as a tape; generates streams that are not cached."""
    require_distinct(recipe.symbols)
    return cached_tape_of([_from_recipe(recipe, symbol) for symbol in recipe.symbols])


def reopen(origins: Sequence[Origin], folder: Path | None = None) -> Tape:
    """Returns the tape of a recorded run; the content of every stream is checked against its origin.

    A file in `folder` that is named by the content hash, with any suffix, has priority over the origin's
    path. Raises Misconfigured if a source is missing, Corrupt if its content has changed.
    """
    require_distinct([origin.symbol for origin in origins])
    if origins[0].store:
        whole = reopen_store([origin.whole() for origin in origins], folder)
        window_ns = origins[0].window_ns
        return whole.between(*window_ns) if window_ns else whole
    return cached_tape_of([_reopen_window(origin, folder) for origin in origins])


def _reopen_window(origin: Origin, folder: Path | None) -> Stream:
    stream = _reopen(origin.whole(), folder)
    return stream.between(*origin.window_ns) if origin.window_ns else stream


def _from_source(source: TapeSource) -> Stream:
    path = Path(os.path.abspath(source.path))  # noqa: PTH100  (resolve would follow links)
    request = FileRequest(path, hash_file(path), source.interval_ns, source.select)
    entry = load(request)
    _require_sound(path, source, entry.meta)
    return _stream(_file_origin(source.symbol, str(path), entry), entry)


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


def _reopen(origin: Origin, folder: Path | None) -> Stream:
    require_loadable(origin.kind, origin.symbol)
    packed_copy = _packed_copy(origin, folder)
    if packed_copy is None and origin.path is None:
        return _regenerate(origin)
    path = packed_copy or Path(origin.path or "")
    if not path.is_file():
        raise Misconfigured(f"{path}: the tape of the run is missing; restore the file and try again")
    found = hash_file(path)
    if found != origin.content_hash:
        raise Corrupt(f"{path}: its content differs from the recorded tape; restore that version")
    entry = load(FileRequest(path, found, origin.interval_ns, origin.select))
    return _verified(origin, entry, str(path))


def _packed_copy(origin: Origin, folder: Path | None) -> Path | None:
    if folder is None:
        return None
    return next(iter(sorted(folder.glob(f"{origin.content_hash}.*"))), None)


def _regenerate(origin: Origin) -> Stream:
    if origin.recipe is None:
        raise Misconfigured(f"{origin.symbol}: its rows existed in memory only; they cannot be loaded again")
    recipe = _recipe(origin)
    entry = _generated(recipe, origin.symbol)
    return _verified(origin, entry, f"{origin.symbol} (synthetic)")


def _recipe(origin: Origin) -> SyntheticSpec:
    try:
        return msgspec.convert(origin.recipe, SyntheticSpec)
    except msgspec.ValidationError as error:
        raise Corrupt(f"{origin.symbol}: its recipe is damaged ({error})") from error


def _verified(origin: Origin, entry: CachedColumns, subject: str) -> Stream:
    meta = entry.meta
    if (meta.hash, meta.rows, meta.kind) != (origin.content_hash, origin.rows, origin.kind):
        raise Corrupt(
            f"{subject}: {meta.rows} rows of {meta.kind} are not the {origin.rows} of "
            f"{origin.kind} that the run recorded; use the release that recorded it"
        )
    return _stream(origin, entry)


def _stream(origin: Origin, entry: CachedColumns) -> Stream:
    absent = zeros(origin.rows)
    columns = {name: entry.columns.get(name, absent) for name in COLUMNS[origin.kind]}
    return Stream(origin.kind, origin.symbol, columns, origin)
