"""Bars of trades, quotes and bars: known answers, the rules at their edges, and what all of them have in common."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from autohedge.core.errors import Misconfigured
from autohedge.market.bar_aggregator import BarAggregator, BarSource, as_dicts, make_bars
from autohedge.market.bar_spec import BarSpec
from autohedge.market.stream import Kind
from tests.market import bar_cases
from tests.market.trade_factory import (
    SPECS,
    START_NS,
    TRADES,
    Columns,
    S,
    columns_of,
    in_two_parts,
    one_by_one,
    shown,
    trades,
    walk,
    whole,
)

NAN = float("nan")


@pytest.mark.parametrize("number", range(bar_cases.COUNT))
def test_bars_of_recorded_data_equal_the_known_answers(shared: Path, number: int) -> None:
    cases = bar_cases.cases(shared)
    assert len(cases) == bar_cases.COUNT
    assert bar_cases.differences(cases[number], bar_cases.made(shared, cases[number])) == []


@budget(max_examples=150, deadline=None)
@given(SPECS, trades(), st.integers(0, 40))
def test_bars_of_columns_equal_those_of_single_rows_and_of_any_cut(
    spec: BarSpec, columns: Columns, cut: int
) -> None:
    expected = shown(make_bars(spec, TRADES, columns))
    assert shown(one_by_one(spec, columns)) == expected
    assert shown(in_two_parts(spec, columns, cut)) == expected


@budget(max_examples=100, deadline=None)
@given(SPECS, trades())
def test_counts_and_volumes_of_all_bars_are_those_of_the_rows(spec: BarSpec, columns: Columns) -> None:
    made = make_bars(spec, TRADES, columns)
    bars = np.concatenate([made.finished, made.forming])
    assert int(bars["count"].sum()) + sum(made.skipped.values()) == len(columns["ts"])
    if not made.skipped["outside_session"]:
        good = (columns["price"] > 0) & (columns["size"] > 0) & np.isfinite(columns["price"])
        assert math.isclose(bars["volume"].sum(), columns["size"][good].sum(), rel_tol=1e-12, abs_tol=1e-12)
        bought = columns["size"][good & (columns["side"] > 0)].sum()
        assert math.isclose(bars["buy_volume"].sum(), bought, rel_tol=1e-12, abs_tol=1e-12)


@pytest.mark.parametrize("rows", [200_000, pytest.param(10_000_000, marks=pytest.mark.soak)])
def test_sums_of_a_long_bar_do_not_drift(rows: int) -> None:
    columns = walk(rows, gap_ns=1_000)
    columns["price"] = np.abs(columns["price"]) + 1.0  # the walk of so many trades falls below 0
    bar = make_bars(BarSpec.of("1d"), TRADES, columns).forming
    notional = math.fsum((columns["price"] * columns["size"]).tolist())
    assert bar["count"][0] == rows
    assert math.isclose(bar["volume"][0], math.fsum(columns["size"].tolist()), rel_tol=1e-12)
    assert math.isclose(bar["notional"][0], notional, rel_tol=1e-12)
    one_by_one = BarAggregator(BarSpec.of("1d"), TRADES)
    for start in range(0, rows, 9_973):
        one_by_one.add({name: column[start : start + 9_973] for name, column in columns.items()})
    assert one_by_one.forming.tobytes() == bar.tobytes()


@pytest.mark.parametrize(
    ("every", "session"), [("5m", None), ("1d", None), ("1M", None), ("1h", "01:00-03:30 UTC")]
)
@pytest.mark.parametrize("gap_ns", [7 * S, 900 * S])
def test_bars_of_bars_equal_bars_of_trades(every: str, session: str | None, gap_ns: int) -> None:
    columns = walk(4_000, gap_ns)
    minutes = np.concatenate([*_parts(whole("1m", columns))])
    source = {name: minutes[name] for name in ("open", "high", "low", "close", "volume", "partial")}
    made = make_bars(
        BarSpec.of(every, session), BarSource(Kind.BARS, 60 * S), source | {"ts": minutes["end_ns"]}
    )
    expected = whole(every, columns, session)
    for found, wanted in zip(_parts(made), _parts(expected), strict=True):
        # A bar does not say whether its first trade came at its start, which an opening in the middle of a tape needs.
        known = ("start_ns", "end_ns", "open", "high", "low", "close", *([] if session else ["partial"]))
        for name in known:
            assert found[name].tolist() == wanted[name].tolist(), name
        assert np.allclose(found["volume"], wanted["volume"], rtol=1e-12)


def test_trade_at_the_end_of_an_interval_belongs_to_the_next_bar() -> None:
    bars = as_dicts(
        whole("1s", columns_of([0, S - 1, 1, S], [1.0, 2.0, 3.0, 4.0], [1.0] * 4, [0] * 4)).finished
    )
    assert [(bar["open"], bar["close"], bar["count"]) for bar in bars] == [(1.0, 2.0, 2), (3.0, 3.0, 1)]
    assert [bar["start_ns"] for bar in bars] == [START_NS, START_NS + S]


@pytest.mark.parametrize(("late_ns", "partial"), [(0, False), (1, True)])
def test_only_the_first_bar_is_partial_and_only_if_its_first_row_is_late(late_ns: int, partial: bool) -> None:
    made = whole("1s", columns_of([late_ns, S, S], [1.0] * 3, [1.0] * 3, [0] * 3))
    assert [bar["partial"] for bar in as_dicts(made.finished)] == [partial, False]


def test_carried_bars_have_the_last_close_and_no_trades() -> None:
    made = whole("1s", columns_of([0, 3 * S + 5], [2.0, 3.0], [1.0, 1.0], [1, 1]), fill="carry")
    first, *empty = as_dicts(made.finished)
    assert first["count"] == 1 and [bar["start_ns"] for bar in empty] == [START_NS + S, START_NS + 2 * S]
    for bar in empty:
        assert {bar[name] for name in ("open", "high", "low", "close")} == {2.0}
        assert {bar[name] for name in ("volume", "notional", "count", "buy_volume", "sell_volume")} == {0}
        assert bar["vwap"] is None and not bar["partial"]
    assert as_dicts(made.forming)[0]["open"] == 3.0


def test_bar_that_is_carried_after_a_partial_one_is_not_partial() -> None:
    made = whole("1s", columns_of([1, 3 * S], [2.0, 3.0], [1.0, 1.0], [1, 1]), fill="carry")
    assert made.finished["partial"].tolist() == [1, 0, 0]


def test_trade_at_the_opening_is_in_the_session_and_one_at_the_close_is_not() -> None:
    columns = columns_of([0, 60 * S, 60 * S], [1.0, 2.0, 3.0], [1.0] * 3, [1] * 3)
    made = whole("1m", columns, "00:01-00:02 UTC")
    assert made.forming["close"].tolist() == [2.0] and made.skipped["outside_session"] == 2


def test_carried_bars_of_more_intervals_than_there_is_room_for_are_all_made() -> None:
    columns = columns_of([0, 10_000 * S], [2.0, 3.0], [1.0, 1.0], [1, 1])
    spec = BarSpec.of("1s", fill="carry")
    assert len(make_bars(spec, TRADES, columns).finished) == 10_000
    assert shown(one_by_one(spec, columns)) == shown(make_bars(spec, TRADES, columns))
    aggregator = BarAggregator(spec, TRADES)
    aggregator.add_trade(START_NS, 2.0, 1.0)
    assert len(aggregator.advance(START_NS + 10_000 * S)) == 10_000


def test_volume_bar_ends_although_the_sum_of_decimals_falls_short_by_an_ulp() -> None:
    sizes = [0.1] * 10
    assert sum(sizes) < 1.0
    made = whole("1 volume", columns_of([0] * 10, [5.0] * 10, sizes, [1] * 10))
    assert len(made.finished) == 1 and not len(made.forming)


def test_volume_bar_takes_its_last_trade_whole_and_carries_no_surplus_on() -> None:
    made = whole("2 volume", columns_of([0, S, S, S], [5.0] * 4, [1.5, 9.0, 1.0, 0.5], [1] * 4))
    assert made.finished["volume"].tolist() == [10.5]
    assert made.forming["volume"].tolist() == [1.5]
    assert made.finished[["start_ns", "end_ns"]].tolist() == [(START_NS, START_NS + S)]


def test_tape_without_sides_has_no_buy_and_sell_volume() -> None:
    source = BarSource(Kind.TRADES, has_sides=False)
    made = make_bars(BarSpec.of("1s"), source, columns_of([0, S], [1.0] * 2, [1.0] * 2, [0, 0]))
    bar = as_dicts(made.finished)[0]
    assert bar["buy_volume"] is bar["sell_volume"] is None and bar["vwap"] == 1.0


def test_late_print_belongs_to_the_interval_in_which_it_became_known() -> None:
    aggregator = BarAggregator(BarSpec.of("1s"), TRADES)
    aggregator.add_trade(START_NS, 1.0, 1.0, 1)
    assert as_dicts(aggregator.advance(START_NS + S))[0]["close"] == 1.0
    assert not len(aggregator.forming)
    aggregator.add_trade(START_NS + S - 1, 7.0, 1.0, 1)
    assert as_dicts(aggregator.forming)[0]["start_ns"] == START_NS + S


def test_clock_finishes_a_bar_at_its_end_and_not_before() -> None:
    aggregator = BarAggregator(BarSpec.of("1m"), TRADES)
    aggregator.add_trade(START_NS + 5, 1.0, 1.0)
    assert not len(aggregator.advance(START_NS + 60 * S - 1))
    assert aggregator.advance(START_NS + 60 * S)["known_ns"].tolist() == [START_NS + 60 * S]
    assert not len(aggregator.advance(START_NS + 600 * S))


def test_bad_rows_are_counted_by_code_and_not_used() -> None:
    price = [1.0, NAN, math.inf, 0.0, -1.0, 1.0, 1.0, 1.0, 5.0]
    size = [1.0, 1.0, 1.0, 1.0, 1.0, NAN, 0.0, -2.0, 1.0]
    made = whole("1s", columns_of([0] * 9, price, size, [1] * 9))
    assert made.skipped == {"missing": 3, "non_positive": 4, "crossed": 0, "outside": 0, "outside_session": 0}
    assert as_dicts(made.forming)[0]["volume"] == 2.0


def test_bad_quotes_and_bad_bars_are_counted_by_code() -> None:
    ts = np.full(5, START_NS)
    bid, ask = np.array([1.0, NAN, 0.0, 3.0, 2.0]), np.array([2.0, 2.0, 1.0, 2.0, 2.0])
    quotes = make_bars(BarSpec.of("1s"), BarSource(Kind.QUOTES), {"ts": ts, "bid": bid, "ask": ask})
    assert list(quotes.skipped.values()) == [1, 1, 1, 0, 0]
    assert as_dicts(quotes.forming)[0] | {"start_ns": 0, "end_ns": 0} == _quote_bar(1.5, 2.0, count=2)
    prices = {
        "open": [1.0, 1.0, 0.0, 1.0, 9.0],
        "high": [2.0] * 3 + [0.5, 2.0],
        "low": [1.0, NAN, 0.0, 1.0, 1.0],
    }
    bars: Columns = {"ts": START_NS + S * np.arange(1, 6), "close": [1.0] * 5, "volume": [1.0] * 5} | prices
    made = make_bars(BarSpec.of("1m"), BarSource(Kind.BARS, S), bars)
    assert list(made.skipped.values()) == [1, 1, 1, 1, 0]


def _quote_bar(first: float, last: float, count: int) -> dict[str, Any]:
    prices = {"open": first, "high": last, "low": first, "close": last}
    unknown = dict.fromkeys(("notional", "vwap", "buy_volume", "sell_volume"))
    times = {"start_ns": 0, "end_ns": 0}
    return times | prices | unknown | {"volume": 0.0, "count": count, "partial": False}


def test_bar_is_known_when_its_last_source_bar_is() -> None:
    # Hours that begin at half past do not fit into whole hours.
    ends = START_NS + 1_800 * S + 3_600 * S * np.arange(1, 5)
    bars: Columns = {"ts": ends, "open": [1.0] * 4, "high": [1.0] * 4, "low": [1.0] * 4, "close": [1.0] * 4}
    made = make_bars(BarSpec.of("2h"), BarSource(Kind.BARS, 3_600 * S), bars)
    assert (made.finished["known_ns"] - made.finished["end_ns"]).tolist() == [1_800 * S]


def test_session_that_reaches_beyond_the_computed_days_goes_on() -> None:
    spec = BarSpec.of("1h", "09:30-16:00 America/New_York")
    days = 250 * S * 86_400
    columns = columns_of([15 * 3_600 * S, *[days] * 4], [1.0] * 5, [1.0] * 5, [1] * 5)
    made = one_by_one(spec, columns)
    assert len(made.finished) == 4 and shown(made) == shown(make_bars(spec, TRADES, columns))


def test_carried_bars_that_are_too_many_to_keep_are_refused() -> None:
    with pytest.raises(Misconfigured, match="fill carry would make 31,536,000 bars of 1s"):
        whole("1s", columns_of([0, 365 * 86_400 * S], [1.0] * 2, [1.0] * 2, [0] * 2), fill="carry")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"price": [1.0]}, "price: shape"),
        ({"ts": np.array([START_NS + 1, START_NS])}, "time decreases at row 1"),
        ({"size": None}, "column size is missing"),
    ],
)
def test_columns_that_do_not_fit_are_refused(change: dict[str, Any], message: str) -> None:
    columns = columns_of([0, 1], [1.0, 1.0], [1.0, 1.0], [0, 0]) | change
    with pytest.raises(Misconfigured, match=message):
        whole("1s", {name: column for name, column in columns.items() if column is not None})


def _parts(made: Any) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    return made.finished, made.forming
