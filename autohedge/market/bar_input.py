"""The rows that bars are made of on the command line, and the bars that a strategy would read."""

from collections.abc import Sequence

from autohedge.config.sections import BarsSettings
from autohedge.core.errors import Misconfigured
from autohedge.core.text import one_line
from autohedge.market.bar_aggregator import FINEST_FIRST
from autohedge.market.bar_series import used_bars
from autohedge.market.derived import TapeDeriver
from autohedge.market.loading import open_streams
from autohedge.market.reads import Reads, arranged
from autohedge.market.sources import TapeSource, is_same_symbol
from autohedge.market.store_tape import open_store, store_among
from autohedge.market.stream import KINDS, Kind, Stream, symbols_of
from autohedge.market.tape_file import SYMBOL_CHARS


def open_bar_input(sources: Sequence[TapeSource], wanted: Kind | None) -> Stream:
    """Returns the finest rows among files of one symbol, or those of the kind that is wanted.

    Of bars of several lengths it is the shortest. Raises Misconfigured if a file cannot be read, there are several
    symbols, no rows of that kind, or two files of trades or of quotes.
    """
    streams = open_streams(sources)
    _require_one_symbol(symbols_of(streams))
    kinds = [wanted] if wanted else FINEST_FIRST
    chosen: list[Stream] = []
    for kind in kinds:
        chosen = chosen or [stream for stream in streams if stream.kind is kind]
    if not chosen:
        held = " and ".join(kind for kind in KINDS if any(stream.kind is kind for stream in streams))
        needed = wanted or "trades, quotes or bars"
        raise Misconfigured(f"from {needed}: the tape has {held} only; name a file of {needed}")
    if len(chosen) > 1 and chosen[0].kind is not Kind.BARS:
        raise Misconfigured(f"the tape has two files of {chosen[0].kind}; name one")
    return min(chosen, key=lambda stream: stream.origin.interval_ns)


def open_bars(sources: Sequence[TapeSource], bars: BarsSettings) -> tuple[Stream, list[Stream]]:
    """Returns the bars that a strategy with these settings reads, and all streams of the tape.

    Without `bars.every` they are the shortest bars of the tape. Raises Misconfigured if a file cannot be read, if
    there are several symbols, or no such bars, or if the strategy would read none of them.
    """
    reads = Reads(frozenset({Kind.BARS}), lambda _: bars, priced=False)
    if store := store_among(sources):
        streams = list(open_store(store, growing=False, reads=reads).streams)
        _require_one_symbol(symbols_of(streams))
    else:
        given = open_streams(sources)
        _require_one_symbol(symbols_of(given))
        streams = arranged(given, reads, TapeDeriver(cached=True))
    found = [stream for stream in streams if stream.kind is Kind.BARS and stream.origin.read]
    if not found:
        raise Misconfigured("the tape has no bars; add --every, such as 1m, to make some")
    shortest = min(found, key=lambda stream: stream.origin.interval_ns)
    if not used_bars(shortest, slice(None)).any():
        raise Misconfigured(
            f"{shortest.symbol}: no usable bar, because each contradicts itself or lacks its beginning; "
            "take shorter bars, or look at the file with data check"
        )
    return shortest, streams


def _require_one_symbol(symbols: Sequence[str]) -> None:
    if not symbols:
        raise Misconfigured("bars need a tape: name a file with --tape")
    others = [symbol for symbol in symbols if not is_same_symbol(symbol, symbols[0])]
    if others:
        names = " and ".join(one_line(name, SYMBOL_CHARS) for name in (symbols[0], others[0]))
        raise Misconfigured(f"the tape has {names}; bars are made of one symbol")
