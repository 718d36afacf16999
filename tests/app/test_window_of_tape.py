"""Runs of a window of a tape: recorded, replayed, and with a symbol that has no rows in it."""

from pathlib import Path

from autohedge import app
from autohedge.app.venue_server import handshake_for
from autohedge.app.verification import check_record
from autohedge.journal import RunFolder
from tests.run_harness import columns_tape, settings

TRADING = {"synthetic__hours": 0.05, "synthetic__symbols": '["A/USD", "B/USD"]', "momentum__lookback": 5}


def test_run_of_a_window_is_verified_and_replayed(workplace: Path) -> None:
    wanted = settings(**TRADING)
    tape = app.tape_for(wanted, [])
    first_ns = int(tape.rows.ts[100])
    report = app.run(wanted, tape.between(first_ns, int(tape.rows.ts[-50])))
    assert report.buys and report.first_ns == first_ns and report.quotes < len(tape) - 100
    folder = RunFolder.find(report.run)
    assert not check_record(folder).damage
    assert app.replay_engine(folder) == (None, True)


def test_symbol_without_rows_in_a_window_keeps_its_lane(workplace: Path) -> None:
    early = {"ts": [1, 2], "bid": [1, 1], "ask": [2, 2], "bid_size": [1, 1]}
    tape = columns_tape({"A": early, "B": early | {"ts": [3, 4]}}).between(3, 5)
    report = app.run(settings(momentum__use_vwap_filter=True), tape)
    assert report.symbols == ["A", "B"] and report.quotes == 2


def test_venue_of_another_window_is_another_tape() -> None:
    wanted = settings()
    tape = columns_tape({"A": {"ts": [1, 2], "bid": [1, 1], "ask": [2, 2]}})
    both = [handshake_for(wanted, each, "", "") for each in (tape, tape.between(1, 2), tape.between(1, 3))]
    assert len({each.tape for each in both}) == 3
