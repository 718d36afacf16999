"""The table of quotes that prompts show, oldest first.

A transcript records the table as a number of quotes of its snapshot. So its form is part of the record: a
prompt that shall show quotes otherwise needs a function of its own.
"""

from functools import lru_cache

from autohedge.core.snapshots import QuoteRow
from autohedge.core.units import MS_PER_DAY, NS_PER_MS

HEADER = "Time | Bid | BidSz | Ask | AskSz"
UNKNOWN = "n/a"


@lru_cache(maxsize=8)  # the agents of one deliberation and its transcript need the same table
def quote_table(quotes: tuple[QuoteRow, ...]) -> str:
    """Returns the quotes below a header: times in UTC, 8 decimals, `n/a` for an unknown size."""
    return "\n".join([HEADER, *map(_row, quotes)])


def _row(quote: QuoteRow) -> str:
    sides = (_price(quote.bid), _size(quote.bid_size), _price(quote.ask), _size(quote.ask_size))
    return " | ".join([_time_of_day(quote.ts_ns), *sides])


def _time_of_day(ts_ns: int) -> str:
    """Formats a timestamp as UTC `HH:MM:SS.mmm`, truncated to the millisecond."""
    seconds, ms = divmod(ts_ns // NS_PER_MS % MS_PER_DAY, 1000)
    minutes, second = divmod(seconds, 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{second:02d}.{ms:03d}"


def _price(value: float) -> str:
    return f"{value:.8f}"


def _size(value: float) -> str:
    return f"{value:.8f}" if value > 0 else UNKNOWN
