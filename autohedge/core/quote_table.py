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
    """Returns the quotes below a header: times in UTC down to the ms, 8 decimals, `n/a` for an unknown size."""
    return "\n".join([HEADER, *map(_row, quotes)])


def _row(quote: QuoteRow) -> str:
    minutes, ms = divmod(quote.ts_ns // NS_PER_MS % MS_PER_DAY, 60_000)
    bid_size = f"{quote.bid_size:.8f}" if quote.bid_size > 0 else UNKNOWN
    ask_size = f"{quote.ask_size:.8f}" if quote.ask_size > 0 else UNKNOWN
    at = f"{minutes // 60:02d}:{minutes % 60:02d}:{ms // 1000:02d}.{ms % 1000:03d}"
    return f"{at} | {quote.bid:.8f} | {bid_size} | {quote.ask:.8f} | {ask_size}"
