"""The rows that commands make bars of: trades before quotes before bars, or what is asked for; and these bars."""

from collections.abc import Sequence

from autohedge.config.sections import BarsSettings
from autohedge.core.errors import Misconfigured
from autohedge.core.text import one_line
from autohedge.market.bar_aggregator import FINEST_FIRST
from autohedge.market.derived import TapeDeriver, spec_of
from autohedge.market.loading import open_streams
from autohedge.market.sources import TapeSource, is_same_symbol
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


def open_bars(sources: Sequence[TapeSource], bars: BarsSettings) -> Stream:
    """Returns the bars that a strategy reads of files of one symbol.

    With `bars.every` they are those of the tape if it has them, else they are made of its finest rows; without it, the
    shortest bars of the tape. Raises Misconfigured as `open_bar_input` does, and if there are no such bars.
    """
    streams = open_streams(sources)
    _require_one_symbol(symbols_of(streams))
    recorded = [stream for stream in streams if stream.kind is Kind.BARS]
    if bars.every:
        length_ns = spec_of(bars.model_dump()).length_ns
        same = [each for each in recorded if each.origin.interval_ns == length_ns and not bars.session]
        chosen = same[0] if same else TapeDeriver(cached=False).bars(open_bar_input(sources, None), bars)
    elif recorded:
        chosen = min(recorded, key=lambda stream: stream.origin.interval_ns)
    else:
        raise Misconfigured(
            f"the tape of {streams[0].symbol} has no bars; add --every, such as 1m, to make some"
        )
    return chosen.used(prices=False, read=True, skips_partial=True)


def _require_one_symbol(symbols: Sequence[str]) -> None:
    if not symbols:
        raise Misconfigured("bars need a tape: name a file with --tape")
    others = [symbol for symbol in symbols if not is_same_symbol(symbol, symbols[0])]
    if others:
        names = " and ".join(one_line(name, SYMBOL_CHARS) for name in (symbols[0], others[0]))
        raise Misconfigured(f"the tape has {names}; bars are made of one symbol")
