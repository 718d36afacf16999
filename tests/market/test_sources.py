"""Symbol and bar length from file names, and `--tape` values."""

from pathlib import Path

import pytest

from autohedge.core.errors import Misconfigured
from autohedge.market import TapeSource, parse_source
from autohedge.market.sources import interval_of, symbol_of


@pytest.mark.parametrize(
    ("name", "symbol"),
    [
        ("BTCUSDT_20240808_quotes.parquet", "BTCUSDT"),
        ("BTCUSD_PERP_20240808_quotes.parquet", "BTCUSD_PERP"),
        ("BTC-USD-PERP_20250904_quotes.parquet", "BTC-USD-PERP"),
        ("FXCM_EURUSD_20140506_20140508_quotes.parquet", "FXCM_EURUSD"),
        ("XBTUSDT_ohlc_bars.parquet", "XBTUSDT"),
        ("AAPL_1d_bars.parquet", "AAPL"),
        ("BTC-PERP_1m_bars.csv", "BTC-PERP"),
        ("SP500_1d.parquet", "SP500"),
        ("ES_quotes.csv", "ES"),
        ("XBTUSDT_trades.parquet", "XBTUSDT"),
        ("XRPUSDT_PERP_funding.parquet", "XRPUSDT_PERP"),
        ("BTC_liquidations.csv", "BTC"),
        ("BTC_l2.parquet", "BTC"),
        ("BTC_l2snap.parquet", "BTC"),
        ("BTC_book.parquet", "BTC"),
        ("quotes.parquet", "quotes"),
        ("BRK.B.parquet", "BRK.B"),
        ("BTC_123456789.parquet", "BTC_123456789"),
    ],
)
def test_the_symbol_is_what_precedes_a_date_or_a_known_suffix(name: str, symbol: str) -> None:
    assert symbol_of(Path("folder") / name) == symbol


@pytest.mark.parametrize(
    ("name", "interval_s"),
    [
        ("SPY_20131007_1s_bars.parquet", 1),
        ("BTC_5m_bars.parquet", 300),
        ("XRPUSDT_PERP_mark_8h_bars.parquet", 28_800),
        ("SP500_1d.parquet", 86_400),
        ("XBTUSDT_ohlc_bars.parquet", 0),
        ("BTC_0m_bars.parquet", 0),
    ],
)
def test_the_bar_length_is_read_from_the_name(name: str, interval_s: int) -> None:
    assert interval_of(Path(name)) == interval_s * 1_000_000_000


def test_value_without_equals_sign_is_a_file() -> None:
    assert parse_source("data/ETHUSDT_quotes.csv") == TapeSource(Path("data/ETHUSDT_quotes.csv"))


def test_symbol_before_equals_sign_overrides_file_name() -> None:
    source = parse_source("ETH=data/BTC_quotes.csv")
    assert source == TapeSource(Path("data/BTC_quotes.csv"), "ETH")
    assert source.symbol == "ETH"


def test_equals_sign_within_a_path_is_part_of_the_path() -> None:
    assert parse_source("data/day=1/BTC.csv") == TapeSource(Path("data/day=1/BTC.csv"))


def test_existing_file_with_equals_sign_overrides_symbol(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a=b.csv").touch()
    assert parse_source("a=b.csv") == TapeSource(Path("a=b.csv"))


def test_a_symbol_may_hold_a_slash_if_its_file_exists(tmp_path: Path) -> None:
    path = tmp_path / "quotes.csv"
    path.touch()
    assert parse_source(f"BTC/USD={path}") == TapeSource(path, "BTC/USD")


@pytest.mark.parametrize("value", ["", "=file.csv", "BTC="])
def test_an_empty_symbol_or_file_is_refused(value: str) -> None:
    with pytest.raises(Misconfigured):
        parse_source(value)
