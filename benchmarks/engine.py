"""Row `engine`: the engine in virtual time with its journal, as a cost per quote and a cost per order."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from autohedge.core.accounts import OpeningAccount
from autohedge.core.reasons import Reason
from autohedge.engine.engine import Engine
from autohedge.market import Tape
from benchmarks import kernel, session
from benchmarks.row import Row, Spent, Timed, clocked, interleaved

QUOTE_BOUND_NS, ORDER_BOUND_US, ORDER_AIM_US = 6.0, 45.0, 35.0
POINT_BOUND_US = 5.0
ROUNDS = 9


def measure(quotes: int) -> list[Row]:
    """Measures a run that never trades, for the cost of a quote, and a trading run, for that of an order."""
    tape = session.tape(quotes)
    with tempfile.TemporaryDirectory() as folder:
        runs: dict[str, Callable[[], Engine]] = {
            "quiet": _run(quotes, session.NEVER_TRADES, Path(folder)),
            "trading": _run(quotes, [], Path(folder)),
        }
        traded = runs["trading"]()
        _require_same_decisions(quotes, traded)
        variants = {name: _timed(run) for name, run in runs.items()}
        _, loops = kernel.loops(tape, session.NEVER_TRADES)
        spent = interleaved(variants | loops, ROUNDS)
    return [
        _quote_row(spent, quotes),
        _order_row(spent, len(traded.stats.fills)),
        _series_row(traded, session.tape(quotes)),
    ]


def _run(quotes: int, overrides: list[str], folder: Path) -> Callable[[], Engine]:
    wanted = session.settings(overrides)
    return lambda: session.play_recorded(wanted, session.tape(quotes), folder)


def _timed(run: Callable[[], Engine]) -> Callable[[], Spent]:
    return lambda: clocked(run)


def _quote_row(spent: dict[str, list[Spent]], quotes: int) -> Row:
    times = {name: Timed.cpu(runs) for name, runs in spent.items()}
    quiet, wall = times["quiet"], Timed.wall(spent["quiet"])
    median, least = (seconds / quotes * 1e9 for seconds in (quiet.median, quiet.least))
    ratios = ", ".join(
        f"{quiet.median / times[name].median:.2f}x (least {quiet.least / times[name].least:.2f}x) {label}"
        for name, label in (("numba", "the kernel alone"), ("c", "C"))
        if name in times
    )
    figure = f"{median:.2f} ns (least {least:.2f})"
    note = f"processor time; {ratios}; wall {wall.median / quotes * 1e9:.2f}"
    return Row("engine, a quote", f"<= {QUOTE_BOUND_NS:g} ns", figure, median <= QUOTE_BOUND_NS, note)


def _order_row(spent: dict[str, list[Spent]], orders: int) -> Row:
    """Takes the difference round by round: the two runs of a round ran under the same load."""
    rounds = list(zip(spent["trading"], spent["quiet"], strict=True))
    added = Timed(tuple((trading.cpu_s - quiet.cpu_s) / orders * 1e6 for trading, quiet in rounds))
    wall = Timed(tuple((trading.wall_s - quiet.wall_s) / orders * 1e6 for trading, quiet in rounds))
    whole = Timed.wall(spent["trading"])
    figure = f"{added.median:.1f} us (least {added.least:.1f})"
    note = (
        f"processor time; wall {wall.median:.1f} (least {wall.least:.1f}); "
        f"{orders} orders, all filled; whole run {whole.median:.3f} s"
    )
    bound = f"<= {ORDER_BOUND_US:g} us (aim {ORDER_AIM_US:g})"
    return Row("engine, an order", bound, figure, added.median <= ORDER_BOUND_US, note)


def _series_row(engine: Engine, tape: Tape) -> Row:
    """Measures what the equity series costs once, at the end of a run."""
    rows, account = tape.rows, OpeningAccount(engine.ledger.initial_cash)
    spent = Timed.cpu(
        [clocked(lambda: engine.equity_history.series(rows, engine.pos, account)) for _ in range(ROUNDS)]
    )
    points = len(engine.equity_history.series(rows, engine.pos, account))
    median_us, least_us = (seconds / points * 1e6 for seconds in (spent.median, spent.least))
    figure = f"{median_us:.1f} us (least {least_us:.1f})"
    note = (
        f"processor time, once at the end of the run; {points:,} points, {spent.median * 1e3:.1f} ms in all"
    )
    bound = f"<= {POINT_BOUND_US:g} us"
    return Row("equity series, a point", bound, figure, median_us <= POINT_BOUND_US, note)


def _require_same_decisions(quotes: int, engine: Engine) -> None:
    """Raises AssertionError unless the engine, without latency, decides exactly as the bare kernel."""
    played, loops = kernel.loops(session.tape(quotes), [])
    loops["numba"]()
    counts = played.lanes["counts"].sum(axis=0)
    if engine.codes() != {reason.label: int(counts[reason]) for reason in Reason}:
        msg = "the engine and the bare kernel decide differently on one tape"
        raise AssertionError(msg)
