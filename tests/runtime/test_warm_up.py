"""Every kernel that a run calls is loaded before its clock starts."""

import gc
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numba
import numpy as np
import pytest
from numba.core.dispatcher import Dispatcher

from autohedge.app import as_read, engine_for
from autohedge.kernels.code_cache import CodeCache
from autohedge.market import Kind, Stream, SyntheticSpec, Tape, synthesize, tape_of
from autohedge.runtime.warm_up import load_kernels, warm_up
from tests.market.book_factory import batch, message
from tests.process_harness import ROOT
from tests.run_harness import play, settings

TAPE = synthesize(SyntheticSpec(hours=1 / 60, quotes_per_s=20, seed=4))
EAGER: dict[str, Any] = {
    "momentum__min_edge_bps": 0,
    "momentum__warmup_count": 0,
    "momentum__evaluate_every_quotes": 1,
    "execution__time_in_force": '"gtc"',
    "simulated__order_latency_ms": 200,
    "hybrid__gate_refresh_quotes": 5,
    "hybrid__min_refresh_s": 0,
}
Called = set[tuple[str, tuple[Any, ...]]]


class _Kernel:
    """A kernel that notes the types of its arguments: machine code belongs to one signature."""

    def __init__(self, kernel: Dispatcher, called: Called) -> None:
        self._kernel, self._called = kernel, called

    def __call__(self, *values: object) -> object:
        self._called.add((self._kernel.py_func.__name__, tuple(map(numba.typeof, values))))
        return self._kernel(*values)


def _kernels() -> Iterator[tuple[Any, str, Dispatcher]]:
    """Yields each name in the package that refers to a kernel, as module, name and kernel."""
    for module in [module for name, module in sys.modules.items() if name.startswith("autohedge.")]:
        for name, value in list(vars(module).items()):
            if isinstance(value, Dispatcher) and isinstance(getattr(value, "_cache", None), CodeCache):
                yield module, name, value


@pytest.fixture
def compiled() -> None:
    """Compiles the kernels of a book, which cannot be compiled while the kernels that they call are replaced."""
    wanted = settings(**EAGER, strategy__name=f"{ROOT}/examples/order_flow.py:OrderFlow")
    play(wanted, as_read(wanted, _mixed()))


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> Called:
    """Every kernel called from Python, with the types of its arguments."""
    called: Called = set()
    for module, name, kernel in _kernels():
        monkeypatch.setattr(module, name, _Kernel(kernel, called))
    return called


@pytest.mark.parametrize(
    ("changes", "at_least"),
    [
        ({}, {"scan", "last_valid", "first_touch", "net_and_gross"}),
        ({"trading__mode": "hybrid", "hybrid__starts_open": True}, {"fold_recent"}),
        ({"trading__mode": "llm"}, {"scan", "fold_recent"}),
        ({"strategy__name": f"{ROOT}/examples/breakout.py:Breakout"}, {"check_one", "last_valid"}),
    ],
    ids=["hft", "hybrid", "llm", "python"],
)
def test_run_calls_no_kernel_that_was_not_loaded(
    called: Called, changes: dict[str, Any], at_least: set[str]
) -> None:
    wanted = settings(**EAGER, **changes)
    load_kernels(engine_for(wanted, TAPE), TAPE.rows)
    loaded = called.copy()
    called.clear()
    play(wanted, TAPE)
    assert called <= loaded
    assert {name for name, _ in called} >= at_least


@pytest.mark.parametrize(
    ("changes", "at_least"),
    [
        ({"strategy__name": f"{ROOT}/examples/order_flow.py:OrderFlow"}, {"scan_prices", "imbalance", "run"}),
        ({"strategy__name": "crossover", "bars__every": '"1s"'}, {"scan_mixed"}),
    ],
    ids=["python", "crossover"],
)
def test_run_on_several_kinds_calls_no_kernel_that_was_not_loaded(
    compiled: None, called: Called, changes: dict[str, Any], at_least: set[str]
) -> None:
    wanted, tape = settings(**EAGER, **changes), as_read(settings(**EAGER, **changes), _mixed())
    load_kernels(engine_for(wanted, tape), tape.rows)
    loaded = called.copy()
    called.clear()
    play(wanted, tape)
    assert called <= loaded
    assert {name for name, _ in called} >= at_least


def _mixed() -> Tape:
    """Returns the quotes of the first symbol, with a trade and a message of the book at each."""
    quotes = TAPE.streams[0]
    columns = {name: column[:400] for name, column in quotes.columns.items()}
    rows = len(columns["ts"])
    trades = {"ts": columns["ts"], "price": columns["bid"], "size": np.ones(rows), "side": np.ones(rows)}
    messages = batch([message([("bid", 9.0, 2.0), ("ask", 10.0, 1.0)]) for _ in range(rows)])
    return tape_of(
        [
            Stream.of(quotes.symbol, columns),
            Stream.of(quotes.symbol, trades, kind=Kind.TRADES),
            Stream.of_book(quotes.symbol, replace(messages, ts=columns["ts"])),
        ]
    )


def test_warm_up_leaves_the_engine_unchanged() -> None:
    wanted = settings(**EAGER)
    engine = engine_for(wanted, TAPE)
    before = engine.kernel_states.copy(), engine.result(), engine.seq, engine.pos
    warm_up(engine, TAPE.rows)
    assert gc.get_freeze_count() and gc.isenabled()
    gc.unfreeze()
    assert (engine.kernel_states.tobytes(), *before[1:]) == (
        before[0].tobytes(),
        engine.result(),
        engine.seq,
        engine.pos,
    )
    assert not engine.log
