"""Recorded runs on tapes of several kinds of rows: their results, their replay, and changed rows."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from autohedge import app
from autohedge.app.restart import restart
from autohedge.app.verification import check_record
from autohedge.core.errors import Corrupt
from autohedge.core.results import RunReport
from autohedge.journal import RunFolder
from autohedge.market import parse_source
from autohedge.market.bar_aggregator import bars_of
from autohedge.market.bar_file import write_bars
from autohedge.market.bar_input import open_bar_input
from autohedge.market.bar_spec import BarSpec
from tests.run_harness import settings

EXAMPLE = Path(__file__).parents[2] / "examples" / "order_flow.py"
EAGER: dict[str, Any] = {
    "momentum__min_edge_bps": 0.5,
    "exits__take_profit_bps": 1,
    "exits__stop_loss_bps": 1,
    "simulated__order_latency_ms": 30,
}
FLOW: dict[str, Any] = {"strategy__name": f'"{EXAMPLE}:OrderFlow"', "simulated__order_latency_ms": 30}
BARS: dict[str, Any] = {
    "strategy__name": "crossover",
    "crossover__fast": 2,
    "crossover__slow": 5,
    "bars__every": '"1s"',
}


@pytest.fixture
def tape(shared: Path, workplace: Path) -> list[str]:
    """Copies of a recorded instrument's quotes, trades and book, and funding of the same time."""
    folder = shared / "data/binance/usdm"
    names = [f"BTCUSDT_20240808_{kind}.parquet" for kind in ("quotes", "trades", "l2")]
    for name in names:
        Path(name).write_bytes((folder / name).read_bytes())
    first, last = pl.read_parquet(names[0], columns=["ts_ns"])["ts_ns"][[0, -1]].to_list()
    stamps = range(first, last, (last - first) // 5)
    pl.DataFrame({"ts_ns": stamps, "funding_rate": [1e-4] * len(stamps)}).write_parquet(
        "BTCUSDT_funding.parquet"
    )
    return [*names, "BTCUSDT_funding.parquet"]


def run(tape: list[str], **changes: Any) -> tuple[RunReport, RunFolder]:
    wanted = settings(**changes)
    report = app.run(wanted, app.tape_for(wanted, [parse_source(name) for name in tape]))
    return report, RunFolder.find(report.run)


def traded(report: RunReport) -> list[tuple[object, ...]]:
    return [(fill.ts_ns, fill.side, fill.qty, fill.price) for fill in report.parsed_fills()]


def require_sound(folder: RunFolder, streams: int) -> None:
    assert app.replay_engine(folder) == (None, True)
    found = check_record(folder)
    assert not found.damage
    assert found.parts["tape"].counts["streams"] == streams


def test_run_on_all_kinds_has_the_results_of_its_quotes_alone(tape: list[str]) -> None:
    alone, _ = run(tape[:1], **EAGER)
    beside, folder = run(tape, **EAGER)
    assert len(beside.fills) > 5
    assert (beside.fills, beside.codes, beside.cash) == (alone.fills, alone.codes, alone.cash)
    require_sound(folder, 4)


def test_run_that_reads_prints_and_book_replays(tape: list[str]) -> None:
    report, folder = run(tape, **FLOW)
    assert len(report.fills) > 5
    require_sound(folder, 4)


def test_run_on_made_bars_replays_from_the_files_alone(tape: list[str]) -> None:
    report, folder = run(tape[1:3], **BARS)  # priced by the book
    assert len(report.fills) > 5
    require_sound(folder, 2)


def test_bars_that_were_written_and_read_back_give_the_same_orders(tape: list[str]) -> None:
    made, _ = run(tape[:2], **BARS)
    spec = BarSpec.of("1s")
    trades = open_bar_input([parse_source(tape[1])], None)
    write_bars(bars_of(trades, spec), spec, Path("BTCUSDT_1s_bars.parquet"))
    recorded, folder = run([tape[0], "BTCUSDT_1s_bars.parquet"], **BARS)
    assert len(made.fills) > 5
    assert (recorded.fills, recorded.codes) == (made.fills, made.codes)
    require_sound(folder, 2)


@pytest.mark.parametrize(("number", "changes"), [(1, EAGER), (1, FLOW), (2, FLOW), (3, EAGER)])
def test_a_changed_row_of_any_kind_is_found(tape: list[str], number: int, changes: dict[str, Any]) -> None:
    _, folder = run(tape, **changes)
    frame, column = pl.read_parquet(tape[number]), "funding_rate" if number == 3 else "price"
    at = len(frame) // 2
    changed = frame[column].to_list()
    changed[at] *= 1.5
    frame.with_columns(pl.Series(column, changed)).write_parquet(tape[number])
    with pytest.raises(Corrupt, match=tape[number]):
        app.replay_engine(folder)
    assert tape[number] in check_record(folder).parts["tape"].damage


def test_a_run_restarts_where_it_was_cut(tape: list[str]) -> None:
    report, folder = run(tape, **FLOW)
    lines = folder.journal.read_bytes().splitlines(keepends=True)
    folder.journal.write_bytes(b"".join(lines[: len(lines) // 2]))
    folder.results.unlink()
    restarted = restart(folder)
    # The ids of its orders are new ones.
    assert traded(restarted) == traded(report)
    require_sound(folder, 4)


FEATURES = """
from autohedge.strategies import Kind, Signal, Strategy


class Leaning(Strategy):
    reads = Kind.BARS
    features = ["default", "regime_t"]

    def on_bar(self, bar):
        row = bar.features
        if row["imbalance5"] > 0.2 and row["bid"] < row["ask"]:
            return Signal.BUY
        return Signal.SELL if row["imbalance5"] < -0.2 else None
"""


def test_a_run_on_features_replays_and_restarts(tape: list[str]) -> None:
    Path("leaning.py").write_text(FEATURES)
    wanted: dict[str, Any] = {"strategy__name": '"leaning.py:Leaning"', "bars__every": '"1s"'}
    report, folder = run(tape, **wanted)
    assert len(report.fills) > 5
    require_sound(folder, 4)
    lines = folder.journal.read_bytes().splitlines(keepends=True)
    folder.journal.write_bytes(b"".join(lines[: len(lines) // 2]))
    folder.results.unlink()
    restarted = restart(folder)
    assert (restarted.restarts, restarted.codes) == (1, report.codes)
    assert app.replay_engine(folder) == (None, True)
