"""Indicators that a strategy declares: what it sees at each bar, on tapes, with exits, and on a live store."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autohedge.app import as_read, engine_for, run_in_memory
from autohedge.core.errors import Misconfigured
from autohedge.core.orders import Side
from autohedge.core.results import RunReport
from autohedge.market import Kind, Stream, Tape, parse_source, tape_of
from autohedge.market.bar_series import BarSeries, bar_series
from autohedge.market.loading import open_streams
from autohedge.runtime.replay import replay
from autohedge.strategies.indicators import compute, parse_indicator
from tests.app.store_feed import in_time_order, recorded_streams, trade_growing, traded
from tests.market.trade_factory import S, walk
from tests.run_harness import play, settings
from tests.strategies.indicator_cases import SMALLEST
from tests.strategies.series_factory import bits, named

INDICATORS = (
    "rsi",
    "macd(3, 7, 4)",
    "bollinger(10)",
    "atr(5)",
    "vwap",
    "vwap(6)",
    "obv",
    "cvd",
    "stochastic",
)
NAMES = list(
    named(
        [parse_indicator(text) for text in INDICATORS],
        [dict.fromkeys(parse_indicator(text).columns, np.empty(0)) for text in INDICATORS],
    )
)
STRATEGY = f"""
from autohedge.market import Kind
from autohedge.strategies import Signal, Strategy


class Notes(Strategy):
    reads = Kind.BARS

    def __init__(self, file, buys):
        self.file, self.buys, self.count = file, buys, 0
        self.indicators = {INDICATORS}

    def on_bar(self, bar):
        values = [bar.indicators[name] for name in {NAMES}]
        with open(self.file, "a") as notes:
            print(bar.ts_ns, *values, file=notes)
        self.count += 1
        return Signal.BUY if self.buys and self.count % 3 == 0 else None
"""
BUYING = {
    "exits__take_profit_bps": 3,
    "exits__stop_loss_bps": 3,
    "simulated__order_latency_ms": 1,
    "simulated__response_latency_ms": 1,
}


def wanted(folder: Path, notes: str, buys: bool = False, **changes: Any) -> Any:
    (folder / "notes.py").write_text(STRATEGY)
    params = {"file": f'"{folder / notes}"', "buys": buys}
    named_params = {f"strategy__params__{name}": value for name, value in params.items()}
    return settings(strategy__name=f'"{folder / "notes.py"}:Notes"', **named_params, **changes)


def seen(path: Path) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Returns the times of the bars that the strategy was given, and the values at each."""
    lines = [line.split() for line in path.read_text().splitlines()]
    return np.array([int(line[0]) for line in lines]), np.array(
        [list(map(float, each[1:])) for each in lines]
    )


def expected(series: BarSeries) -> np.ndarray[Any, Any]:
    specs = [parse_indicator(text) for text in INDICATORS]
    return np.stack(list(named(specs, compute(specs, series)).values()), axis=1)


def assert_sees_what_is_computed(path: Path, stream: Stream, ts: np.ndarray[Any, Any]) -> int:
    """Compares what was seen with whole series, whose bars have the times `ts`; returns the number of bars seen."""
    times, values = seen(path)
    found = expected(bar_series(stream))[np.searchsorted(ts, times)]
    assert bits(values) == bits(found)
    return len(times)


def bars(rows: int = 900, bad: Sequence[int] = ()) -> Stream:
    """Returns bars of a walk; those at some places contradict themselves."""
    rng = np.random.Generator(np.random.PCG64(9))
    close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 5e-4, rows)))
    close[list(bad)] *= -1.0
    columns = {
        "ts": 60 * S * np.arange(1, rows + 1),
        "open": close,
        "high": close * 1.001,
        "low": close * 0.999,
        "close": close,
        "volume": rng.exponential(3.0, rows),
    }
    return Stream.of("X", columns, kind=Kind.BARS, interval_ns=60 * S)


def run(settings: Any, tape: Tape) -> RunReport:
    return run_in_memory(settings, as_read(settings, tape))


