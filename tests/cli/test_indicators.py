"""`indicators` on the command line: what it prints and writes, and what it refuses."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from autohedge.strategies.indicator_reference import indicators_page
from autohedge.strategies.indicator_table import DEFINITIONS
from tests.process_harness import ProcessHarness

ROOT = Path(__file__).parents[2]
MINUTE_NS = 60 * 10**9
START_NS = 1_704_067_200 * 10**9
BARS = 60


@pytest.fixture
def harness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ProcessHarness:
    monkeypatch.setenv("AUTOHEDGE_CACHE_DIR", str(tmp_path / "cache"))
    close = 100.0 + np.cumsum(np.random.default_rng(1).normal(0.0, 1.0, BARS))
    bars = {"open": close, "high": close + 1.0, "low": close - 1.0, "close": close}
    ts = START_NS + MINUTE_NS * np.arange(BARS)
    pl.DataFrame({"ts_ns": ts, **bars, "volume": 10.0}).write_parquet(tmp_path / "A_1m_bars.parquet")
    pl.DataFrame({"ts_ns": ts, **bars}).write_parquet(tmp_path / "B_1m_bars.parquet")
    trades = {"price": close, "size": 1.0, "aggressor_side": ["buy", "sell", "buy"] * 20}
    pl.DataFrame({"ts_ns": ts, **trades}).write_parquet(tmp_path / "A_20240101_trades.parquet")
    return ProcessHarness(tmp_path, {})


def answer(harness: ProcessHarness, *args: str) -> dict[str, Any]:
    ended = harness.call("indicators", *args, "--json")
    assert ended.returncode == 0, ended.stderr
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


def refusal(harness: ProcessHarness, *args: str) -> str:
    ended = harness.call("indicators", *args)
    assert ended.returncode == 2, ended.stdout
    assert ended.stdout == ""
    assert ended.stderr.count("\n") == 1, ended.stderr
    return ended.stderr.removeprefix("autohedge: ").strip()


def test_first_places_of_adx_and_macd_on_spy_are_known(harness: ProcessHarness, shared: Path) -> None:
    tape = str(shared / "data/us_equity/daily/SPY_1d_bars.parquet")
    found = answer(harness, "--tape", tape, "--name", "adx(period=14)", "--name", "macd")
    assert found["bars"] == len(found["end_ns"]) == 5_849
    adx, macd = found["indicators"]
    assert list(adx) == ["name", "params", "first", "values"]
    assert (adx["name"], adx["params"]) == ("adx", {"period": 14})
    assert adx["first"] == {"adx": 27, "plus_di": 14, "minus_di": 14}
    assert macd["params"] == {"fast": 12, "slow": 26, "signal": 9}
    assert macd["first"] == {"macd": 25, "signal": 33, "histogram": 33}
    assert macd["values"]["macd"][:26].count(None) == 25
    assert len(macd["values"]["signal"]) == 5_849


def test_names_of_one_indicator_are_read_alike_and_answered_in_order(harness: ProcessHarness) -> None:
    names = ("sma", "rsi", "sma()", "sma(period=20)", " sma ( 20 ) ")
    found = answer(
        harness, "--tape", "A_1m_bars.parquet", *(part for name in names for part in ("--name", name))
    )
    first, rsi, *others = found["indicators"]
    assert rsi["name"] == "rsi"
    assert others == [first] * 3
    assert found["end_ns"][0] == START_NS + MINUTE_NS


def test_bars_are_made_of_trades_with_every(harness: ProcessHarness) -> None:
    found = answer(harness, "--tape", "A_20240101_trades.parquet", "--every", "3m", "--name", "cvd")
    assert found["bars"] == 19  # the last bar still forms
    assert found["indicators"][0]["values"]["cvd"] == [float(number + 1) for number in range(19)]


def test_longer_bars_are_made_of_the_bars_of_the_tape(harness: ProcessHarness, tmp_path: Path) -> None:
    found = answer(harness, "--tape", "A_1m_bars.parquet", "--every", "5m", "--name", "sma(period=2)")
    close = pl.read_parquet(tmp_path / "A_1m_bars.parquet")["close"].to_numpy()[4::5][:-1]
    assert found["indicators"][0]["values"]["sma"] == [None, *((close[1:] + close[:-1]) / 2.0).tolist()]


def test_values_are_written_to_a_file(harness: ProcessHarness, tmp_path: Path) -> None:
    args = (
        "--tape",
        "A_1m_bars.parquet",
        "--name",
        "donchian(5)",
        "--name",
        "rsi",
        "--out",
        "values.parquet",
    )
    found = answer(harness, *args)
    table = pl.read_parquet(tmp_path / "values.parquet")
    columns = ["upper", "middle", "lower"]
    assert table.columns == ["end_ns", *(f"donchian(period=5).{name}" for name in columns), "rsi(period=14)"]
    assert table["rsi(period=14)"].to_list() == found["indicators"][1]["values"]["rsi"]
    assert "exists already" in refusal(harness, *args)


def test_too_few_bars_give_null_and_the_number_that_is_missing(harness: ProcessHarness) -> None:
    ended = harness.call("indicators", "--tape", "A_1m_bars.parquet", "--name", "sma(period=75)", "--json")
    found = json.loads(ended.stdout)["indicators"][0]
    assert (found["missing_bars"], found["first"]) == (15, {"sma": None})
    assert found["values"] == {"sma": [None] * BARS}
    assert "sma(period=75): needs 75 bars for its first values; missing: 15" in ended.stderr


def test_indicators_of_volume_have_no_value_without_sizes(harness: ProcessHarness) -> None:
    names = ("--name", "obv", "--name", "cvd", "--name", "vwap", "--name", "rsi")
    ended = harness.call("indicators", "--tape", "B_1m_bars.parquet", *names, "--json")
    obv, cvd, vwap, rsi = json.loads(ended.stdout)["indicators"]
    assert obv["values"]["obv"] == cvd["values"]["cvd"] == vwap["values"]["vwap"] == [None] * BARS
    assert rsi["first"] == {"rsi": 14}
    assert ended.stderr.splitlines() == [
        "B: no value: obv(), vwap(); the bars have no volume",
        "B: no value: cvd(); the bars have no volume by side",
    ]


@pytest.mark.parametrize(
    ("args", "problem"),
    [
        (("--tape", "A_1m_bars.parquet"), "--name"),
        (("--tape", "A_1m_bars.parquet", "--name", "rsl"), "did you mean rsi?"),
        (("--tape", "A_1m_bars.parquet", "--name", "rsi(perod=3)"), "did you mean period?"),
        (("--tape", "A_1m_bars.parquet", "--name", "rsi(period=1)"), "a whole number from 2"),
        (("--tape", "A_1m_bars.parquet", "--name", "macd(fast=26)"), "fast must be less than slow"),
        (("--tape", "A_20240101_trades.parquet", "--name", "rsi"), "add --every"),
        (("--tape", "A_1m_bars.parquet", "--name", "rsi", "--every", "90s"), "take a multiple of 1m"),
        (("--tape", "A_1m_bars.parquet", "--name", "rsi", "--session", "9-10"), "add --every"),
        (("--tape", "A_1m_bars.parquet", "--tape", "B_1m_bars.parquet", "--name", "rsi"), "one symbol"),
        (("--tape", "C_1m_bars.parquet", "--name", "rsi"), "no such file"),
    ],
)
def test_bad_input_is_refused_in_one_line(
    harness: ProcessHarness, args: tuple[str, ...], problem: str
) -> None:
    assert problem in refusal(harness, *args)


def test_list_names_every_indicator_with_its_defaults(harness: ProcessHarness) -> None:
    shown = harness.call("indicators", "--list")
    assert [line.partition("(")[0] for line in shown.stdout.splitlines()[1:-1]] == list(DEFINITIONS)
    listed = json.loads(harness.call("indicators", "--list", "--json").stdout)["indicators"]
    assert [each["name"] for each in listed] == list(DEFINITIONS)
    assert listed[5]["params"] == {"fast": 12, "slow": 26, "signal": 9}


def test_page_in_docs_is_up_to_date() -> None:
    page = (ROOT / "docs" / "indicators.md").read_text(encoding="utf-8")
    assert page == indicators_page(), (
        "python -m autohedge.strategies.indicator_reference > docs/indicators.md"
    )
