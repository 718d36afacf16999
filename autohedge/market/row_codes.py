"""Counts the rows of a stream by the codes of its kind: rows that are not used, and some that deserve a look."""

from collections import Counter
from collections.abc import Callable

import numpy as np

from autohedge.market.bars import Mask, bar_faults, first_faults
from autohedge.market.book_messages import BookMessages
from autohedge.market.books import BAD_ROWS, OrderBook
from autohedge.market.columns import Column, Columns, row_blocks
from autohedge.market.late_prints import count_late_prints
from autohedge.market.stream import Kind, Stream


def count_codes(stream: Stream) -> dict[str, int]:
    """Returns how many rows have each code of the stream's kind, 0 if none; docs/tapes.md says what they mean.

    A row counts once, under the first code that fits. `late_print` is apart: it counts trades that are used, and is
    absent if the file has no exchange times. Memory does not grow with the stream.
    """
    if stream.messages is not None:
        return _book_codes(stream.messages.now)
    counts: Counter[str] = Counter()
    for rows in row_blocks(len(stream)):
        faults = _FAULTS[stream.kind]({name: column[rows] for name, column in stream.columns.items()})
        counts.update({code: int(np.count_nonzero(mask)) for code, mask in faults.items()})
    late = count_late_prints(stream) if stream.kind is Kind.TRADES else None
    return dict(counts) | ({} if late is None else {"late_print": late})


def _quote_faults(columns: Columns) -> dict[str, Mask]:
    bid, ask = columns["bid"], columns["ask"]
    return _named(bid, ask, crossed=bid > ask)


def _bar_faults(columns: Columns) -> dict[str, Mask]:
    return bar_faults(columns)._asdict()


def _trade_faults(columns: Columns) -> dict[str, Mask]:
    return _named(columns["price"], columns["size"])


def _funding_faults(columns: Columns) -> dict[str, Mask]:
    return {"missing": ~np.isfinite(columns["rate"])}


def _liquidation_faults(columns: Columns) -> dict[str, Mask]:
    return _named(columns["price"], columns["size"], no_side=columns["side"] == 0)


def _named(*values: Column, **other: Mask) -> dict[str, Mask]:
    """Returns the rows in which a value is missing, or not positive, or that have one other fault."""
    none = np.zeros(len(values[0]), np.bool_)
    code, mask = next(iter(other.items()), ("", none))
    found = first_faults(*values, crossed=mask, outside=none)
    faults = {"missing": found.missing, "non_positive": found.non_positive}
    return faults | ({code: found.crossed} if code else {})


_FAULTS: dict[Kind, Callable[[Columns], dict[str, Mask]]] = {
    Kind.QUOTES: _quote_faults,
    Kind.BARS: _bar_faults,
    Kind.TRADES: _trade_faults,
    Kind.FUNDING: _funding_faults,
    Kind.LIQUIDATIONS: _liquidation_faults,
}


def _book_codes(messages: BookMessages) -> dict[str, int]:
    book = OrderBook(messages.tick, sequenced=messages.sequenced)
    book.run(messages, len(messages))
    found = {code: book.count(code) for code in BAD_ROWS}
    states = {"book_gap": book.count("gaps"), "crossed_book": book.count("crossed")}
    return found | states | {"dropped": book.count("dropped")}
