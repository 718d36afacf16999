"""Which streams of a market a run takes: those with the prices, and those that the strategy reads."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from autohedge.config.sections import BarsSettings
from autohedge.core.errors import Misconfigured
from autohedge.market.bar_aggregator import FINEST_FIRST
from autohedge.market.derived import TapeDeriver, spec_of
from autohedge.market.merge import merged
from autohedge.market.stream import Kind, Stream, symbols_of
from autohedge.market.tape import Tape, require_distinct


@dataclass(frozen=True, slots=True)
class Reads:
    """What a strategy reads. Rows of other kinds never reach it, apart from prices, which fill orders.

    No kinds mean the prices, whatever they are. `bars` returns the settings of a symbol's bars. Bars of `every`
    that are not on the tape are made; without `every`, the strategy reads all bars of the tape. With `makes_bars`
    off, it reads bars of `every` if they are on the tape, else bars that set the prices. With `priced` off, an
    instrument may have trades alone, whose bars nobody can trade.
    """

    kinds: frozenset[Kind] = frozenset()
    bars: Callable[[str], BarsSettings] = lambda _: BarsSettings()
    makes_bars: bool = True
    priced: bool = True


PRICES = Reads()


class StreamDeriver(Protocol):
    """Makes streams of others, as a tape needs them."""

    def best_quotes(self, book: Stream) -> Stream:
        """Returns the quotes of a book's best prices, one after each message; NaN while it has none."""
        ...

    def bars(self, source: Stream, bars: BarsSettings) -> Stream:
        """Returns the finished bars of `bars.every` that are made of a stream."""
        ...


def tape_of(streams: Sequence[Stream], reads: Reads = PRICES) -> Tape:
    """Returns a tape of streams in memory, merged in memory.

    Raises Misconfigured if there is no stream, if one occurs twice, or if an instrument has no prices.
    """
    return merged(_arranged(streams, reads, cached=False), cached=False)


def cached_tape_of(streams: Sequence[Stream], reads: Reads = PRICES) -> Tape:
    """Returns a tape of cached streams; the merged rows are cached too."""
    return merged(_arranged(streams, reads, cached=True), cached=True)


def read_by(tape: Tape, reads: Reads) -> Tape:
    """Returns the tape with the rows that another strategy takes.

    Raises Misconfigured as `tape_of` does.
    """
    if tape.store is not None:
        return tape.store.read_by(tape, reads)
    cached = all(stream.origin.path or stream.origin.recipe for stream in tape.streams)
    streams = _arranged(tape.streams, reads, cached=cached)
    if [stream.origin for stream in streams] == [stream.origin for stream in tape.streams]:
        return tape
    return merged(streams, cached=cached)


def _arranged(streams: Sequence[Stream], reads: Reads, *, cached: bool) -> list[Stream]:
    known = [stream for stream in streams if stream.origin.derived is not None]
    return arranged(streams, reads, TapeDeriver(cached, known))


def arranged(streams: Sequence[Stream], reads: Reads, deriver: StreamDeriver) -> list[Stream]:
    """Returns the streams with their use, and those that are derived from them.

    Raises Misconfigured as `tape_of` does.
    """
    given = [stream for stream in streams if stream.origin.derived is None]
    require_distinct([stream.key for stream in given])
    found: dict[tuple[str, Kind, int], Stream] = {}
    derived: list[Stream] = []
    for symbol in symbols_of(given):
        for stream in _uses([each for each in given if each.symbol == symbol], reads, deriver):
            if stream.origin.derived is None:
                found[stream.key] = stream
            else:
                derived.append(stream)
    return [found[stream.key] for stream in given] + derived


def _uses(own: Sequence[Stream], reads: Reads, deriver: StreamDeriver) -> Iterator[Stream]:
    """Yields the streams of one instrument with their use, and the derived ones."""
    is_unpriced = not reads.priced and all(stream.kind is Kind.TRADES for stream in own)
    prices = own[0] if is_unpriced else _price_stream(own, deriver)
    bars = _read_bars(own, prices, reads, deriver) if Kind.BARS in reads.kinds else []
    skips = reads.bars(prices.symbol).skip_partial
    chosen = [id(stream) for stream in bars]
    for stream in {id(each): each for each in (*own, prices, *bars)}.values():
        read = id(stream) in chosen if stream.kind is Kind.BARS else stream.kind in reads.kinds
        is_price = stream is prices
        yield stream.used(prices=is_price, read=read if reads.kinds else is_price, skips_partial=skips)


def _price_stream(own: Sequence[Stream], deriver: StreamDeriver) -> Stream:
    """Returns the stream that sets the prices of an instrument: quotes, else a book, else the shortest bars.

    Raises Misconfigured if there is none.
    """
    by_kind = {stream.kind: stream for stream in own}
    if Kind.QUOTES in by_kind:
        return by_kind[Kind.QUOTES]
    if Kind.BOOK in by_kind:
        return deriver.best_quotes(by_kind[Kind.BOOK])
    bars = [stream for stream in own if stream.kind is Kind.BARS]
    if not bars:
        raise Misconfigured(f"no prices for {own[0].symbol}: add quotes, l2 or bars of it to the tape")
    return min(bars, key=lambda stream: stream.origin.interval_ns)


def _read_bars(own: Sequence[Stream], prices: Stream, reads: Reads, deriver: StreamDeriver) -> list[Stream]:
    """Returns the bars of an instrument that the strategy reads."""
    wanted = reads.bars(prices.symbol)
    recorded = [stream for stream in own if stream.kind is Kind.BARS]
    if not wanted.every:
        return recorded if reads.makes_bars else _only_bars(prices)
    spec = spec_of(wanted.model_dump())
    same = [each for each in recorded if each.origin.interval_ns == spec.length_ns > 0]
    if same and wanted.source in ("auto", "bars") and not wanted.session:
        return same
    if reads.makes_bars:
        return [deriver.bars(_source(own, prices, wanted), wanted)]
    return _only_bars(prices)


def _only_bars(prices: Stream) -> list[Stream]:
    return [prices] if prices.kind is Kind.BARS else []


def _source(own: Sequence[Stream], prices: Stream, wanted: BarsSettings) -> Stream:
    """Returns the stream that bars are made of; raises Misconfigured if the tape has none of that kind."""
    kinds = FINEST_FIRST if wanted.source == "auto" else (Kind(wanted.source),)
    streams = own if prices in own else (*own, prices)
    for kind in kinds:
        found = [stream for stream in streams if stream.kind is kind]
        if found:
            return min(found, key=lambda stream: stream.origin.interval_ns)
    raise Misconfigured(
        f"bars.source {wanted.source}: the tape of {prices.symbol} has no {wanted.source}; add them, or use auto"
    )