@pytest.mark.parametrize("bad", [[], [0, 7, 8, 400]])
def test_strategy_sees_at_each_bar_what_whole_series_have(tmp_path: Path, bad: list[int]) -> None:
    stream = bars(bad=bad)
    run(wanted(tmp_path, "seen"), tape_of([stream]))
    ts = np.delete(stream.columns["ts"], bad)
    assert assert_sees_what_is_computed(tmp_path / "seen", stream, ts) == 900 - len(bad)


def test_indicators_see_the_bars_at_which_exits_are_met(tmp_path: Path) -> None:
    stream = bars(bad=[100])
    report = run(wanted(tmp_path, "seen", buys=True, **BUYING), tape_of([stream]))
    exits = report.codes["take_profit"] + report.codes["stop_loss"]
    assert exits > 20
    ts = np.delete(stream.columns["ts"], 100)
    assert assert_sees_what_is_computed(tmp_path / "seen", stream, ts) <= 899 - exits


def test_indicators_of_made_bars_beside_quotes_have_volumes_by_side(tmp_path: Path) -> None:
    columns = walk(6_000)
    trades = Stream.of("X", columns, kind=Kind.TRADES)
    quotes = Stream.of("X", {"ts": columns["ts"], "bid": columns["price"], "ask": columns["price"] + 0.02})
    chosen = wanted(tmp_path, "seen", buys=True, bars__every='"10s"', **BUYING)
    tape = as_read(chosen, tape_of([trades, quotes]))
    report = run_in_memory(chosen, tape)
    made = next(stream for stream in tape.streams if stream.kind is Kind.BARS)
    assert report.codes["entry"] > 20
    used = made.columns["partial"] == 0
    assert assert_sees_what_is_computed(tmp_path / "seen", made, made.columns["ts"][used]) == used.sum()
    _, values = seen(tmp_path / "seen")
    assert np.isfinite(values[50:, NAMES.index("cvd()")]).all()


def test_recorded_bars_are_seen_as_computed(shared: Path, tmp_path: Path) -> None:
    streams = open_streams([parse_source(str(shared / "data" / SMALLEST))])
    run(wanted(tmp_path, "seen"), tape_of(streams))
    assert assert_sees_what_is_computed(tmp_path / "seen", streams[0], streams[0].columns["ts"]) == 721


@pytest.mark.parametrize("source", ["trades", "quotes"])
def test_live_store_gives_the_values_of_the_finished_tape(shared: Path, workplace: Path, source: str) -> None:
    streams = recorded_streams(shared, 12_000)
    levels = {"exits__take_profit_bps": 0.2, "exits__stop_loss_bps": 0.2}
    changes = BUYING | levels | {"bars__every": '"1s"', "bars__source": f'"{source}"'}
    live = trade_growing(
        wanted(workplace, "live", buys=True, **changes),
        workplace / "market",
        streams,
        in_time_order(streams, source),
    )
    finished = run(wanted(workplace, "finished", buys=True, **changes), tape_of(streams))
    assert traded(live) == traded(finished) and live.buys > 2
    _, values = seen(workplace / "finished")
    assert (workplace / "live").read_text() == (workplace / "finished").read_text()
    assert np.isfinite(values[:, NAMES.index("rsi(period=14)")]).sum() > 20
    assert np.isnan(values[:, NAMES.index("obv()")]).all() == (source == "quotes")


def test_store_of_recorded_bars_gives_the_values_of_their_file(workplace: Path) -> None:
    stream = bars(500)
    live = trade_growing(
        wanted(workplace, "live"), workplace / "market", [stream], in_time_order([stream], "bars")
    )
    finished = run(wanted(workplace, "finished"), tape_of([stream]))
    assert live.quotes == finished.quotes == 500
    assert (workplace / "live").read_text() == (workplace / "finished").read_text()


def _strategy(folder: Path, in_class: str = "", in_init: str = "pass", on_bar: str = "pass") -> Any:
    (folder / "own.py").write_text(
        "from autohedge.strategies import Kind, Strategy\n"
        "class Own(Strategy):\n"
        "    reads = Kind.BARS\n"
        f"    {in_class}\n"
        f"    def __init__(self):\n        {in_init}\n"
        f"    def on_bar(self, bar):\n        {on_bar}\n"
    )
    return settings(strategy__name=f'"{folder / "own.py"}:Own"')


