"""Streams that are made of another one: quotes of a book's best prices, and bars."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from autohedge.config.sections import BarsSettings
from autohedge.core.errors import Corrupt, Misconfigured
from autohedge.kernels.bars import UNKNOWN
from autohedge.kernels.code_files import source_hash
from autohedge.market import cache
from autohedge.market.bar_aggregator import bars_of
from autohedge.market.bar_ends import KNOWN_AT
from autohedge.market.bar_spec import BarSpec
from autohedge.market.bars import count_bad_bars
from autohedge.market.books import OrderBook
from autohedge.market.cache import Meta
from autohedge.market.column_file import write_columns
from autohedge.market.columns import Columns, dtype_of, frozen, hash_columns
from autohedge.market.stream import COLUMNS, PARTIAL, SIDE_VOLUMES, START, Kind, Origin, Stream

BAR_VALUES = (*COLUMNS[Kind.BARS][1:], PARTIAL)
BAR_SUMS = ("notional", "vwap", *SIDE_VOLUMES)
"""The columns of made bars, apart from their time and their count."""


@dataclass(frozen=True, slots=True)
class TapeDeriver:
    """Makes streams of others, in memory or in the cache; those that are `known` are not made again."""

    cached: bool
    known: Sequence[Stream] = ()

    def best_quotes(self, book: Stream) -> Stream:
        """Returns the quotes of a book's best prices, one after each message; NaN while it has none."""
        return self._find_or_make(book, Kind.QUOTES, 0, {"from": book.kind.value})

    def bars(self, source: Stream, bars: BarsSettings) -> Stream:
        """Returns the finished bars of `bars.every` that are made of a stream.

        Raises Misconfigured if such bars cannot be made of it, or if none of them is finished.
        """
        made = {"every": bars.every, "session": bars.session, "fill": bars.fill}
        recipe = {"from": source.kind.value, "interval_ns": source.origin.interval_ns, **made}
        return self._find_or_make(source, Kind.BARS, spec_of(made).length_ns, recipe)

    def _find_or_make(self, source: Stream, kind: Kind, interval_ns: int, recipe: dict[str, Any]) -> Stream:
        for known in self.known:
            if known.symbol == source.symbol and known.origin.derived == recipe:
                return known
        return _derived(source, kind, interval_ns, recipe, cached=self.cached)


def spec_of(recipe: dict[str, Any]) -> BarSpec:
    """Returns the bars that a recipe or the section `bars` describes; raises Misconfigured for what is not understood."""
    try:
        return BarSpec.of(recipe["every"], recipe["session"] or None, recipe["fill"])
    except Misconfigured as error:
        raise Misconfigured(f"[bars] {error}") from None


def require_bars(bars: BarsSettings) -> None:
    """Raises Misconfigured for settings of bars that are not understood, or that need a length."""
    spec_of(bars.model_dump() | {"every": bars.every or "1m"})
    if not bars.every and (bars.session or bars.fill != "none" or bars.source != "auto"):
        raise Misconfigured(
            "[bars] says how bars are made, but not of which length; set bars.every, such as 1m"
        )


def rederive(origin: Origin, streams: Sequence[Stream], *, cached: bool = True) -> Stream:
    """Makes the stream of a recorded origin again; `streams` are those of the tape with files.

    Raises Corrupt if its rows are not the recorded ones.
    """
    recipe = origin.derived or {}
    wanted = origin.symbol, recipe.get("from"), recipe.get("interval_ns", 0)
    source = next((stream for stream in streams if stream.key == wanted), None)
    if source is None:
        raise Corrupt(f"{origin.symbol}: the record lacks what its {origin.kind} were made of")
    found = _derived(source, origin.kind, origin.interval_ns, recipe, cached=cached)
    if (found.origin.content_hash, found.origin.rows) != (origin.content_hash, origin.rows):
        raise Corrupt(
            f"{origin.symbol}: its {origin.kind} are not those that the run recorded; "
            "use the release that recorded it"
        )
    return found


def _derived(source: Stream, kind: Kind, interval_ns: int, recipe: dict[str, Any], *, cached: bool) -> Stream:
    make = partial(_columns_of, source, recipe)
    columns, found = _cached(source, recipe, kind, make) if cached else _made(make)
    bad = count_bad_bars(columns) if kind is Kind.BARS else 0
    rows = len(columns["ts"])
    origin = Origin(source.symbol, kind, rows, found, interval_ns=interval_ns, bad_bars=bad, derived=recipe)
    return Stream(kind, source.symbol, columns, origin)


def _made(make: Callable[[], Columns]) -> tuple[Columns, str]:
    columns = make()
    return columns, hash_columns(columns)


def _cached(
    source: Stream, recipe: dict[str, Any], kind: Kind, make: Callable[[], Columns]
) -> tuple[Columns, str]:
    origin = source.origin
    key = cache.key_of("derived", source_hash(), origin.rows_id, origin.select, origin.interval_ns, recipe)
    entry = cache.find_or_build(key, partial(_fill, make=make, kind=kind))
    return entry.columns, entry.meta.hash


def _fill(folder: Path, *, make: Callable[[], Columns], kind: Kind) -> Meta:
    columns, found = _made(make)
    written = write_columns(folder, [dict(columns)], len(columns["ts"]))
    return Meta(kind, written.rows, written.columns, found)


def _columns_of(source: Stream, recipe: dict[str, Any]) -> Columns:
    if source.kind is Kind.BOOK:
        return _touch_columns(source)
    return _bar_columns(source, recipe)


def _touch_columns(book: Stream) -> Columns:
    assert book.messages is not None
    messages = book.messages.now
    found = OrderBook(messages.tick, sequenced=messages.sequenced).touches(messages)
    names = COLUMNS[Kind.QUOTES][1:]
    values = {name: found[book.first_message :, at] for at, name in enumerate(names)}
    return {"ts": book.columns["ts"], **{name: frozen(each, np.float64) for name, each in values.items()}}


def _bar_columns(source: Stream, recipe: dict[str, Any]) -> Columns:
    spec = spec_of(recipe)
    made = bars_of(source, spec)
    bars = made.finished
    if not len(bars):
        skipped = ", ".join(f"{count:,} {code}" for code, count in made.skipped.items() if count)
        other = f", or other rows: of its {source.kind}, in no bar are {skipped}" if skipped else ""
        raise Misconfigured(
            f"{source.symbol}: no bar of {spec.every} is finished on this tape; take shorter bars{other}"
        )
    # A source bar may end later than the bar that it is in, which is known only then.
    known = np.maximum.accumulate(np.maximum(bars[KNOWN_AT], bars["end_ns"]))
    return {
        "ts": frozen(known, np.int64),
        START: frozen(bars["start_ns"], np.int64),
        **{name: frozen(bars[name], dtype_of(name)) for name in BAR_VALUES},
        **{name: frozen(bars[name], np.float64) for name in BAR_SUMS},
        "count": frozen(np.where(bars["count"] == UNKNOWN, np.nan, bars["count"]), np.float64),
    }
