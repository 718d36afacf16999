"""The first row in which a changed file differs from the recorded one."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autohedge.core.errors import Corrupt
from autohedge.market import TapeSource, open_streams, reopen_streams

Write = Callable[..., Path]

START_NS = 1_700_000_000_000_000_000
PRICES = [100.0, 100.1, 100.2, 100.3, 100.4, 100.5]
TIMES = [START_NS + row * 60 * 10**9 for row in range(6)]
EVENTS: dict[str, list[Any]] = {
    "event": [1, 1, 2, 2, 3, 4],
    "is_snapshot": [True, True, False, False, False, False],
}
FILES: dict[str, dict[str, list[Any]]] = {
    "quotes": {"bid": PRICES, "ask": [101.0] * 6, "bid_size": [1.0] * 6},
    "trades": {"price": PRICES, "size": [1.0] * 6, "aggressor_side": ["buy", "sell"] * 3},
    "1m_bars": {"open": PRICES, "high": [200.0] * 6, "low": [1.0] * 6, "close": PRICES},
    "bars": {"open": PRICES, "high": [200.0] * 6, "low": [1.0] * 6, "close": PRICES},
    "sided_bars": {**dict.fromkeys(("open", "high", "low", "close"), PRICES), "buy_volume": [1.0, None] * 3},
    "7m_bars": {
        "end_ns": [time + 9 for time in TIMES],
        **dict.fromkeys(("open", "high", "low", "close"), PRICES),
    },
    "funding": {"funding_rate": [0.0] * 6},
    "liquidations": {"side": ["long"] * 6, "price": PRICES, "size": [1.0] * 6},
    "l2": {**EVENTS, "side": ["bid", "ask"] * 3, "price": PRICES, "size": [1.0] * 6},
}


def message(path: Path, change: Callable[[pl.DataFrame], pl.DataFrame], select: str | None = None) -> str:
    """Returns what reopening says after a file was changed."""
    origins = [stream.origin for stream in open_streams([TapeSource(path, select)])]
    change(pl.read_parquet(path)).write_parquet(path)
    with pytest.raises(Corrupt) as caught:
        reopen_streams(origins)
    text = str(caught.value)
    assert text.startswith(f"{path}: its content differs from the recorded tape")
    assert text.endswith("; restore that version")
    return text.removeprefix(f"{path}: its content differs from the recorded tape").rpartition(";")[0]


def with_value(row: int, column: str, value: object) -> Callable[[pl.DataFrame], pl.DataFrame]:
    def change(frame: pl.DataFrame) -> pl.DataFrame:
        values = frame[column].to_list()
        values[row] = value
        return frame.with_columns(pl.Series(column, values, dtype=frame.schema[column]))

    return change


@pytest.mark.parametrize(
    ("kind", "row", "column", "value", "text"),
    [
        ("quotes", 2, "bid", 99.0, "quotes row 2: bid 99.0, recorded 100.2"),
        ("quotes", 0, "ask", None, "quotes row 0: ask nan, recorded 101.0"),
        ("quotes", 5, "bid_size", 2.0, "quotes row 5: bid_size 2.0, recorded 1.0"),
        ("quotes", 3, "ts_ns", TIMES[3] + 1, f"quotes row 3: ts_ns {TIMES[3] + 1}, recorded {TIMES[3]}"),
        ("trades", 1, "price", 7.0, "trades row 1: price 7.0, recorded 100.1"),
        ("trades", 4, "aggressor_side", "sell", "trades row 4: aggressor_side sell, recorded buy"),
        ("trades", 4, "aggressor_side", None, "trades row 4: aggressor_side none, recorded buy"),
        ("1m_bars", 5, "close", 7.0, "bars row 5: close 7.0, recorded 100.5"),
        ("bars", 5, "ts_ns", TIMES[5] + 9, f"bars row 5: ts_ns {TIMES[5] + 9}, recorded {TIMES[5]}"),
        ("7m_bars", 1, "ts_ns", TIMES[1] + 1, f"bars row 1: ts_ns {TIMES[1] + 1}, recorded {TIMES[1]}"),
        ("7m_bars", 1, "end_ns", TIMES[1] + 8, f"bars row 1: end_ns {TIMES[1] + 8}, recorded {TIMES[1] + 9}"),
        ("sided_bars", 3, "buy_volume", 7.0, "bars row 3: buy_volume 7.0, recorded nan"),
        ("funding", 2, "funding_rate", 0.1, "funding row 2: funding_rate 0.1, recorded 0.0"),
        ("liquidations", 2, "side", "short", "liquidations row 2: side short, recorded long"),
        ("l2", 3, "price", 7.0, "book row 3: price 7.0, recorded 100.3"),
        ("l2", 3, "side", "bid", "book row 3: side bid, recorded ask"),
        ("l2", 4, "is_snapshot", True, "book message 2: is_snapshot 1, recorded 0"),
        ("l2", 5, "ts_ns", TIMES[5] + 1, f"book message 3: ts_ns {TIMES[5] + 1}, recorded {TIMES[5]}"),
        ("l2", 4, "event", 4, "book message 2: ts_ns"),
    ],
)
def test_first_row_that_differs_is_named_with_both_values(
    write: Write, kind: str, row: int, column: str, value: object, text: str
) -> None:
    path = write(f"A_{kind}.parquet", ts_ns=TIMES, **FILES[kind])
    assert message(path, with_value(row, column, value)).startswith(f" ({text}")


@pytest.mark.parametrize("kind", ["quotes", "trades", "l2"])
def test_row_that_was_added_or_is_missing_is_named(write: Write, kind: str) -> None:
    name, shown = f"A_{kind}.parquet", "book" if kind == "l2" else kind
    path = write(name, ts_ns=TIMES, **FILES[kind])
    assert message(path, lambda frame: frame[:5]) == f" ({shown} row 5 is missing)"
    assert message(path, lambda frame: pl.concat([frame, frame[-1:]])) == f" ({shown} row 5 was added)"


def test_volume_by_side_that_the_recorded_file_lacks_is_named(write: Write) -> None:
    path = write("A_1m_bars.parquet", ts_ns=TIMES, **FILES["1m_bars"])
    text = message(
        path, lambda frame: frame.with_columns(pl.Series("sell_volume", [None, None, 0.0, 1, 2, 3]))
    )
    assert text == " (bars row 2: sell_volume 0.0, recorded nan)"


def test_earlier_message_of_a_book_comes_before_a_later_row(write: Write) -> None:
    path = write("A_l2.parquet", ts_ns=TIMES, **FILES["l2"])
    changed = with_value(5, "price", 7.0)
    text = message(path, lambda frame: changed(with_value(1, "ts_ns", TIMES[1] - 1)(frame)))
    assert text == f" (book message 0: ts_ns {TIMES[1] - 1}, recorded {TIMES[1]})"


def test_message_that_begins_at_another_row_is_named(write: Write) -> None:
    path = write("A_l2.parquet", ts_ns=TIMES[:1] * 6, **FILES["l2"])
    assert message(path, with_value(3, "event", 3)) == " (book message 2: begins at another row)"


def test_rows_of_the_chosen_symbol_are_compared(write: Write) -> None:
    path = write("some_trades.parquet", ts_ns=TIMES, symbol=["A-B", "C"] * 3, **FILES["trades"])
    assert message(path, with_value(4, "price", 7.0), "ab") == (
        " (trades row 2 of A-B: price 7.0, recorded 100.4)"
    )


def test_other_kind_of_rows_is_named(write: Write) -> None:
    path = write("A_trades.parquet", ts_ns=TIMES, **FILES["trades"])
    text = message(path, lambda _: pl.DataFrame({"ts_ns": TIMES, **FILES["funding"]}))
    assert text == " (it holds funding, recorded trades)"


def test_change_that_cannot_be_found_leaves_the_message_as_it_was(write: Write, cache_dir: Path) -> None:
    path = write("A_trades.parquet", ts_ns=TIMES, **FILES["trades"])
    assert message(path, lambda frame: frame.with_columns(note=pl.lit("x"))) == ""
    assert message(path, lambda frame: frame.drop("ts_ns")) == ""
    path = write("A_l2.parquet", ts_ns=TIMES, **FILES["l2"])

    def without_cache(frame: pl.DataFrame) -> pl.DataFrame:
        shutil.rmtree(cache_dir)
        return frame[:5]

    assert message(path, without_cache) == ""


@given(st.sets(st.integers(0, 299), min_size=1), st.sampled_from(["price", "size"]))
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_earliest_of_several_changes_is_named(write: Write, rows: set[int], column: str) -> None:
    times = START_NS + np.arange(300)
    path = write("A_trades.parquet", ts_ns=times, price=np.ones(300), size=np.ones(300))
    changed = np.ones(300)
    changed[sorted(rows)] = 2.0
    text = message(path, lambda frame: frame.with_columns(pl.Series(column, changed)))
    assert text == f" (trades row {min(rows)}: {column} 2.0, recorded 1.0)"
