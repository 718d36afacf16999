"""Fixtures of the market tests: a separate cache, and files of quotes and bars."""

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

Write = Callable[..., Path]

START_NS = 1_700_000_000_000_000_000


@pytest.fixture(autouse=True)
def cache_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("AUTOHEDGE_CACHE_DIR", str(folder))
    return folder


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Returns a function that writes columns to a Parquet or CSV file, by the name's suffix."""

    def write_file(name: str = "BTCUSDT_20231114_quotes.parquet", **columns: object) -> Path:
        path = tmp_path / name
        frame = pl.DataFrame(columns, strict=False)
        if path.suffix == ".csv":
            frame.write_csv(path)
        else:
            frame.write_parquet(path)
        return path

    return write_file


@pytest.fixture
def quotes_file(write: Write) -> Path:
    return write(
        ts_ns=[START_NS, START_NS, START_NS + 5],
        bid=[100.0, None, 100.5],
        ask=[100.1, 100.2, 100.4],
        bid_size=[1, None, 3],
        ask_size=[2, 2, None],
    )


@pytest.fixture
def bars_file(write: Write) -> Path:
    return write(
        "AAPL_1d_bars.parquet",
        ts_ns=[START_NS, START_NS + 86_400_000_000_000],
        open=[10.0, 11.0],
        high=[12.0, 12.5],
        low=[9.0, 10.5],
        close=[11.0, 12.0],
        volume=[1000, 2000],
    )
