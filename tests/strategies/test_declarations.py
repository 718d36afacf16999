"""Indicators and features that a strategy declares: what is no list of names, and what has no bars."""

import re
from pathlib import Path
from typing import Any

import pytest

from autohedge.app import as_read, run_in_memory
from autohedge.core.errors import Misconfigured
from autohedge.market import Kind, Reads, Stream, tape_of
from autohedge.strategies import Signal, Strategy
from autohedge.strategies.market_data import Bar, Quote
from autohedge.strategies.python import PythonStrategyRunner
from autohedge.strategies.user_code import StrategyModuleFinder
from tests.run_harness import settings

S = 10**9
DOCS = Path(__file__).parents[2] / "docs"
LIST = {"indicators": '["rsi(period=14)"]', "features": '["default", "rsi(period=21)"]'}


class Watcher(Strategy):
    """Does nothing with quotes and bars."""

    def on_quote(self, quote: Quote) -> Signal | None:
        return None

    def on_bar(self, bar: Bar) -> Signal | None:
        return None


def start(kinds: set[Kind], **declared: Any) -> PythonStrategyRunner:
    """Starts a strategy that declares something, on a tape of quotes and bars."""
    make = type("Own", (Watcher,), {"reads": kinds, **declared})
    quotes = Stream.of("X", {"ts": [S], "bid": [1.0], "ask": [2.0]})
    prices = dict.fromkeys(("open", "high", "low", "close"), (10.0,))
    bars = Stream.of("X", {"ts": [S], **prices}, kind=Kind.BARS, interval_ns=S)
    tape = tape_of([quotes, bars], Reads(frozenset(kinds)))
    return PythonStrategyRunner(make, settings(), tape.streams, StrategyModuleFinder(None))


def refusal(kinds: set[Kind], **declared: Any) -> str:
    with pytest.raises(Misconfigured) as refused:
        start(kinds, **declared)
    return str(refused.value)


@pytest.mark.parametrize("names", [14, None, "", "rsi", {"rsi"}, [14], iter(["rsi"])])
@pytest.mark.parametrize("field", ["indicators", "features"])
@pytest.mark.parametrize("kind", [Kind.QUOTES, Kind.BARS])
def test_declaration_that_is_no_list_of_names_is_refused(kind: Kind, field: str, names: object) -> None:
    expected = f"strategy Own: {field} must be a list of names, as in {LIST[field]}"
    assert refusal({kind}, **{field: names}) == expected


@pytest.mark.parametrize("field", ["indicators", "features"])
def test_declaration_of_a_strategy_that_reads_no_bars_is_refused(field: str) -> None:
    assert refusal({Kind.QUOTES}, **{field: ["rsi"]}) == (
        f"strategy Own: its {field} are of bars, but it reads none; add Kind.BARS to reads, or remove {field}"
    )


def test_strategy_that_reads_bars_beside_quotes_may_declare_both() -> None:
    start({Kind.QUOTES, Kind.BARS}, indicators=["rsi"], features=("rsi14",))


def test_strategy_that_reads_no_bars_may_declare_empty_lists() -> None:
    start({Kind.QUOTES}, indicators=[], features=())


@pytest.mark.parametrize(("page", "name"), [("indicators.md", "Reversal"), ("features.md", "Leaning")])
def test_strategy_in_the_docs_runs(tmp_path: Path, page: str, name: str) -> None:
    example = re.search(r"```python\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL)
    assert example is not None
    (tmp_path / "example.py").write_text(example[1], encoding="utf-8")
    closes = [100.0 + 0.1 * abs(row % 40 - 20) for row in range(100)]
    prices = dict.fromkeys(("open", "high", "low", "close"), closes)
    bars = Stream.of("X", {"ts": range(S, 101 * S, S), **prices}, kind=Kind.BARS, interval_ns=S)
    chosen = settings(strategy__name=f'"{tmp_path / "example.py"}:{name}"')
    report = run_in_memory(chosen, as_read(chosen, tape_of([bars])))
    assert sum(report.codes.values()) == 100
    assert (report.codes["entry"] > 0) is (name == "Reversal")
