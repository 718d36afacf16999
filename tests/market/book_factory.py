"""Messages of books: small ones from tuples, and the recorded ones."""

from pathlib import Path
from typing import Any

import numpy as np

from autohedge.market import BookMessages, TapeSource, read_messages
from autohedge.market.books import BookMessage, OrderBook

Level = tuple[str, float, float]
BINANCE = {
    "binance/usdm/BTCUSDT_20240808": 629,
    "binance/spot/BTCUSDT_20240808": 564,
    "binance/spot/ETHUSDT_20240808": 577,
    "binance/coinm/BTCUSD_PERP_20240808": 1124,
}
"""The recorded Binance books, and the update ids at which the venue's own quote is known."""


def recorded(shared: Path, name: str) -> BookMessages:
    return read_messages(TapeSource(shared / "data" / f"{name}_l2.parquet"))


def message(levels: list[Level], **numbers: int) -> BookMessage:
    """Returns a live message of (side, price, size) rows."""
    side = np.array([{"bid": 1, "ask": -1}.get(side, 0) for side, _, _ in levels], np.int8)
    price, size = (np.array([row[at] for row in levels], float) for at in (1, 2))
    return BookMessage(side, price, size, **numbers)


def batch(messages: list[BookMessage], tick: float = 1.0, *, sequenced: bool = False) -> BookMessages:
    """Returns live messages as those of a file."""
    values: dict[str, Any] = {
        name: np.concatenate([getattr(each, name) for each in messages]) for name in ("side", "price", "size")
    }
    for name in ("first_seq", "last_seq", "prev_seq"):
        values[name] = np.array([getattr(each, name) for each in messages], np.int64)
    snapshots = np.array([each.is_snapshot for each in messages], np.int8)
    start = np.cumsum([0, *(len(each.price) for each in messages)])
    ts = np.arange(len(messages), dtype=np.int64) + 1
    return BookMessages("made", tick, sequenced, start=start, ts=ts, is_snapshot=snapshots, **values)


def split(messages: BookMessages) -> list[BookMessage]:
    """Returns the messages of a file as live ones."""
    bounds = messages.start.tolist()
    numbers = zip(
        messages.is_snapshot.tolist(),
        messages.first_seq.tolist(),
        messages.last_seq.tolist(),
        messages.prev_seq.tolist(),
        strict=True,
    )
    return [
        BookMessage(messages.side[a:b], messages.price[a:b], messages.size[a:b], *each)
        for a, b, each in zip(bounds[:-1], bounds[1:], numbers, strict=True)
    ]


def built(messages: BookMessages) -> OrderBook:
    book = OrderBook(messages.tick, sequenced=messages.sequenced)
    book.run(messages, len(messages))
    return book
