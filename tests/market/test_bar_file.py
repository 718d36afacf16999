"""Made bars that are written, and read back as bars of a tape."""

from pathlib import Path
from typing import BinaryIO

import numpy as np
import polars as pl
import pytest

from autohedge.config.sections import BarsSettings
from autohedge.core.errors import Misconfigured
from autohedge.market import TapeSource, open_streams, open_tape
from autohedge.market.bar_aggregator import FIELDS, AggregatedBars, BarSource, as_dicts, bars_of, make_bars
from autohedge.market.bar_file import require_writable, write_bars
from autohedge.market.bar_series import bar_series
from autohedge.market.bar_spec import BarSpec
from autohedge.market.derived import TapeDeriver
from autohedge.market.stream import SIDE_VOLUMES, Kind, Stream
from tests.market.trade_factory import START_NS, TRADES, S, columns_of, walk

COLUMNS = ("open", "high", "low", "close", "volume")


def read_back(path: Path) -> Stream:
    return open_tape([TapeSource(path)]).streams[0]


@pytest.mark.parametrize(
    ("every", "session", "interval_ns"),
    [
        ("1m", None, 60 * S),
        ("50 ticks", None, 0),
        ("30 volume", None, 0),
        ("7m", "00:01-00:25 UTC", 7 * 60 * S),  # its last bar of a day has three minutes
        ("1s", None, S),  # of a market in which most seconds have no trade
    ],
)
def test_written_bars_are_read_back_with_the_same_figures(
    tmp_path: Path, every: str, session: str | None, interval_ns: int
) -> None:
    spec, path = BarSpec.of(every, session), tmp_path / "A.parquet"
    made = make_bars(spec, TRADES, walk(2_000, 5 * S))
    write_bars(made, spec, path)
    stream = read_back(path)
    assert stream.kind is Kind.BARS and stream.origin.interval_ns == interval_ns
    assert stream.columns["ts"].tolist() == made.finished["end_ns"].tolist()
    for name in COLUMNS:
        assert stream.columns[name].tolist() == made.finished[name].tolist()
    frame = pl.read_parquet(path).rename({"ts_ns": "start_ns"}).select(FIELDS)
    assert frame.to_dicts() == as_dicts(made.finished)


@pytest.mark.parametrize("every", ["1m", "50 ticks", "30 volume"])
@pytest.mark.parametrize("has_sides", [True, False])
def test_written_bars_have_the_volumes_by_side_of_made_bars(
    tmp_path: Path, every: str, has_sides: bool
) -> None:
    columns = walk(2_000, 5 * S)
    trades = Stream.of("A", columns if has_sides else columns | {"side": np.zeros(2_000)}, kind=Kind.TRADES)
    made = TapeDeriver(cached=False).bars(trades, BarsSettings(every=every))
    spec = BarSpec.of(every)
    write_bars(bars_of(trades, spec), spec, tmp_path / "A.parquet")
    (read,) = open_streams([TapeSource(tmp_path / "A.parquet")])
    for name in SIDE_VOLUMES:
        assert read.columns[name].tobytes() == made.columns[name].tobytes()
        assert np.isnan(read.columns[name]).all() != has_sides
    for mine, its in zip(bar_series(read), bar_series(made), strict=True):
        np.testing.assert_array_equal(mine, its)


def test_bars_of_written_bars_equal_bars_of_the_trades(tmp_path: Path) -> None:
    trades, path = walk(4_000, 20 * S), tmp_path / "A_7m_bars.parquet"
    hours = "00:01-10:00 UTC"
    spec, longer = BarSpec.of("7m", hours), BarSpec.of("1h", hours)
    write_bars(make_bars(spec, TRADES, trades), spec, path)
    found = bars_of(read_back(path), BarSpec.of("35m", hours))
    wanted = make_bars(BarSpec.of("35m", hours), TRADES, trades)
    # The last bar of the trades still forms, so it is not in the file.
    count = len(wanted.finished) - 1
    assert len(found.finished) == count > 15
    for name in ("start_ns", "end_ns", "open", "high", "low", "close", "partial"):
        assert found.finished[name].tolist() == wanted.finished[name][:count].tolist()
    with pytest.raises(Misconfigured, match="1h cannot be made of 7m bars"):
        bars_of(read_back(path), longer)


