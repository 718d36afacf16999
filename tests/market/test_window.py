"""Windows of a tape: the rows between two times."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autohedge.config.sections import BarsSettings
from autohedge.core.errors import Misconfigured
from autohedge.market import (
    Kind,
    Origin,
    Reads,
    Stream,
    SyntheticSpec,
    Tape,
    TapeSource,
    open_tape,
    reopen,
    synthesize,
    tape_of,
)
from tests.market.conftest import Write

START_NS = 1_700_000_000_000_000_000
COLUMNS = ("ts", "lane", "bid", "ask", "bid_size", "ask_size", "row")

# Few distinct times, so that rows at the ends of a window and ties between streams are common.
markets = st.lists(st.lists(st.integers(0, 12), min_size=1, max_size=20).map(sorted), min_size=1, max_size=3)
times = st.integers(-1, 14)


def tape_at(market: list[list[int]]) -> Tape:
    return tape_of(
        [
            Stream.of(
                f"S{lane}", {"ts": ts, "bid": 100.0 * lane + np.arange(len(ts)) + 1, "ask": [1e4] * len(ts)}
            )
            for lane, ts in enumerate(market)
        ]
    )


def assert_same_rows(first: Tape, second: Tape) -> None:
    for name in COLUMNS:
        one, other = getattr(first.rows, name), getattr(second.rows, name)
        assert (one is None) == (other is None) and (
            one is None or np.array_equal(one, other, equal_nan=True)
        ), name


@given(market=markets, t0=times, t1=times)
def test_window_has_the_rows_from_its_start_and_before_its_end(
    market: list[list[int]], t0: int, t1: int
) -> None:
    inside = [(ts, bid) for ts, bid in zip(*_prices(tape_at(market)), strict=True) if t0 <= ts < t1]
    if not inside:
        with pytest.raises(Misconfigured, match="no row"):
            tape_at(market).between(t0, t1)
        return
    window = tape_at(market).between(t0, t1)
    assert list(zip(*_prices(window), strict=True)) == inside
    assert window.symbols == tape_at(market).symbols
    assert [len(stream) for stream in window.streams] == np.bincount(
        window.rows.lane, minlength=len(market)
    ).tolist()


def _prices(tape: Tape) -> tuple[list[int], list[float]]:
    return tape.rows.ts.tolist(), tape.rows.bid.tolist()


@given(market=markets, t0=times, t1=times)
def test_window_of_a_tape_is_the_tape_of_windows(market: list[list[int]], t0: int, t1: int) -> None:
    tape = tape_at(market)
    if not any(t0 <= ts < t1 for ts in tape.rows.ts):
        return
    window = tape.between(t0, t1)
    assert_same_rows(window, tape_of([stream.between(t0, t1) for stream in tape.streams]))


def test_window_shares_the_memory_of_its_tape() -> None:
    tape = tape_at([[1, 2, 3], [2, 3, 4]])
    window = tape.between(2, 4)
    for name in COLUMNS[:-1]:
        assert np.shares_memory(getattr(window.rows, name), getattr(tape.rows, name))
    assert np.shares_memory(window.streams[0].columns["bid"], tape.streams[0].columns["bid"])
    assert not window.rows.bid.flags.writeable


def test_window_within_a_window_is_their_common_time() -> None:
    window = tape_at([[1, 2, 3, 4, 5]]).between(2, 5).between(0, 4)
    assert window.rows.ts.tolist() == [2, 3]
    assert window.origins[0].window_ns == (2, 4)


@pytest.fixture(params=["synthetic", "files"])
def whole(request: pytest.FixtureRequest, quotes_file: Path, bars_file: Path) -> Tape:
    if request.param == "files":
        return open_tape([TapeSource(quotes_file), TapeSource(bars_file)])
    return synthesize(SyntheticSpec(symbols=("A/USD", "B/USD"), hours=0.05))


def test_window_is_reopened_from_its_origins(whole: Tape) -> None:
    ts = whole.rows.ts
    window = whole.between(int(ts[len(ts) // 3]), int(ts[-1]))
    recorded = msgspec.convert([origin.as_dict() for origin in window.origins], list[Origin])
    again = reopen(recorded)
    assert_same_rows(again, window)
    assert again.origins == window.origins
    assert len(again) < len(reopen(whole.origins)) == len(whole)


def test_a_window_of_bars_that_are_made_of_a_books_prices_is_reopened(write: Write) -> None:
    events = np.arange(60)
    book = write(
        "BTCUSDT_l2.parquet",
        ts_ns=np.repeat(START_NS + events * 500_000_000, 2),
        event=np.repeat(events, 2),
        is_snapshot=[True] * 120,
        side=["bid", "ask"] * 60,
        price=np.repeat(events + 100.0, 2) + np.tile([0.0, 0.5], 60),
        size=[1.0] * 120,
    )
    every_second = Reads(frozenset({Kind.BARS}), lambda _: BarsSettings(every="1s"))
    whole = open_tape([TapeSource(book)], reads=every_second)
    window = whole.between(START_NS + 5_000_000_000, START_NS + 20_000_000_000)
    assert len(window) < len(whole)
    assert_same_rows(reopen(window.origins), window)


def test_bad_bar_outside_a_window_leaves_its_rows_alone(quotes_file: Path) -> None:
    prices = {"open": [1.0] * 3, "high": [2.0] * 3, "low": [1.0] * 3, "close": [1.5, 6.0, 1.5]}
    tape = tape_of(
        [Stream.of("A", {"ts": [1, 2, 3], **prices, "volume": [1] * 3}, kind=Kind.BARS, interval_ns=1)]
    )
    assert tape.between(3, 4).streams[0].as_quotes()["bid"].tolist() == [1.5]
    assert np.isnan(tape.between(2, 4).streams[0].as_quotes()["bid"]).tolist() == [True, False]


def test_only_the_origin_of_a_window_names_it() -> None:
    tape = tape_at([[1, 2]])
    assert not {"window_ns", "store", "derived", "prices", "read"} & tape.origins[0].as_dict().keys()
    window = tape.between(1, 2).origins[0]
    assert window.as_dict()["window_ns"] == (1, 2)
    assert window.rows_id != tape.origins[0].rows_id
