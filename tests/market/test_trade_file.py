"""Files of trades: what is read of them, and why one is refused."""

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from autohedge.core.errors import Misconfigured
from autohedge.market.trade_file import read_bar_details, read_trades

Write = Callable[..., Path]

START_NS = 1_700_000_000_000_000_000
TIMES = [START_NS, START_NS + 1, START_NS + 1]


@pytest.mark.parametrize("name", ["A_trades.parquet", "A_trades.csv"])
def test_trades_are_read_with_sides_and_missing_values(write: Write, name: str) -> None:
    path = write(
        name, ts_ns=TIMES, price=[1.0, None, 3.0], size=[1, 2, None], aggressor_side=["buy", "Sell", None]
    )
    found = read_trades(path, None)
    assert found["ts"].tolist() == TIMES and found["side"].tolist() == [1, -1, 0]
    assert (
        str(found["price"].tolist()) == "[1.0, nan, 3.0]" and str(found["size"].tolist()) == "[1.0, 2.0, nan]"
    )


def test_trades_without_a_column_of_sides_have_none(write: Write) -> None:
    assert "side" not in read_trades(write(ts_ns=TIMES, price=[1.0] * 3, size=[1] * 3), None)
    empty = write(ts_ns=TIMES, price=[1.0] * 3, size=[1] * 3, aggressor_side=[None] * 3)
    assert read_trades(empty, None)["side"].tolist() == [0, 0, 0]


def test_trades_of_one_of_several_symbols_are_read(write: Write) -> None:
    path = write(ts_ns=TIMES, price=[1.0, 2.0, 3.0], size=[1] * 3, symbol=["A", "B", "A"])
    assert read_trades(path, "A")["price"].tolist() == [1.0, 3.0]
    with pytest.raises(Misconfigured, match="holds 2 symbols"):
        read_trades(path, None)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"aggressor_side": ["buy", "b", "sell"]}, "aggressor_side is b at row 1"),
        ({"ts_ns": [START_NS, START_NS - 1, START_NS]}, "time decreases at row 1"),
        ({"ts_ns": [1, 2, 3]}, "is not a time between"),
        ({"price": ["a", "b", "c"]}, "column price is String"),
        ({"ts_ns": [], "price": [], "size": []}, "has no rows"),
        ({"side": ["bid"] * 3}, "has no trades"),
    ],
)
def test_file_that_is_no_file_of_trades_is_refused(
    write: Write, columns: dict[str, list[object]], message: str
) -> None:
    path = write(**({"ts_ns": TIMES, "price": [1.0] * 3, "size": [1.0] * 3} | columns))
    if not columns.get("ts_ns", TIMES):
        pl.DataFrame(schema={"ts_ns": pl.Int64, "price": pl.Float64, "size": pl.Float64}).write_parquet(path)
    with pytest.raises(Misconfigured, match=message):
        read_trades(path, None)


@pytest.mark.parametrize("partial", [[True, False, None], ["True", "false", ""], [1, 0, 0]])
def test_details_of_bars_are_which_are_partial_and_when_they_start(
    write: Write, partial: list[object]
) -> None:
    path = write(ts_ns=TIMES, end_ns=[time + 9 for time in TIMES], partial=partial)
    found = read_bar_details(path, None)
    assert found["partial"].tolist() == [True, False, False] and found["start"].tolist() == TIMES
    assert read_bar_details(write(ts_ns=TIMES), None) == {}
