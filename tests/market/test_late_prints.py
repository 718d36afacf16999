"""Late prints of files of trades."""

from collections.abc import Callable
from pathlib import Path

import pytest

from autohedge.market import Kind, Stream, TapeSource, open_streams
from autohedge.market.late_prints import count_late_prints

Write = Callable[..., Path]

START_NS = 1_700_000_000_000_000_000
TIMES = [START_NS + row for row in range(5)]


def late_prints(path: Path, select: str | None = None) -> int | None:
    return count_late_prints(open_streams([TapeSource(path, select)])[0])


@pytest.mark.parametrize("name", ["A_trades.parquet", "A_trades.csv"])
@pytest.mark.parametrize(
    ("exchange", "late"),
    [
        ([1, 2, 2, 3, 9], 0),
        ([1, 5, 4, 4, 5], 2),  # later than the row before, but not than all
        ([9, 1, 2, 3, 4], 4),
        ([4, None, 3, None, 5], 1),
        ([None] * 5, None),
    ],
)
def test_print_is_late_after_one_with_a_later_exchange_time(
    write: Write, name: str, exchange: list[int | None], late: int | None
) -> None:
    path = write(name, ts_ns=TIMES, price=[1.0] * 5, size=[1.0] * 5, exch_ts_ns=exchange)
    assert late_prints(path) == late


def test_prints_of_the_chosen_symbol_count(write: Write) -> None:
    symbols, exchange = ["A", "B", "A", "B", "A"], [5, 1, 6, 2, 4]
    path = write(ts_ns=TIMES, price=[1.0] * 5, size=[1.0] * 5, symbol=symbols, exch_ts_ns=exchange)
    assert (late_prints(path, "A"), late_prints(path, "B")) == (1, 0)


def test_late_prints_of_memory_and_of_a_window_are_unknown(write: Write) -> None:
    assert late_prints(write(ts_ns=TIMES, price=[1.0] * 5, size=[1.0] * 5)) is None
    stream = Stream.of("A", {"ts": [1], "price": [1.0], "size": [1.0]}, kind=Kind.TRADES)
    assert count_late_prints(stream) is None
    path = write("B.parquet", ts_ns=TIMES, price=[1.0] * 5, size=[1.0] * 5, exch_ts_ns=TIMES)
    window = open_streams([TapeSource(path)])[0].between(START_NS, START_NS + 2)
    assert count_late_prints(window) is None