def test_bar_that_is_known_after_its_end_is_read_back_at_that_time(tmp_path: Path) -> None:
    ends = START_NS + 1_800 * S + 3_600 * S * np.arange(1, 5)
    prices = {name: [1.0] * 4 for name in ("open", "high", "low", "close")}
    spec = BarSpec.of("2h")
    made = make_bars(spec, BarSource(Kind.BARS, 3_600 * S), prices | {"ts": ends})
    write_bars(made, spec, tmp_path / "A_2h_bars.parquet")
    stream = read_back(tmp_path / "A_2h_bars.parquet")
    assert stream.columns["ts"].tolist() == made.finished["known_ns"].tolist()
    assert stream.columns["ts"][0] > made.finished["end_ns"][0]


@pytest.mark.parametrize("change", [{"end_ns": [START_NS - 1, START_NS + 2]}, {"end_ns": [START_NS, None]}])
def test_file_with_a_bar_that_ends_before_it_starts_is_refused(
    tmp_path: Path, change: dict[str, object]
) -> None:
    bars = {"ts_ns": [START_NS, START_NS + 1]} | {name: [1.0] * 2 for name in COLUMNS}
    pl.DataFrame(bars | change).write_parquet(tmp_path / "A.parquet")
    with pytest.raises(Misconfigured, match="end_ns at row [01] is missing or before ts_ns"):
        read_back(tmp_path / "A.parquet")


def test_file_that_cannot_be_written_is_refused_and_leaves_none(tmp_path: Path) -> None:
    spec = BarSpec.of("1m")
    made = make_bars(spec, TRADES, walk(100))
    (tmp_path / "there.parquet").write_bytes(b"mine")
    for path, message in (
        (tmp_path / "there.parquet", "exists already"),
        (tmp_path / "none" / "A.parquet", "its folder does not exist"),
        (tmp_path / "A_5m_bars.parquet", "its name says bars of 5m, but they are of 1m"),
    ):
        with pytest.raises(Misconfigured, match=message):
            write_bars(made, spec, path)
    with pytest.raises(Misconfigured, match="no bar is finished"):
        write_bars(AggregatedBars(made.finished[:0], made.forming, {}), spec, tmp_path / "B.parquet")
    with pytest.raises(Misconfigured, match="but they are of 5 ticks"):
        require_writable(tmp_path / "A_5m_bars.parquet", BarSpec.of("5 ticks"))
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["there.parquet"]
    assert (tmp_path / "there.parquet").read_bytes() == b"mine"


def test_full_disk_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: pl.DataFrame, file: BinaryIO, **_: object) -> None:
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pl.DataFrame, "write_parquet", full)
    spec = BarSpec.of("1s")
    made = make_bars(spec, TRADES, columns_of([0, 2 * S], [1.0] * 2, [1.0] * 2, [0] * 2))
    with pytest.raises(Misconfigured, match="cannot be written .No space left on device.; check the folder"):
        write_bars(made, spec, tmp_path / "A.parquet")
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == []


def test_bars_of_ticks_of_a_regular_feed_are_no_bars_of_time(tmp_path: Path) -> None:
    path, spec = tmp_path / "A_bars.parquet", BarSpec.of("3 ticks")
    write_bars(make_bars(spec, TRADES, columns_of([S] * 12, [1.0] * 12, [1.0] * 12, [0] * 12)), spec, path)
    (stream,) = open_streams([TapeSource(path)])
    assert stream.origin.interval_ns == 0
    pl.read_parquet(path).write_parquet(path, metadata={"autohedge.every": "7 <bananas>"})
    (unmarked,) = open_streams([TapeSource(path)])
    assert unmarked.origin.interval_ns == 2 * S
