"""Three strategies on one engine: momentum, a crossover on bars, one in plain Python."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from autohedge.app import engine_for
from autohedge.config import Settings
from autohedge.core.errors import Misconfigured
from autohedge.core.events import Restarted, RunStarted
from autohedge.core.units import NS_PER_MINUTE
from autohedge.market import Kind, Stream, Tape, tape_of
from autohedge.runtime.replay import replay
from autohedge.strategies import names
from tests.run_harness import Played, columns_tape, play, quotes_tape, settings

EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "breakout.py"
START_NS = 28_333_334 * 60_000_000_000


def _bars(closes: list[float]) -> Tape:
    prices = np.array(closes)
    columns = {
        "ts": START_NS + NS_PER_MINUTE * np.arange(1, len(closes) + 1),
        "open": prices,
        "high": prices + 1,
        "low": prices - 1,
        "close": prices,
        "volume": np.ones(len(closes)),
    }
    return tape_of([Stream.of("BAR", columns, kind=Kind.BARS, interval_ns=NS_PER_MINUTE)])


def _crossover() -> Settings:
    return settings(
        strategy__name="crossover",
        crossover__fast=2,
        crossover__slow=4,
        exits__take_profit_bps=9000,
        exits__stop_loss_bps=9000,
    )


FALL_RISE_FALL = [10.0, 9, 8, 7, 6, 7, 9, 11, 12, 12, 10, 8, 7, 6]


def _mean(closes: list[float], end: int, length: int) -> float:
    return sum(closes[end - length : end]) / length


def _crossings(closes: list[float]) -> list[tuple[int, str]]:
    """Returns the bars at which the fast mean crosses the slow one, computed by hand."""
    sides = [(n, _mean(closes, n, 2) > _mean(closes, n, 4)) for n in range(4, len(closes) + 1)]
    return [
        (n - 1, "buy" if above else "sell") for (_, before), (n, above) in pairwise(sides) if before != above
    ]


def _trades(played: Played) -> list[tuple[int, str]]:
    return [((f.ts_ns - START_NS) // NS_PER_MINUTE - 1, str(f.side)) for f in played.engine.stats.fills]


def test_crossover_enters_and_exits_at_bars_where_means_cross() -> None:
    played = play(_crossover(), _bars(FALL_RISE_FALL))
    assert _trades(played) == _crossings(FALL_RISE_FALL)
    assert [side for _, side in _trades(played)] == ["buy", "sell"]
    assert played.result.exit_signals == 1
    assert played.result.codes["warming_up"] == 3


def test_the_crossover_gathers_quotes_into_bars() -> None:
    inside = [
        (START_NS + n * NS_PER_MINUTE + part * 20_000_000_000, price - wobble, price + wobble)
        for n, price in enumerate([*FALL_RISE_FALL, 6.0])
        for part, wobble in ((0, 1.0), (1, 0.5), (2, 0.0))
    ]
    played = play(_crossover(), quotes_tape(inside))
    decided = [(f.ts_ns - START_NS) // NS_PER_MINUTE - 1 for f in played.engine.stats.fills]
    assert decided == [bar for bar, _ in _crossings(FALL_RISE_FALL)]
    assert played.result.codes["bar_forming"] == 2 * 15 + 1


def test_an_exit_signal_that_fills_in_parts_is_carried_through() -> None:
    prices = np.array(FALL_RISE_FALL + [6.0] * 30)
    columns = {
        "ts": START_NS + NS_PER_MINUTE * np.arange(1, len(prices) + 1),
        **dict.fromkeys(("open", "high", "low", "close"), prices),
        "volume": np.where(np.arange(len(prices)) < 10, 1000.0, 0.7),
    }
    tape = tape_of([Stream.of("BAR", columns, kind=Kind.BARS, interval_ns=NS_PER_MINUTE)])
    wanted = _crossover().model_copy(update={"simulated": settings(simulated__partial_fills=True).simulated})
    result = play(wanted, tape).result
    assert result.buys == 1
    assert result.exit_signals > 5
    assert result.open_position == 0
    assert result.codes["exit_signal"] == result.exit_signals


def test_a_bar_is_known_at_its_end_and_never_before() -> None:
    bars = _bars(FALL_RISE_FALL)
    for cut in range(4, len(FALL_RISE_FALL)):
        short = play(_crossover(), _bars(FALL_RISE_FALL[:cut]))
        whole = play(_crossover(), bars)
        assert _trades(short) == [trade for trade in _trades(whole) if trade[0] < cut]


def _waves() -> Tape:
    n = np.arange(600)
    mid = 100 + 2 * np.sin(n / 25)
    columns = {"ts": START_NS + n * 1_000_000, "bid": np.round(mid, 2), "ask": np.round(mid + 0.01, 2)}
    return columns_tape({"WAVE": columns, "SAME": columns})


def _breakout() -> Settings:
    return settings(strategy__name=f"{EXAMPLE}:Breakout", strategy__params__window=40)


def test_a_python_strategy_trades_on_the_same_engine_and_replays() -> None:
    tape = _waves()
    played = play(_breakout(), tape)
    assert played.result.buys >= 4
    assert played.result.exit_signals >= 4
    assert sum(played.result.codes.values()) == len(tape)
    assert replay(engine_for(_breakout(), tape), tape.rows, list(played.record)) is None


def test_each_symbol_has_a_python_strategy_object_of_its_own() -> None:
    fills = play(_breakout(), _waves()).engine.stats.fills
    by_symbol = {s: [(f.ts_ns, f.side) for f in fills if f.symbol == s] for s in ("WAVE", "SAME")}
    assert by_symbol["WAVE"] == by_symbol["SAME"]


def test_a_python_strategy_can_read_bars(tmp_path: Path) -> None:
    file = tmp_path / "ranges.py"
    file.write_text(
        "from autohedge.strategies import Bar, Kind, Signal, Strategy\n"
        "class Wide(Strategy):\n"
        "    reads = Kind.BARS\n"
        "    def on_bar(self, bar: Bar):\n"
        "        assert bar.high == bar.close + 1 and bar.low == bar.open - 1 and bar.volume == 1\n"
        "        return Signal.BUY if bar.close == 11 else Signal.SELL if bar.close == 8 else None\n"
    )
    wide = settings(strategy__name=f"{file}:Wide", exits__take_profit_bps=9000, exits__stop_loss_bps=9000)
    assert _trades(play(wide, _bars(FALL_RISE_FALL))) == [(7, "buy"), (11, "sell")]


def _failing(tmp_path: Path, body: str) -> Settings:
    file = tmp_path / "mine.py"
    file.write_text(f"from autohedge.strategies import Strategy\nclass Mine(Strategy):\n    {body}\n")
    return settings(strategy__name=f"{file}:Mine")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("def on_quote(self, quote): return 1 / 0", "Mine failed at row 0: ZeroDivisionError"),
        ("def on_quote(self, quote): return 'buy'", "must return Signal.BUY, Signal.SELL or None, not 'buy'"),
        ("def __init__(self, window): ...\n    on_quote = None", "does not take these strategy.params"),
        ("syntax error", "cannot be loaded: SyntaxError"),
    ],
)
def test_a_broken_strategy_is_named_in_one_line(tmp_path: Path, body: str, message: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        play(_failing(tmp_path, body), _waves())
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("momentun", "unknown strategy momentun; did you mean momentum?"),
        ("nowhere.py:Mine", "no such file"),
        ("no_such_module:Mine", "cannot be loaded: ModuleNotFoundError"),
        (f"{EXAMPLE}:Breakdown", "has no class Breakdown"),
    ],
)
def test_an_unknown_strategy_is_refused(name: str, message: str) -> None:
    with pytest.raises(Misconfigured, match=message.replace("?", r"\?")):
        engine_for(settings(strategy__name=name), _waves())


def test_a_strategy_refuses_a_stream_that_it_cannot_read() -> None:
    with pytest.raises(Misconfigured, match="momentum reads quotes, but the tape of BAR holds bars"):
        engine_for(settings(), _bars(FALL_RISE_FALL))


def test_the_filters_need_sizes() -> None:
    with pytest.raises(Misconfigured, match="has no sizes"):
        engine_for(settings(momentum__use_vwap_filter=True), _waves())


def test_overrides_reach_only_their_symbol() -> None:
    never = play(settings(momentum__min_edge_bps=9999), _waves())
    assert never.result.buys == 0
    wanted = settings(momentum__min_edge_bps=9999, **{'symbol_overrides."WAVE".min_edge_bps': 1})
    fills = play(wanted, _waves()).engine.stats.fills
    assert {fill.symbol for fill in fills} == {"WAVE"}


def test_the_built_in_strategies_are_listed() -> None:
    assert names() == ("crossover", "momentum")


def test_a_python_strategy_sees_the_bars_of_now_after_rows_were_missed(tmp_path: Path) -> None:
    path = tmp_path / "seen.py"
    path.write_text(
        "from autohedge.market import Kind\n"
        "from autohedge.strategies import Bar, Strategy\n"
        "class Seen(Strategy):\n"
        "    reads = Kind.BARS\n"
        "    def on_bar(self, bar: Bar) -> None:\n"
        "        assert bar.close == bar.high - 1\n"
        "        assert bar.ts_ns == START + MINUTE * (CLOSES.index(bar.close) + 1)\n"
        f"START, MINUTE, CLOSES = {START_NS}, {NS_PER_MINUTE}, [float(n) for n in range(20)]\n"
    )
    tape = _bars([float(n) for n in range(20)])
    engine = engine_for(settings(strategy__name=f"{path}:Seen"), tape)
    engine.step(RunStarted("n"))
    engine.scan(tape.rows, 0, 3)
    engine.step(Restarted(int(tape.rows.ts[9]), 10, "again"))
    assert engine.scan(tape.rows, engine.pos, 20) == 20
