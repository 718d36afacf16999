"""The rows of a tape that bars are made of: trades before quotes before bars, or what is asked for."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autohedge.core.errors import Misconfigured
from autohedge.core.text import one_line
from autohedge.market.bar_aggregator import AggregatedBars, BarSource, make_bars
from autohedge.market.bar_spec import BarSpec, BarUnit
from autohedge.market.columns import Column
from autohedge.market.loading import open_tape
from autohedge.market.schema import is_trades
from autohedge.market.sources import TapeSource, is_same_symbol
from autohedge.market.stream import Kind, Stream
from autohedge.market.tape_file import SYMBOL_CHARS
from autohedge.market.trade_file import column_names, read_bar_details, read_trades

FINEST_FIRST = (Kind.TRADES, Kind.QUOTES, Kind.BARS)


@dataclass(frozen=True, slots=True, eq=False)
class BarInput:
    """The columns of one stream, as `BarAggregator.add` takes them, and what they are."""

    source: BarSource
    columns: Mapping[str, Column]
    subject: str

    def make(self, spec: BarSpec) -> AggregatedBars:
        """Makes bars of all rows. Raises Misconfigured if they cannot be made of these."""
        spec.require_made_of(self.source.kind, self.source.interval_ns)
        sizes = {Kind.TRADES: "size", Kind.BARS: "volume"}.get(self.source.kind)
        needs_sizes = spec.unit in (BarUnit.VOLUME, BarUnit.DOLLARS)
        if needs_sizes and sizes and not np.any(self.columns[sizes] > 0):
            raise Misconfigured(f"{spec.every} cannot be made of {self.subject}: its rows have no sizes")
        return make_bars(spec, self.source, self.columns)


def open_bar_input(sources: Sequence[TapeSource], wanted: Kind | None) -> BarInput:
    """Returns the finest rows among files of one symbol, or those of the kind that is wanted.

    Of bars of several lengths it is the shortest. Raises Misconfigured if a file cannot be read, there are several
    symbols, no rows of that kind, or two files of trades or of quotes.
    """
    _require_one_symbol(sources)
    found = [_Found.at(source) for source in sources]
    kinds = {each.kind for each in found}
    kind = wanted or next(each for each in FINEST_FIRST if each in kinds)
    chosen = [each for each in found if each.kind is kind]
    if not chosen:
        held = " and ".join(each for each in FINEST_FIRST if each in kinds)
        raise Misconfigured(f"from {kind}: the tape has {held} only; name a file of {kind}")
    if len(chosen) > 1 and kind is not Kind.BARS:
        raise Misconfigured(f"the tape has two files of {kind}; name one")
    return min((each.tape() for each in chosen), key=lambda tape: tape.source.interval_ns)


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """A file of the tape: trades, which are read when they are wanted, or a stream that was opened."""

    origin: TapeSource
    kind: Kind
    stream: Stream | None = None

    @classmethod
    def at(cls, origin: TapeSource) -> "_Found":
        path = Path(os.path.abspath(origin.path))  # noqa: PTH100  (resolve would follow links)
        if path.is_file() and is_trades(column_names(path)):
            return cls(origin, Kind.TRADES)
        streams = open_tape([origin]).streams
        if len(streams) > 1:
            raise Misconfigured(f"{origin.path}: holds several symbols; bars are made of one")
        return cls(origin, streams[0].kind, streams[0])

    def tape(self) -> BarInput:
        path, subject = self.origin.path, str(self.origin.path)
        if self.stream is None:
            trades = read_trades(path, self.origin.select)
            side = trades.get("side")
            has_sides = side is not None and bool(side.any())
            return BarInput(BarSource(Kind.TRADES, has_sides=has_sides), trades, subject)
        columns: dict[str, Column] = dict(self.stream.columns)
        if self.kind is Kind.BARS:
            columns |= read_bar_details(path, self.stream.origin.select)
        return BarInput(BarSource(self.kind, self.stream.origin.interval_ns), columns, subject)


def _require_one_symbol(sources: Sequence[TapeSource]) -> None:
    if not sources:
        raise Misconfigured("bars need a tape: name a file with --tape")
    first = sources[0].symbol
    others = [each.symbol for each in sources if not is_same_symbol(each.symbol, first)]
    if others:
        names = " and ".join(one_line(name, SYMBOL_CHARS) for name in (first, others[0]))
        raise Misconfigured(f"the tape has {names}; bars are made of one symbol")