@pytest.mark.parametrize(
    ("indicators", "message"),
    [
        ('"rsi"', 'indicators must be a list of names, as in ["rsi(period=14)"]'),
        ('["rsi", "rs1"]', "indicator rs1: not known; did you mean rsi?"),
        ('["rsi(1)"]', "indicator rsi(1): period must be a whole number from 2 to 1,000,000"),
        ('["rsi", "rsi(14)"]', "indicator rsi(period=14): named twice; keep one of the two"),
        ('["\\x1b[2Jrsi\\n"]', "indicator [2Jrsi: write a name and its parameters, as in rsi(period=14)"),
    ],
)
@pytest.mark.parametrize("place", ["in_class", "in_init"])
def test_declaration_of_what_are_no_indicators_is_refused(
    tmp_path: Path, place: str, indicators: str, message: str
) -> None:
    owner = "" if place == "in_class" else "self."
    chosen = _strategy(tmp_path, **{place: f"{owner}indicators = {indicators}"})
    with pytest.raises(Misconfigured) as refused:
        engine_for(chosen, as_read(chosen, tape_of([bars(5)])))
    assert str(refused.value) == f"strategy Own: {message}"


@pytest.mark.parametrize("declared", ["", "indicators = ()", "indicators = []"])
def test_strategy_that_declares_no_indicators_has_none(tmp_path: Path, declared: str) -> None:
    run(_strategy(tmp_path, declared, on_bar="assert bar.indicators is None"), tape_of([bars(5)]))


@pytest.mark.parametrize("names", ['["sma(2)"]', '("sma(2)",)'])
@pytest.mark.parametrize("place", ["in_class", "in_init"])
def test_indicators_may_be_set_in_the_class_or_at_the_start(tmp_path: Path, place: str, names: str) -> None:
    owner = "" if place == "in_class" else "self."
    check = "assert bar.indicators['sma(2)'] == bar.indicators['sma(period=2)'] or bar.ts_ns == 60 * 10**9"
    run(_strategy(tmp_path, on_bar=check, **{place: f"{owner}indicators = {names}"}), tape_of([bars(5)]))


def test_each_instrument_has_indicators_of_its_own(tmp_path: Path) -> None:
    first, other = bars(30), bars(30)
    prices = {
        name: column * (2.0 if name in {"open", "high", "low", "close"} else 1)
        for name, column in other.columns.items()
    }
    second = Stream.of("Y", prices, kind=Kind.BARS, interval_ns=60 * S)
    check = "assert bar.ts_ns < 120 * 10**9 or abs(bar.indicators['sma(2)'] / bar.close - 1) < 0.01"
    run(_strategy(tmp_path, 'indicators = ["sma(2)"]', on_bar=check), tape_of([first, second]))


def test_the_example_buys_where_its_rsi_recovers_and_replays() -> None:
    example = Path(__file__).parents[2] / "examples" / "reversal.py"
    wanted = settings(strategy__name=f"{example}:Reversal", strategy__params__period=5)
    n = np.arange(200)
    close = np.round(100.0 + 5.0 * np.sin(n / 8.0), 2)
    bars = {"ts": 1_700_000_000 * S + n * S, **dict.fromkeys(("open", "high", "low", "close"), close)}
    tape = tape_of([Stream.of("WAVE", bars, kind=Kind.BARS, interval_ns=S)])
    played = play(wanted, tape)
    rsi = compute([parse_indicator("rsi(5)")], bar_series(tape.streams[0]))[0]["rsi"]
    rises = 1 + np.flatnonzero((rsi[:-1] < 30.0) & (rsi[1:] >= 30.0))
    bought = [fill.ts_ns for fill in played.engine.stats.fills if fill.side is Side.BUY]
    assert bought == bars["ts"][rises].tolist() != []
    assert replay(engine_for(wanted, tape), tape.rows, list(played.record)) is None
