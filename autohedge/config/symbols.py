"""Compares the symbols that settings have rules for with those of a tape."""

from collections.abc import Collection, Iterator, Sequence

from autohedge.config.settings import Settings
from autohedge.core.errors import Misconfigured
from autohedge.core.text import bare_name, closest, one_line

SHOWN_CHARS = 200


def rules_not_applied(settings: Settings, symbols: Sequence[str]) -> str:
    """Returns a line about symbols with rules or overrides that are not on the tape; empty if there are none.

    Raises Misconfigured for one that is probably a symbol of the tape in another spelling.
    """
    absent: dict[str, None] = {}
    for table in ("instruments", "symbol_overrides"):
        for symbol in _absent(table, getattr(settings, table), symbols):
            absent[symbol] = None
    if not absent:
        return ""
    named, held = (one_line(", ".join(names), SHOWN_CHARS) for names in (absent, symbols))
    return f"rules for {named} have no effect: the tape holds {held}"


def _absent(table: str, given: Collection[str], symbols: Sequence[str]) -> Iterator[str]:
    """Yields the symbols of a table that are not on the tape; refuses those in another spelling."""
    # A symbol with rules of its own is meant as it is written, and so is the one beside it.
    without = [symbol for symbol in symbols if symbol not in given]
    for symbol in given:
        if symbol in symbols:
            continue
        if meant := _same(symbol, without):
            place = one_line(f'{table}."{symbol}"', SHOWN_CHARS)
            cure = f"Write that, or read the tape as --tape {symbol}=FILE"
            raise Misconfigured(f"{place}: the tape has no such symbol; did you mean {meant}? {cure}")
        yield symbol


def _same(symbol: str, others: Sequence[str]) -> str:
    """Returns the one of `others` that is another spelling of the symbol; empty if there is none."""
    alike = {other: other for other in others if _is_spelling(bare_name(symbol), bare_name(other))}
    return closest(symbol, alike)


def has_same_letters(one: str, other: str) -> bool:
    """Returns whether two names are the same, but for two neighbours swapped."""
    places = [place for place, letter in enumerate(one) if letter != other[place : place + 1]]
    if not places or len(one) != len(other):
        return one == other
    first, last = places[0], places[-1]
    return last - first == 1 and one[first] + one[last] == other[last] + other[first]


def _is_spelling(one: str, other: str) -> bool:
    """Returns whether two names are the same, but for two neighbours swapped or one letter more.

    A replaced letter does not count: BTC and LTC are two symbols.
    """
    if len(one) == len(other):
        return has_same_letters(one, other)
    shorter, longer = sorted((one, other), key=len)
    # Two letters are too few to tell: GM and GME are two companies.
    return len(shorter) > 2 and shorter in (longer[:at] + longer[at + 1 :] for at in range(len(longer)))
