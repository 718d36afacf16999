"""The rows that a strategy must see are those of the streams, in the order in which they became known."""

from math import nan

import numpy as np
import pytest

from autohedge.config.sections import BarsSettings
from autohedge.core.units import NS_PER_S
from autohedge.faultsim.expected_rows import ExpectedRow, expected_rows
from autohedge.market import Kind, Reads, Stream, Tape, tape_of

ALL = frozenset(Kind) - {Kind.BOOK}


def _tape(trades: list[tuple[int, float]], bars: BarsSettings) -> Tape:
    """Trades at tenths of a second, with a quote and a rate at the second."""
    at = np.array([tenths * NS_PER_S // 10 for tenths, _ in trades])
    prices = [price for _, price in trades]
    given = [
        Stream.of("S", {"ts": [NS_PER_S], "bid": [9.0], "ask": [9.5]}),
        Stream.of("S", {"ts": at, "price": prices, "size": np.ones(len(at))}, kind=Kind.TRADES),
        Stream.of("S", {"ts": [NS_PER_S], "rate": [0.1]}, kind=Kind.FUNDING),
        Stream.of(
            "S", {"ts": [NS_PER_S], "side": [1], "price": [9.0], "size": [0.0]}, kind=Kind.LIQUIDATIONS
        ),
    ]
    return tape_of(given, Reads(ALL, lambda _: bars))


def _expected(trades: list[tuple[int, float]], bars: BarsSettings) -> list[ExpectedRow]:
    return expected_rows(_tape(trades, bars), bars)


def test_rows_of_one_time_come_in_the_order_of_their_kinds() -> None:
    rows = _expected([(0, 5.0), (10, 6.0), (20, 7.0)], BarsSettings(every="1s"))
    at_one = [row.kind for row in rows if row.ts_ns == NS_PER_S]
    assert at_one == [Kind.BARS, Kind.FUNDING, Kind.LIQUIDATIONS, Kind.TRADES, Kind.QUOTES]


def test_a_bar_has_the_trades_from_its_start_to_before_its_end() -> None:
    rows = _expected([(0, 5.0), (9, 4.0), (10, 6.0), (20, 7.0)], BarsSettings(every="1s"))
    bars = [(row.ts_ns, row.values and row.values[:5]) for row in rows if row.kind is Kind.BARS]
    assert bars == [(NS_PER_S, (5.0, 5.0, 4.0, 4.0, 2.0)), (2 * NS_PER_S, (6.0, 6.0, 6.0, 6.0, 1.0))]


def test_a_bar_has_the_average_of_those_that_are_shown() -> None:
    trades = [(1, 9.0), (10, 5.0), (20, 6.0), (30, 7.0), (40, 8.0), (50, 1.0)]
    rows = _expected(trades, BarsSettings(every="1s"))
    shown = [row.values[5] for row in rows if row.kind is Kind.BARS and row.values]
    assert str(shown) == "[nan, nan, 6.0, 7.0]"


def test_a_bar_that_lacks_its_beginning_is_shown_only_if_wanted() -> None:
    trades = [(1, 5.0), (10, 6.0), (20, 7.0)]
    for skips in (True, False):
        rows = _expected(trades, BarsSettings(every="1s", skip_partial=skips))
        assert [row.values is None for row in rows if row.kind is Kind.BARS] == [skips, False]


def test_a_bar_of_ticks_comes_after_the_trade_that_fills_it() -> None:
    rows = _expected([(1, 5.0), (10, 6.0), (10, 7.0), (11, 8.0)], BarsSettings(every="3 ticks"))
    kinds = [row.kind for row in rows if row.ts_ns == NS_PER_S]
    assert kinds == [Kind.FUNDING, Kind.LIQUIDATIONS, Kind.TRADES, Kind.TRADES, Kind.QUOTES, Kind.BARS]


@pytest.mark.parametrize("price", [nan, 0.0, -1.0])
def test_bad_rows_are_not_shown_and_in_no_bar(price: float) -> None:
    rows = _expected([(0, 5.0), (1, price), (10, 6.0)], BarsSettings(every="1s"))
    assert [row.values is None for row in rows if row.kind is Kind.TRADES] == [False, True, False]
    bars = [row.values and row.values[:5] for row in rows if row.kind is Kind.BARS]
    assert bars == [(5.0, 5.0, 5.0, 5.0, 1.0)]
    assert [row.values for row in rows if row.kind is Kind.LIQUIDATIONS] == [None]
