"""Which stream bars are made of, and what is refused."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from autohedge.config.sections import BarsSettings
from autohedge.core.errors import Misconfigured
from autohedge.market import Kind, TapeSource, open_streams
from autohedge.market.bar_aggregator import bars_of, make_bars
from autohedge.market.bar_file import write_bars
from autohedge.market.bar_input import open_bar_input, open_bars
from autohedge.market.bar_spec import BarSpec
from autohedge.market.derived import TapeDeriver
from tests.market.store_factory import rows_at, store_of
from tests.market.trade_factory import TRADES, S, walk

Write = Callable[..., Path]

START_NS = 1_700_000_000_000_000_000
TIMES = [START_NS, START_NS + 60 * S, START_NS + 120 * S]
PRICES = {name: [1.0, 2.0, 3.0] for name in ("open", "high", "low", "close")}
FILES: dict[str, dict[str, object]] = {
    "A_trades.parquet": {"price": [1.0, 2.0, 3.0], "size": [0, None, -1]},
    "A_quotes.parquet": {"bid": [1.0, 2.0, 3.0], "ask": [1.0, 2.0, 3.0]},
    "A_1m_bars.parquet": {**PRICES},
    "A_5s_bars.parquet": {**PRICES},
    "A_funding.parquet": {"funding_rate": [0.0] * 3},
    "A_l2.parquet": {"event": [1, 2, 3], "side": ["bid"] * 3, "price": [1.0] * 3, "size": [1.0] * 3},
}


@pytest.fixture
def sources(write: Write) -> dict[str, TapeSource]:
    times = dict.fromkeys(FILES, TIMES) | {"A_5s_bars.parquet": [START_NS + at * 5 * S for at in range(3)]}
    return {name: TapeSource(write(name, ts_ns=times[name], **FILES[name])) for name in FILES}


def test_finest_rows_come_first_and_of_bars_the_shortest(sources: dict[str, TapeSource]) -> None:
    given = list(sources.values())
    assert open_bar_input(given, None).kind is Kind.TRADES
    assert open_bar_input(given[1:], None).kind is Kind.QUOTES
    assert open_bar_input(given[2:], None).origin.interval_ns == 5 * S
    assert open_bar_input(given, Kind.BARS).origin.interval_ns == 5 * S


def test_rows_that_make_no_bars_are_refused(sources: dict[str, TapeSource]) -> None:
    others = [sources["A_funding.parquet"], sources["A_l2.parquet"]]
    with pytest.raises(
        Misconfigured, match="from trades, quotes or bars: the tape has funding and book only"
    ):
        open_bar_input(others, None)
    with pytest.raises(Misconfigured, match="from quotes: the tape has funding and book only"):
        open_bar_input(others, Kind.QUOTES)
    with pytest.raises(Misconfigured, match="bars cannot be made of book; name trades, quotes or bars"):
        bars_of(open_streams(others)[1], BarSpec.of("1m"))


def test_two_files_of_a_kind_and_two_symbols_are_refused(sources: dict[str, TapeSource]) -> None:
    quotes = sources["A_quotes.parquet"]
    with pytest.raises(Misconfigured, match="two files of quotes; name one"):
        open_bar_input([quotes, TapeSource(quotes.path, "a")], None)
    with pytest.raises(Misconfigured, match="has A and B; bars are made of one symbol"):
        open_bar_input([quotes, TapeSource(quotes.path, "B")], None)
    with pytest.raises(Misconfigured, match="name a file with --tape"):
        open_bar_input([], None)


def test_store_of_one_symbol_has_quotes_for_bars(tmp_path: Path) -> None:
    one = store_of(tmp_path / "one", rows_at(START_NS, START_NS + 1))
    assert len(open_bar_input([TapeSource(one)], None)) == 2
    two = store_of(tmp_path / "two", rows_at(START_NS, START_NS + 1, lane=1), ["A", "B"])
    with pytest.raises(Misconfigured, match="has A and B; bars are made of one symbol"):
        open_bar_input([TapeSource(two)], None)


@pytest.mark.parametrize(
    ("name", "kind", "every"),
    [
        ("A_trades.parquet", "trades", "25 volume"),
        ("A_trades.parquet", "trades", "2e6 dollars"),
        ("A_5s_bars.parquet", "bars", "25 volume"),
    ],
)
def test_bars_of_sizes_need_rows_with_sizes(
    sources: dict[str, TapeSource], name: str, kind: str, every: str
) -> None:
    with pytest.raises(Misconfigured, match=f"{every} cannot be made of the {kind} of A: they have no sizes"):
        bars_of(open_bar_input([sources[name]], None), BarSpec.of(every))


def test_run_makes_the_bars_of_written_bars_that_it_makes_of_the_trades(tmp_path: Path) -> None:
    # The last bar of a session is shorter, so its start is not its end less the usual length.
    trades, path = walk(60_000, 5 * S), tmp_path / "A.parquet"
    hours = "00:01-09:52 UTC"
    write_bars(make_bars(BarSpec.of("7m", hours), TRADES, trades), BarSpec.of("7m", hours), path)
    (stream,) = open_streams([TapeSource(path)])
    found = TapeDeriver(cached=False).bars(stream, BarsSettings(every="42m", session=hours))
    wanted = make_bars(BarSpec.of("42m", hours), TRADES, trades).finished
    count = len(found.columns["ts"])
    assert len(wanted) - 1 <= count > 15
    for name in ("open", "high", "low", "close"):
        assert np.array_equal(found.columns[name], wanted[name][:count])


def test_bars_that_a_strategy_reads_come_with_all_streams(sources: dict[str, TapeSource]) -> None:
    shortest, streams = open_bars(list(sources.values()), BarsSettings())
    assert shortest.origin.interval_ns == 5 * S and shortest.origin.read
    assert len(streams) == len(sources)
    recorded, _ = open_bars(list(sources.values()), BarsSettings(every="1m"))
    assert recorded.origin.derived is None and recorded.origin.interval_ns == 60 * S
    made, _ = open_bars([sources["A_quotes.parquet"]], BarsSettings(every="1m"))
    assert made.origin.derived and made.columns["close"].tolist() == [1.0, 2.0]


def test_bars_are_read_of_trades_alone_and_of_a_store(write: Write, tmp_path: Path) -> None:
    trades = write("B_trades.parquet", ts_ns=TIMES, price=[1.0, 2.0, 3.0], size=[1.0] * 3)
    bars, _ = open_bars([TapeSource(trades)], BarsSettings(every="1m"))
    assert bars.columns["close"].tolist() == [1.0, 2.0]
    store = store_of(tmp_path / "market", rows_at(S, 3 * S, 5 * S))
    bars, _ = open_bars([TapeSource(store)], BarsSettings(every="2s"))
    assert bars.columns["ts"].tolist() == [2 * S, 4 * S]


def test_bars_of_which_a_strategy_reads_none_are_refused(write: Write) -> None:
    unusable = {name: [float("nan")] * 3 for name in PRICES}
    source = TapeSource(write("C_1m_bars.parquet", ts_ns=TIMES, **unusable))
    with pytest.raises(Misconfigured, match="C: no usable bar, because each contradicts itself or lacks its"):
        open_bars([source], BarsSettings())


def test_tape_without_bars_to_read_is_refused(write: Write, sources: dict[str, TapeSource]) -> None:
    with pytest.raises(Misconfigured, match="the tape has no bars; add --every"):
        open_bars([sources["A_quotes.parquet"]], BarsSettings())
    other = TapeSource(write("B_quotes.parquet", ts_ns=TIMES, **FILES["A_quotes.parquet"]))
    with pytest.raises(Misconfigured, match="the tape has A and B; bars are made of one symbol"):
        open_bars([sources["A_quotes.parquet"], other], BarsSettings(every="1m"))
    with pytest.raises(Misconfigured, match="no prices for A: add quotes, l2 or bars"):
        open_bars([sources["A_funding.parquet"]], BarsSettings(every="1m"))
