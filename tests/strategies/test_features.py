"""Features: their names and formulas, the same bits bar by bar as over a whole tape, and nothing of the future."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autohedge.config.sections import BarsSettings
from autohedge.core.errors import Misconfigured
from autohedge.core.regimes import RegimeStats, regime_stats
from autohedge.market import (
    BookMessages,
    Kind,
    LiveStoreWriter,
    Reads,
    StoreCursor,
    Stream,
    Tape,
    open_streams,
    parse_source,
    tape_of,
)
from autohedge.market.books import replay_book
from autohedge.market.columns import frozen
from autohedge.market.store_tape import open_store, reopen_store
from autohedge.strategies import Bar, FeatureTable, Signal, Strategy, compute_features
from autohedge.strategies.feature_table import DEFAULT, DEFINITIONS, LEVEL_FIGURES, REGIME_BARS
from autohedge.strategies.features import parse_feature, parse_features
from autohedge.strategies.python import PythonStrategyRunner
from autohedge.strategies.user_code import StrategyModuleFinder
from tests.app.store_feed import Append, at_own_pace, in_time_order, writer_of
from tests.market.book_factory import batch, message
from tests.market.store_factory import book_of, stream_part
from tests.run_harness import settings
from tests.snapshot_factory import rows as quote_rows

S = 10**9
ROOT = Path(__file__).parents[2]
SPOT = Path("data") / "binance" / "spot"
FURTHER = (
    "regime_volatility_bps",
    "regime_t",
    "microprice",
    "bid_size",
    "bar_vwap",
    "buy_volume",
    "bollinger(width=3).upper",
    "rsi(period=21)",
    "weighted_imbalance(3)",
)
NAMES = ("default", *FURTHER)
Values = dict[str, Any]


class Watcher(Strategy):
    """Keeps the features of each bar."""

    reads = Kind.BARS
    features = NAMES

    def __init__(self) -> None:
        self.seen: list[Bar] = []

    def on_bar(self, bar: Bar) -> Signal | None:
        self.seen.append(bar)
        return None


def reads(every: str) -> Reads:
    return Reads(frozenset({Kind.BARS}), lambda _: BarsSettings(every=every))


def table_of(tape: Tape, names: Sequence[str] = NAMES) -> FeatureTable:
    (bars,) = [stream for stream in tape.streams if stream.origin.read]
    return compute_features(names, bars, tape.streams)


def last(names: Sequence[str], *streams: Stream) -> Values:
    """Returns the features of the last bar."""
    table = table_of(tape_of(streams, Reads(frozenset({Kind.BARS}))), names)
    return dict(zip(table.names, table.values[-1].tolist(), strict=True))


def same(seen: Sequence[Bar], table: FeatureTable) -> bool:
    """Returns whether a strategy got the rows of a table, to the bit."""
    found = [bar.features for bar in seen]
    assert all(each is not None and tuple(each) == table.names for each in found)
    values = b"".join(each.values.tobytes() for each in found if each is not None)
    return values == table.values.tobytes() and [bar.ts_ns for bar in seen] == table.end_ns.tolist()


@pytest.fixture(scope="module")
def market(shared: Path) -> list[Stream]:
    """Four minutes of recorded quotes, trades and messages of a book."""
    names = [f"BTCUSDT_20240808_{kind}.parquet" for kind in ("quotes", "trades", "l2")]
    found = open_streams([parse_source(str(shared / SPOT / name)) for name in names])
    end_ns = int(found[0].columns["ts"][0]) + 240 * S
    return [stream_part(each, 0, int(each.columns["ts"].searchsorted(end_ns))) for each in found]


def runner_on(tape: Tape) -> tuple[PythonStrategyRunner, list[Bar]]:
    runner = PythonStrategyRunner(Watcher, settings(), tape.streams, StrategyModuleFinder(None))
    strategy = runner.strategies[0]
    assert isinstance(strategy, Watcher)
    return runner, strategy.seen


def bars_at(*ends: int, **columns: Any) -> Stream:
    values: Values = dict.fromkeys(("open", "high", "low", "close"), [10.0] * len(ends)) | columns
    return Stream.of("X", {"ts": ends, **values}, kind=Kind.BARS, interval_ns=S)


def quotes_at(*rows: tuple[int, float, float]) -> Stream:
    ts, bid, ask = zip(*rows, strict=True)
    return Stream.of("X", {"ts": ts, "bid": bid, "ask": ask})


def test_default_features_have_their_names_and_order() -> None:
    assert DEFAULT == (
        *("open", "high", "low", "close", "rsi14", "macd", "macd_signal", "macd_histogram", "ema9", "ema21"),
        *("ema9_less_ema21", "sma50", "close_over_sma50", "sma200", "bb_upper", "bb_middle", "bb_lower"),
        *("bb_percent_b", "volume", "volume_change", "bid", "ask", "mid", "spread", "spread_bps"),
        *("bid_depth5", "ask_depth5", "imbalance5", "log_return", "momentum10"),
    )
    assert tuple(parse_features(["default", "rsi(21)"])) == (*DEFAULT, "rsi(21)")


def test_running_strategy_gets_the_rows_of_the_table(market: list[Stream]) -> None:
    tape = tape_of(market, reads("1s"))
    table, (runner, seen) = table_of(tape), runner_on(tape)
    assert runner.scan(tape.rows, 0, len(tape.rows)) == len(tape.rows)
    assert len(seen) > 200 and not np.isnan(table.values[-1]).any()
    assert same(seen, table)


def _trade_growing(folder: Path, streams: list[Stream], append: Append) -> list[Bar]:
    """Scans a store while rows come to it."""
    writer = writer_of(folder, streams)
    tape = open_store(folder, growing=True, reads=reads("1s"))
    runner, seen = runner_on(tape)
    scanned = 0
    while not tape.cursor.closed:
        if not append(writer):
            writer.close()
        tape.cursor.refresh()
        scanned = runner.scan(tape.cursor.rows, scanned, len(tape.cursor.rows))
    return seen


def test_strategy_on_a_growing_store_gets_the_rows_of_files(market: list[Stream], tmp_path: Path) -> None:
    seen = _trade_growing(tmp_path / "market", market, in_time_order(market, "first"))
    # In a store the clock finishes the bar that would be the last one of a tape.
    assert same(seen[:-1], table_of(tape_of(market, reads("1s"))))


def test_rows_that_come_late_are_not_known_before(market: list[Stream], tmp_path: Path) -> None:
    seen = _trade_growing(tmp_path / "market", market, at_own_pace(market, "second"))
    again = table_of(open_store(tmp_path / "market", growing=False, reads=reads("1s")))
    assert same(seen, again)
    in_order = table_of(tape_of(market, reads("1s")), ["bid"]).columns()["bid"]
    assert not np.array_equal(again.columns()["bid"][: len(in_order)], in_order[: len(seen)])


def test_row_after_a_bar_that_a_clock_has_finished_is_late(tmp_path: Path) -> None:
    trades = Stream.of("X", {"ts": [S, 3 * S], "price": [1.0, 2.0], "size": [1.0, 1.0]}, kind=Kind.TRADES)
    first, late = quotes_at((S, 1.0, 2.0)), quotes_at((2 * S - 1, 3.0, 4.0))
    folder = tmp_path / "market"
    with writer_of(folder, [first, trades]) as writer:
        _append(writer, first, trades.between(0, 2 * S))
        tape = open_store(folder, growing=True, reads=reads("1s"))
        assert isinstance(tape.cursor, StoreCursor)
        tape.cursor.reach_clock(2 * S)
        reached = [(2, 2 * S)]
        _append(writer, late, trades.between(2 * S, 4 * S))
    tape.cursor.refresh()
    assert table_of(tape, ["bid"]).values.tolist() == [[1.0]]
    again = table_of(reopen_store(tape.origins, None, reached), ["bid"])
    assert again.values.tolist() == [[1.0]]
    unclocked = table_of(open_store(folder, growing=False, reads=reads("1s")), ["bid"])
    assert unclocked.values.tolist() == [[3.0]]


def _append(writer: LiveStoreWriter, *streams: Stream) -> None:
    for stream in streams:
        writer.append(stream)


def _changed_from(stream: Stream, at_ns: int) -> Stream:
    """Returns a stream whose rows at or after a time have other prices and sizes."""
    later = slice(int(stream.columns["ts"].searchsorted(at_ns)), None)
    if stream.messages is not None:
        return Stream.of_book(stream.symbol, _changed_messages(stream.messages.now, later))
    values = {name: np.array(column) for name, column in stream.columns.items()}
    for name in ("price", "size", "bid", "ask", "bid_size", "ask_size"):
        if name in values:
            values[name][later] *= 1.5
    return Stream.of(stream.symbol, values, kind=stream.kind)


def _changed_messages(messages: BookMessages, later: slice) -> BookMessages:
    size = np.array(messages.size)
    size[messages.start[:-1][later][0] :] *= 3.0
    return replace(messages, size=frozen(size, np.float64))


@pytest.mark.parametrize("kept", [40, 150, 234])
def test_rows_from_the_end_of_a_bar_on_leave_its_features_as_they_are(
    market: list[Stream], kept: int
) -> None:
    table = table_of(tape_of(market, reads("1s")))
    end_ns = int(table.end_ns[kept - 1])
    changed = table_of(tape_of([_changed_from(stream, end_ns) for stream in market], reads("1s")))
    assert changed.end_ns[:kept].tolist() == table.end_ns[:kept].tolist()
    assert changed.values[:kept].tobytes() == table.values[:kept].tobytes()
    if kept < len(table.values):
        after = changed.values[kept] != table.values[kept]
        assert {"close", "bid", "bid_depth5", "volume"} <= {
            name for name, differs in zip(table.names, after.tolist(), strict=True) if differs
        }


def test_figures_of_the_book_are_those_just_before_the_end(market: list[Stream]) -> None:
    table = table_of(tape_of(market, reads("1s")))
    messages = market[2].messages
    assert messages is not None
    columns = {name: column[[9, 120, -1]].tolist() for name, column in table.columns().items()}
    states = replay_book(messages.now, [int(end) - 1 for end in table.end_ns[[9, 120, -1]]], 5, 1.0).states
    assert all(state.valid for state in states)
    assert columns["bid_depth5"] == [state.bid_depth for state in states]
    assert columns["ask_depth5"] == [state.ask_depth for state in states]
    assert columns["imbalance5"] == [state.imbalance for state in states]
    assert columns["microprice"] == [state.microprice for state in states]


def test_quote_is_the_last_valid_one_strictly_before_the_end() -> None:
    rows = ((S, 1.0, 2.0), (2 * S, 3.0, 5.0), (2 * S, 6.0, 5.0), (3 * S, 7.0, 8.0))
    tape = tape_of([bars_at(S, 2 * S, 3 * S, 4 * S), quotes_at(*rows)], reads(""))
    table = table_of(tape, ["bid", "ask", "mid", "spread", "spread_bps", "bid_size"])
    assert np.isnan(table.values[0]).all()  # a quote of the same time is not before it
    assert table.values[1, :5].tolist() == [1.0, 2.0, 1.5, 1.0, 1.0 / 1.5 * 1e4]
    assert table.values[2, :5].tolist() == [3.0, 5.0, 4.0, 2.0, 5e3]
    assert table.values[3, :2].tolist() == [7.0, 8.0]
    assert np.isnan(table.values[:, 5]).all()  # the source has no sizes


def test_best_prices_are_of_the_book_where_there_are_no_quotes() -> None:
    crossed = message([("ask", 98.0, 2.0)])
    first = message([("bid", 99.0, 1.0), ("ask", 101.0, 3.0)], is_snapshot=1)
    book = Stream.of_book("X", batch([first, message([("bid", 100.0, 3.0)]), crossed]))
    bars, names = bars_at(2, 3, 4), ["bid", "ask_size", "imbalance(1)", "bid_depth5"]
    table = table_of(tape_of([bars, book], reads("")), names)
    assert table.values[:2].tolist() == [[99.0, 3.0, -0.5, 1.0], [100.0, 3.0, 0.0, 4.0]]
    assert np.isnan(table.values[2]).all()
    beside = last(names, bars_at(3), book, quotes_at((1, 7.0, 8.0)))
    assert (beside["bid"], beside["bid_depth5"]) == (7.0, 4.0)


def test_what_is_missing_is_undefined() -> None:
    found = last(["default", *FURTHER], bars_at(S, 2 * S))
    defined = {name for name, value in found.items() if not math.isnan(value)}
    assert defined == {"open", "high", "low", "close", "log_return"}
    before = last(["bid", "bid_depth5"], bars_at(S), quotes_at((S, 1.0, 2.0)), book_of("X", [S], [1.0]))
    assert all(map(math.isnan, before.values()))


def test_formulas_hold_on_recorded_bars(market: list[Stream]) -> None:
    columns = table_of(tape_of(market, reads("1s")), ["default"]).columns()
    np.testing.assert_array_equal(columns["ema9_less_ema21"], columns["ema9"] - columns["ema21"])
    np.testing.assert_array_equal(columns["close_over_sma50"], columns["close"] / columns["sma50"] - 1)
    np.testing.assert_array_equal(columns["mid"], (columns["bid"] + columns["ask"]) / 2)
    np.testing.assert_array_equal(columns["spread"], columns["ask"] - columns["bid"])
    change = columns["volume"][1:] / columns["volume"][:-1] - 1
    np.testing.assert_array_equal(columns["volume_change"][1:], change)
    np.testing.assert_allclose(columns["macd_histogram"], columns["macd"] - columns["macd_signal"])


def test_change_of_no_volume_is_undefined() -> None:
    bars = bars_at(S, 2 * S, 3 * S, 4 * S, volume=[0.0, 0.0, 2.0, 1.0])
    table = table_of(tape_of([bars], reads("")), ["volume_change"])
    np.testing.assert_array_equal(table.values[:, 0], [math.nan, math.nan, math.nan, -0.5])


def test_features_skip_the_bars_that_a_strategy_skips() -> None:
    bars = bars_at(S, 2 * S, 3 * S, volume=[1.0, 2.0, 3.0], low=[10.0, 20.0, 10.0])
    table = table_of(tape_of([bars], reads("")), ["volume", "volume_change"])
    assert table.end_ns.tolist() == [S, 3 * S]
    assert table.values[1].tolist() == [3.0, 2.0]


def test_regime_of_bars_is_that_of_quotes_at_their_closes(market: list[Stream]) -> None:
    table = table_of(tape_of(market, reads("1s")), ["close", "regime_volatility_bps", "regime_t"])
    closes = table.values[-REGIME_BARS - 1 :, 0].tolist()
    expected = regime_stats(quote_rows(closes, spread=0.0))
    assert expected == pytest.approx(RegimeStats(*table.values[-1, 1:].tolist()), rel=1e-9)
    assert np.isnan(table.values[:REGIME_BARS, 1:]).all() and not np.isnan(table.values[REGIME_BARS:]).any()


def test_row_is_a_mapping_with_an_array() -> None:
    tape = tape_of([bars_at(S, close=[10.0])], reads(""))
    runner, seen = runner_on(tape)
    runner.scan(tape.rows, 0, 1)
    row = seen[0].features
    assert row is not None and row["close"] == 10.0 and dict(row)["open"] == 10.0
    assert len(row) == len(row.values) == len(DEFAULT) + len(FURTHER)
    assert list(row)[:2] == ["open", "high"] and row.values.dtype == np.float64
    assert not row.values.flags.writeable
    with pytest.raises(KeyError, match="rsi: not among open, high"):
        row["rsi"]


def test_declared_feature_that_is_not_known_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Watcher, "features", ["rsi15"])
    with pytest.raises(
        Misconfigured, match=r"^strategy Watcher: feature rsi15: not known; did you mean rsi14\?$"
    ):
        runner_on(tape_of([bars_at(S)], reads("")))


def test_bars_without_declared_features_have_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Watcher, "features", ())
    tape = tape_of([bars_at(S)], reads(""))
    runner, seen = runner_on(tape)
    runner.scan(tape.rows, 0, 1)
    assert seen[0].features is None


@pytest.mark.parametrize(
    ("text", "formula"),
    [
        ("rsi14", "rsi(period=14)"),
        (" macd.signal", "macd(fast=12, slow=26, signal=9).signal"),
        ("bollinger( width=3 ) . upper", "bollinger(period=20, width=3.0).upper"),
        ("imbalance(levels=3)", LEVEL_FIGURES["imbalance"]),
    ],
)
def test_feature_is_found_by_its_text(text: str, formula: str) -> None:
    assert parse_feature(text).formula == formula


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("spraed", "feature spraed: not known; did you mean spread?"),
        ("bid_depth(0)", r"feature bid_depth: write bid_depth\(N\), with N levels, a whole number from 1"),
        ("bid_depth", r"write bid_depth\(N\)"),
        ("imbalance(2.5)", r"write imbalance\(N\)"),
        ("bollinger", "has several columns; choose bollinger.upper, bollinger.middle"),
        ("macd.singal", "no column singal; did you mean signal?"),
        ("rsi(perod=3)", "indicator rsi.*no parameter perod; did you mean period?"),
        ("", "not known"),
        ("nothing at all", "not known"),
    ],
)
def test_feature_that_is_none_is_refused(text: str, named: str) -> None:
    with pytest.raises(Misconfigured, match=named):
        parse_feature(text)


def test_feature_that_is_named_twice_is_refused() -> None:
    with pytest.raises(Misconfigured, match="feature close: named twice; keep one of the two"):
        parse_features(["default", "close"])


def test_page_has_the_features_of_the_table() -> None:
    page = (ROOT / "docs" / "features.md").read_text(encoding="utf-8")
    for each in DEFINITIONS.values():
        assert f"| `{each.name}` | {each.formula} | {each.needs} |" in page
    for name, formula in LEVEL_FIGURES.items():
        assert f"| `{name}(N)` | {formula} | the book |" in page
