"""The rows that a run takes and what a strategy must see of them, made of the streams by plain rules."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from math import inf, isfinite, nan
from typing import NamedTuple

from autohedge.config.sections import BarsSettings
from autohedge.core.units import NS_PER_S
from autohedge.faultsim.plain_book import PlainBook, messages_of
from autohedge.faultsim.tape_readers import AVERAGE_BARS
from autohedge.market.stream import Kind, Stream
from autohedge.market.tape import Tape

ORDER = (Kind.BARS, Kind.FUNDING, Kind.LIQUIDATIONS, Kind.BOOK, Kind.TRADES, Kind.QUOTES)
"""The kinds in the order in which rows of one time come."""


class ExpectedRow(NamedTuple):
    """A row of the tape: when it becomes known, its rank at this time, and what a strategy sees, None for nothing.

    `close` is that of a bar, else NaN. Quotes have no values: what exits are met at never reaches a strategy.
    """

    ts_ns: int
    rank: float
    symbol: str
    kind: Kind
    values: tuple[float, ...] | None
    close: float = nan


class _Print(NamedTuple):
    """A price that bars are made of, and when it became known."""

    ts_ns: int
    price: float
    size: float


class _Bar(NamedTuple):
    ts_ns: int
    partial: bool
    values: tuple[float, ...]


def expected_rows(tape: Tape, bars: BarsSettings) -> list[ExpectedRow]:
    """The rows of a tape in the order in which they become known."""
    given = [stream for stream in tape.streams if stream.origin.derived is None]
    made = [stream.symbol for stream in tape.streams if stream.origin.derived is not None]
    rows = [row for stream in given if stream.origin.taken for row in _rows_of(stream)]
    for symbol in made:
        rows += _bar_rows(symbol, [stream for stream in given if stream.symbol == symbol], bars)
    rows.sort(key=lambda row: (row.ts_ns, row.rank))
    return rows


def _rows_of(stream: Stream) -> Iterator[ExpectedRow]:
    rank = float(ORDER.index(stream.kind))
    columns = [column.tolist() for name, column in stream.columns.items() if name != "ts"]
    times = stream.columns["ts"].tolist()
    if stream.kind is Kind.BOOK:
        shown = _figures_of(stream)
    else:
        shown = [_values(stream.kind, values) for values in zip(*columns, strict=True)]
    for ts_ns, values in zip(times, shown, strict=True):
        yield ExpectedRow(ts_ns, rank, stream.symbol, stream.kind, values)


def _values(kind: Kind, values: tuple[float, ...]) -> tuple[float, ...] | None:
    """The values of a sound row; None for one that no strategy may see."""
    match kind:
        case Kind.TRADES:
            price, size, _ = values
            return values if 0.0 < price < inf and 0.0 < size < inf else None
        case Kind.FUNDING:
            return values if isfinite(values[0]) else None
        case Kind.LIQUIDATIONS:
            side, price, size = values
            return values if side and 0.0 < price < inf and 0.0 < size < inf else None
    return None


def _figures_of(stream: Stream) -> list[tuple[float, ...] | None]:
    """What a book shows after each of its messages."""
    assert stream.messages is not None
    messages = stream.messages.now
    book, shown = PlainBook(messages.tick, sequenced=messages.sequenced), []
    for message in messages_of(messages):
        book.apply(message)
        shown.append(book.figures())
    return list(shown)


def _bar_rows(symbol: str, streams: Sequence[Stream], wanted: BarsSettings) -> Iterator[ExpectedRow]:
    kinds = {stream.kind: stream for stream in streams}
    trades = wanted.source in {"auto", "trades"}
    source = kinds[Kind.TRADES if trades else Kind.QUOTES]
    count, _, unit = wanted.every.partition(" ")
    rank = float(ORDER.index(Kind.BARS))
    if unit:  # such a bar is known right after its last row
        rank = float(len(ORDER))
        bars = _bars_of_counts(list(_prints(source)), int(count))
    else:
        bars = _bars_of_time(list(_prints(source)), int(count.removesuffix("s")) * NS_PER_S)
    closes: list[float] = []
    for bar in bars:
        if bar.partial and wanted.skip_partial:
            yield ExpectedRow(bar.ts_ns, rank, symbol, Kind.BARS, None)
            continue
        closes.append(bar.values[3])
        values = (*bar.values, _average(closes))
        yield ExpectedRow(bar.ts_ns, rank, symbol, Kind.BARS, values, closes[-1])


def _average(closes: Sequence[float]) -> float:
    """The exponential moving average of some closes, by its definition; NaN while there are too few."""
    count = AVERAGE_BARS
    if len(closes) < count:
        return nan
    average = sum(closes[:count]) / count
    for close in closes[count:]:
        average += 2.0 / (count + 1) * (close - average)
    return average


def _prints(stream: Stream) -> Iterator[_Print]:
    """The sound prices of a stream; the price of a quote is its mid."""
    first, second = ("price", "size") if stream.kind is Kind.TRADES else ("bid", "ask")
    columns = (stream.columns[name].tolist() for name in ("ts", first, second))
    for ts_ns, left, right in zip(*columns, strict=True):
        if stream.kind is Kind.TRADES and 0.0 < left < inf and 0.0 < right < inf:
            yield _Print(ts_ns, left, right)
        elif stream.kind is Kind.QUOTES and 0.0 < left <= right < inf:
            yield _Print(ts_ns, (left + right) / 2.0, 0.0)


def _bars_of_time(prints: Sequence[_Print], length_ns: int) -> Iterator[_Bar]:
    """The bars of a length; the last one is never finished."""
    groups: defaultdict[int, list[_Print]] = defaultdict(list)
    for each in prints:
        groups[each.ts_ns // length_ns].append(each)
    for at, (number, group) in enumerate(list(groups.items())[:-1]):
        partial = at == 0 and group[0].ts_ns > number * length_ns
        yield _bar((number + 1) * length_ns, group, partial=partial)


def _bars_of_counts(prints: Sequence[_Print], count: int) -> Iterator[_Bar]:
    for first in range(0, len(prints) - count + 1, count):
        group = prints[first : first + count]
        yield _bar(group[-1].ts_ns, group, partial=False)


def _bar(ts_ns: int, group: Sequence[_Print], *, partial: bool) -> _Bar:
    prices = [each.price for each in group]
    volume = 0.0
    for each in group:  # in their order: sum() may round otherwise
        volume += each.size
    return _Bar(ts_ns, partial, (prices[0], max(prices), min(prices), prices[-1], volume))
