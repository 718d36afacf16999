"""Reports on streams, and streams written to files."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import ArrayLike

from autohedge.core.errors import Misconfigured
from autohedge.market import (
    Kind,
    Stream,
    StreamReport,
    SyntheticSpec,
    TapeSource,
    check,
    check_stream,
    open_streams,
    open_tape,
    parse_source,
    synthesize,
    write_parquet,
)
from autohedge.market.stream import COLUMNS

NAN = float("nan")


def test_each_bad_quote_counts_once() -> None:
    stream = Stream.of(
        "A",
        {
            "ts": [1, 1, 2, 9, 9, 10],
            "bid": [NAN, 0.0, 3.0, 2.0, 100.0, NAN],
            "ask": [1.0, 1.0, 2.0, 2.0, 101.0, -1.0],
        },
    )
    report = check_stream(stream)
    assert report.median_spread_bps == pytest.approx(1 / 100.5 * 1e4 / 2)
    assert replace(report, median_spread_bps=None) == StreamReport(
        symbol="A",
        kind=Kind.QUOTES,
        rows=6,
        first_ns=1,
        last_ns=10,
        equal_stamps=2,
        longest_gap_ns=7,
        codes={"missing": 2, "non_positive": 1, "crossed": 1},
        locked=1,
    )
    assert report.bad_quote == 4


def test_a_stream_without_a_good_quote_has_no_median_spread() -> None:
    report = check_stream(Stream.of("A", {"ts": [1], "bid": [NAN], "ask": [1]}))
    assert report.median_spread_bps is None


def test_a_bar_is_crossed_if_its_low_is_above_its_high() -> None:
    columns = {name: [1.0, 2.0] for name in COLUMNS[Kind.BARS]} | {"low": [1.0, 3.0]}
    report = check_stream(Stream.of("A", columns, kind=Kind.BARS))
    assert (report.codes["crossed"], report.locked, report.median_spread_bps) == (1, 0, None)


def test_infinite_prices_count_as_missing_without_a_warning() -> None:
    inf = float("inf")
    columns: dict[str, ArrayLike] = {
        "ts": [1, 2, 3, 4],
        "bid": [10.0, inf, 10.0, -inf],
        "ask": [inf, inf, 10.1, 10.1],
    }
    report = check_stream(Stream.of("A", columns))
    assert (report.codes["missing"], report.bad_quote) == (3, 3)
    assert report.median_spread_bps == pytest.approx(99.5, abs=0.1)


BAD_BARS = {
    "missing": {"open": [NAN], "high": [NAN], "low": [NAN], "close": [float("inf")]},
    "non_positive": {"open": [0.0], "low": [-1.0]},
    "crossed": {"low": [12.5]},
    "outside": {"open": [8.0, 12.5], "close": [8.0, 12.5, 36.0]},
}


@pytest.mark.parametrize(
    ("fault", "name", "value"),
    [(fault, name, value) for fault, names in BAD_BARS.items() for name in names for value in names[name]],
)
def test_bar_that_contradicts_itself_is_a_bad_quote(fault: str, name: str, value: float) -> None:
    good = {"ts": 1.0, "open": 10.0, "high": 12.0, "low": 9.0, "close": 11.0, "volume": 1.0}
    columns: dict[str, ArrayLike] = {each: [number, number] for each, number in good.items()}
    columns["ts"] = [1, 2]
    columns[name] = [good[name], value]
    stream = Stream.of("A", columns, kind=Kind.BARS)
    report = check_stream(stream)
    assert (report.codes[fault], report.bad_quote) == (1, 1)
    assert np.isnan(stream.as_quotes()["bid"]).tolist() == [False, True]


def test_bar_of_rounded_prices_is_good() -> None:
    columns: dict[str, ArrayLike] = {
        "ts": [1],
        "open": [9.99999999],
        "high": [11.0],
        "low": [10.0],
        "close": [11.00000001],
    }
    assert check_stream(Stream.of("A", columns, kind=Kind.BARS)).bad_quote == 0


def test_every_lane_gets_a_report() -> None:
    reports = check(synthesize(SyntheticSpec(("A", "B"), hours=0.1)).streams)
    assert [report.symbol for report in reports] == ["A", "B"]


def test_only_reports_of_quotes_and_bars_have_each_code_as_a_key_too() -> None:
    quotes = check_stream(Stream.of("A", {"ts": [1, 2], "bid": [NAN, 2.0], "ask": [1.0, 2.0]})).as_dict()
    common = ["symbol", "kind", "rows", "first_ns", "last_ns", "equal_stamps", "longest_gap_ns"]
    faults = ["missing", "non_positive", "crossed", "outside", "bad_quote", "locked", "median_spread_bps"]
    assert list(quotes) == [*common, *faults, "codes"]
    assert [quotes[name] for name in faults] == [1, 0, 0, 0, 1, 1, 0.0]
    assert quotes["codes"] == {"missing": 1, "non_positive": 0, "crossed": 0}
    funding = check_stream(Stream.of("A", {"ts": [1, 2], "rate": [NAN, 2.0]}, kind=Kind.FUNDING))
    assert list(funding.as_dict()) == [*common, "codes"] and funding.bad_quote == 0


def test_a_written_stream_reads_back(tmp_path: Path) -> None:
    stream = synthesize(SyntheticSpec(("A",), hours=0.1, bad_quote_rate=0.1)).streams[0]
    path = tmp_path / "A_quotes.parquet"
    write_parquet(stream, path)
    reread = open_tape([TapeSource(path)]).streams[0]
    for name, column in stream.columns.items():
        assert np.array_equal(column, reread.columns[name], equal_nan=True)


def test_written_bars_start_where_they_started(bars_file: Path, tmp_path: Path) -> None:
    stream = open_tape([TapeSource(bars_file)]).streams[0]
    path = tmp_path / "COPY_1d_bars.parquet"
    write_parquet(stream, path)
    reread = open_tape([TapeSource(path)]).streams[0]
    assert np.array_equal(stream.columns["ts"], reread.columns["ts"])


def test_a_file_is_not_overwritten(quotes_file: Path) -> None:
    stream = open_tape([TapeSource(quotes_file)]).streams[0]
    with pytest.raises(Misconfigured, match="exists already"):
        write_parquet(stream, quotes_file)


def test_a_file_that_cannot_be_made_is_refused(quotes_file: Path, tmp_path: Path) -> None:
    stream = open_tape([TapeSource(quotes_file)]).streams[0]
    with pytest.raises(Misconfigured, match="cannot be written"):
        write_parquet(stream, tmp_path / "none" / "A.parquet")


# The published values of each file: crossed, locked, equal stamps, longest gap in s, median spread in bps.
KNOWN = {
    "us_equity/IBM_20131007_20131009_nbbo_quotes.parquet": (131, 1096, 28662, 63_000.9, 2.1917),
    "futures/ES_20240701_quotes.parquet": (0, 0, 121, 6.279, 0.4522),
    "binance/usdm/BTCUSDT_20240808_quotes.parquet": (0, 0, 0, 0.753, 0.0162),
}


@pytest.mark.parametrize("name", KNOWN)
def test_recorded_quotes_are_reported_as_published(shared: Path, name: str) -> None:
    report = check(open_streams([TapeSource(shared / "data" / name)]))[0]
    crossed, locked, equal_stamps, gap_s, spread_bps = KNOWN[name]
    assert (report.codes["crossed"], report.locked, report.equal_stamps) == (crossed, locked, equal_stamps)
    assert report.longest_gap_ns / 1e9 == pytest.approx(gap_s, abs=0.1)
    assert report.median_spread_bps == pytest.approx(spread_bps, abs=1e-4)


def test_recorded_bars_have_their_interval(shared: Path) -> None:
    path = shared / "data" / "kraken" / "XBTUSDT_ohlc_bars.parquet"
    stream = open_tape([TapeSource(path)]).streams[0]
    assert (stream.symbol, len(stream), stream.origin.interval_ns) == ("XBTUSDT", 721, 60 * 10**9)


def test_one_symbol_of_a_recorded_file_can_be_chosen(shared: Path) -> None:
    path = shared / "data" / "coinbase" / "exchange_ten_pairs_20210417_quotes.parquet"
    tape = open_tape([parse_source(f"NMR-EUR={path}")])
    assert tape.symbols == ("NMR-EUR",)
    assert 0 < len(tape) < 107
