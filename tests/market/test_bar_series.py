"""The series of bars that indicators read: sessions, bars that are left out, volumes that are not known."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autohedge.config.sections import BarsSettings
from autohedge.market import Kind, Stream, open_streams, parse_source
from autohedge.market.bar_series import bar_series, used_bars
from autohedge.market.derived import TapeDeriver
from tests.market.trade_factory import START_NS, Columns, S, walk

DAY = 86_400
NEW_YORK = "09:30-16:00 America/New_York"


def priced(prices: list[float]) -> Columns:
    return {"open": prices, "high": prices, "low": prices, "close": prices}


def recorded(starts_s: list[int], columns: Columns | None = None, length_s: int = 60) -> Stream:
    """Returns bars as a file has them; their time is their end."""
    ones = [1.0] * len(starts_s)
    ends = [(start + length_s) * S for start in starts_s]
    found: Columns = {"ts": ends, "volume": ones, **priced(ones), **(columns or {})}
    return Stream.of("X", found, kind=Kind.BARS, interval_ns=length_s * S)


def trades(starts_s: list[int]) -> Stream:
    ones = [1.0] * len(starts_s)
    columns: Columns = {
        "ts": [start * S for start in starts_s],
        "price": ones,
        "size": ones,
        "side": [1] * len(ones),
    }
    return Stream.of("X", columns, kind=Kind.TRADES)


def made(source: Stream, every: str, **wanted: Any) -> Stream:
    return TapeDeriver(cached=False).bars(source, BarsSettings(every=every, **wanted))


def second(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def test_session_of_a_bar_is_the_day_of_its_start_in_utc() -> None:
    # The first bar ends with the day that it is in.
    stream = recorded([DAY - 60, DAY, 2 * DAY - 60, 2 * DAY, 5 * DAY])
    assert bar_series(stream).session.tolist() == [0.0, 1.0, 1.0, 2.0, 5.0]


def test_bar_of_a_day_or_of_a_week_is_a_session_of_its_own() -> None:
    assert bar_series(recorded([0, DAY, 2 * DAY], length_s=DAY)).session.tolist() == [0.0, 1.0, 2.0]
    assert bar_series(recorded([0, 7 * DAY], length_s=7 * DAY)).session.tolist() == [0.0, 7.0]


@pytest.mark.parametrize(("day", "opening"), [("2024-01-09", "14:30"), ("2024-07-09", "13:30")])
def test_session_of_made_bars_is_the_second_of_its_opening(day: str, opening: str) -> None:
    first, later = second(f"{day}T{opening}"), second(f"{day}T{opening}") + DAY
    rows = [first - 60, first, first + 600, first + 23_399, later + 5, later + 1_200, later + 9_000]
    series = bar_series(made(trades(rows), "10m", session=NEW_YORK))
    assert series.session.tolist() == [first, first, first, later, later]


def test_session_across_midnight_is_one() -> None:
    evening = second("2024-01-09T22:00")
    rows = [evening, evening + 7_100, evening + 7_300, evening + 10_000, evening + DAY, evening + DAY + 4_000]
    series = bar_series(made(trades(rows), "1h", session="22:00-02:00 UTC"))
    assert series.session.tolist() == [evening] * 3 + [evening + DAY]


def test_session_is_the_same_in_any_part_of_the_rows() -> None:
    stream = made(
        Stream.of("X", walk(4_000, 60 * S), kind=Kind.TRADES), "10m", session="09:30-16:00 Europe/Berlin"
    )
    whole = bar_series(stream)
    assert len(set(whole.session)) == 3
    parts = [bar_series(stream, start, start + 7).session for start in range(0, len(stream), 7)]
    assert np.concatenate(parts).tolist() == whole.session.tolist()


def test_bars_of_ticks_have_the_session_of_their_first_trade() -> None:
    midnight = START_NS // S
    rows = [midnight - 30, midnight - 20, midnight - 10, midnight + 5, midnight + 9, midnight + 10]
    stream = made(trades(rows), "2 ticks")
    assert stream.origin.interval_ns == 0
    day = midnight // DAY
    assert bar_series(stream).session.tolist() == [day - 1, day - 1, day]
    opened = made(trades(rows), "2 ticks", session="23:59-00:01 UTC")
    assert bar_series(opened).session.tolist() == [midnight - 60] * 3


def test_bars_that_contradict_themselves_are_left_out() -> None:
    nan = float("nan")
    stream = recorded(
        [0, 60, 120, 180, 240, DAY],
        {
            "open": [2, 2, 2, 2, 2, 2],
            "high": [3, 3, nan, 3, 1.5, 3],
            "low": [1, 1, 1, 4, 1, 1],
            "close": [2, -1, 2, 2, 2, 2.5],
            "volume": [1, 2, 3, 4, 5, 6],
        },
    )
    series = bar_series(stream)
    assert used_bars(stream, slice(None)).tolist() == [True, False, False, False, False, True]
    assert (series.close.tolist(), series.volume.tolist()) == ([2.0, 2.5], [1.0, 6.0])
    assert series.session.tolist() == [0.0, 1.0]


@pytest.mark.parametrize(("skips", "closes"), [(True, [2.0, 3.0]), (False, [1.0, 2.0, 3.0])])
def test_partial_bars_are_left_out_where_the_strategy_skips_them(skips: bool, closes: list[float]) -> None:
    stream = recorded([0, 60, 120], {"partial": [1, 0, 0], **priced([1.0, 2.0, 3.0])})
    assert bar_series(stream.used(prices=True, read=True, skips_partial=skips)).close.tolist() == closes


def test_rows_are_those_from_start_on_and_before_stop() -> None:
    stream = recorded([60 * n for n in range(5)], priced([1.0, 2.0, 3.0, -1.0, 5.0]))
    assert bar_series(stream, 1, 4).close.tolist() == [2.0, 3.0]
    assert bar_series(stream, 4).close.tolist() == [5.0]
    assert bar_series(stream, 3, 4).close.tolist() == []


def test_volumes_of_made_bars_are_those_of_the_trades() -> None:
    columns = walk(500)
    series = bar_series(made(Stream.of("X", columns, kind=Kind.TRADES), "10s"))
    assert (series.volume > 0).all()
    assert (series.buy_volume + series.sell_volume <= series.volume * (1 + 1e-12)).all()
    assert series.buy_volume.sum() == pytest.approx(columns["size"][columns["side"] > 0].sum(), rel=0.05)


def test_volumes_of_bars_of_quotes_are_not_known() -> None:
    columns = walk(500)
    quotes = Stream.of("X", {"ts": columns["ts"], "bid": columns["price"], "ask": columns["price"] + 0.01})
    stream = made(quotes, "10s")
    series = bar_series(stream)
    assert (stream.columns["volume"] == 0).all()
    for volume in (series.volume, series.buy_volume, series.sell_volume):
        assert len(volume) > 5 and np.isnan(volume).all()


def test_volumes_of_a_file_without_any_are_not_known() -> None:
    assert np.isnan(bar_series(recorded([0, 60], {"volume": [0.0, 0.0]})).volume).all()
    series = bar_series(recorded([0, 60], {"volume": [0.0, 3.0]}))
    assert series.volume.tolist() == [0.0, 3.0]
    assert np.isnan(series.buy_volume).all() and np.isnan(series.sell_volume).all()


def test_volumes_of_bars_that_are_made_of_bars_are_known_where_theirs_are() -> None:
    starts = [60 * n for n in range(6)]
    without, with_some = (
        recorded(starts, {"volume": [0.0, 0.0, 0.0, last, 0.0, 0.0]}) for last in (0.0, 3.0)
    )
    assert np.isnan(bar_series(made(without, "2m")).volume).all()
    assert bar_series(made(with_some, "2m")).volume.tolist() == [0.0, 3.0]


def test_volume_that_comes_late_in_a_file_makes_all_volumes_known() -> None:
    volume = np.zeros(70_000)
    volume[-1] = 1.0
    series = bar_series(recorded([60 * n for n in range(70_000)], {"volume": volume}), 0, 3)
    assert series.volume.tolist() == [0.0, 0.0, 0.0]


def test_volumes_by_side_of_a_file_are_read() -> None:
    nan = float("nan")
    series = bar_series(recorded([0, 60], {"buy_volume": [0.25, nan], "sell_volume": [0.75, nan]}))
    assert series.buy_volume.tolist()[:1] == [0.25] and series.sell_volume.tolist()[:1] == [0.75]
    assert np.isnan([series.buy_volume[1], series.sell_volume[1]]).all()


def test_volumes_by_side_are_not_known_of_trades_without_sides() -> None:
    columns = walk(200)
    columns["side"] = np.zeros(200, np.int8)
    series = bar_series(made(Stream.of("X", columns, kind=Kind.TRADES), "10s"))
    assert np.isnan(series.buy_volume).all() and np.isfinite(series.volume).all()


def test_recorded_bars_of_forex_have_the_days_of_their_starts(shared: Path) -> None:
    (stream,) = open_streams([parse_source(str(shared / "data/fx/EURUSD_1h_bars.parquet"))])
    series = bar_series(stream)
    days = (stream.columns["ts"] - 3_600 * S) // (DAY * S)
    assert series.session.tolist() == days.tolist()
    assert len(series.close) == 5_000


def test_volume_that_cannot_be_one_is_not_known() -> None:
    volumes = [1.0, -1.0, np.inf, np.nan, 0.0, 2.0]
    stream = recorded([60 * row for row in range(6)], {"volume": volumes, **priced([1.0] * 6)})
    np.testing.assert_array_equal(bar_series(stream).volume, [1.0, np.nan, np.nan, np.nan, 0.0, 2.0])
