"""The record of a run on a live store: how it begins, and what a changed store does to it."""

import json
from pathlib import Path

import numpy as np
import pytest

from autohedge import app
from autohedge.app import wall_run
from autohedge.app.restart import restart
from autohedge.app.verification import check_record
from autohedge.app.wall_run import LaunchOptions
from autohedge.core.errors import Corrupt, Misconfigured
from autohedge.core.events import EndOfTape, Restarted
from autohedge.journal import RunFolder, read
from autohedge.market import LiveStoreWriter, SyntheticSpec, open_tape, parse_source, synthesize
from autohedge.market.store_files import encode_state
from autohedge.whatif.recorded_run import read_record
from tests.market.store_factory import part
from tests.run_harness import play, settings

WANTED = settings(
    momentum__min_edge_bps=0,
    momentum__warmup_count=2,
    momentum__evaluate_every_quotes=2,
    exits__take_profit_bps=3,
    exits__stop_loss_bps=2,
    simulated__order_latency_ms=50,
)
TAPE = synthesize(SyntheticSpec(("BTC", "ETH"), hours=0.1, quotes_per_s=5.0, seed=3))


@pytest.fixture
def store(workplace: Path) -> Path:
    return workplace / "market"


@pytest.fixture
def folder(store: Path) -> RunFolder:
    """A run that began while the store was empty, and ended when it was closed."""
    with LiveStoreWriter(store, TAPE.symbols) as writer:
        tape = open_tape([parse_source(str(store))], growing=True)
        writer.append(TAPE.rows)
    report = wall_run.start(WANTED, tape, LaunchOptions(), seeded=True)
    assert report.buys > 5
    return RunFolder.find(report.run)


def test_genesis_names_the_store_and_has_no_hash(folder: RunFolder, store: Path) -> None:
    genesis = json.loads(folder.journal.read_bytes().splitlines()[0])["genesis"]
    named = json.loads((store / "store.json").read_bytes())["id"]
    assert [(each["symbol"], each["store"], each["path"]) for each in genesis["tape"]] == [
        ("BTC", named, str(store)),
        ("ETH", named, str(store)),
    ]
    assert {each["content_hash"] for each in genesis["tape"]} == {""}


def test_record_is_that_of_the_tape_in_virtual_time(folder: RunFolder) -> None:
    _, *lines = read(folder.journal)
    assert [line.entry for line in lines] == play(WANTED, TAPE).record
    assert app.replay_engine(folder) == (None, True)
    assert check_record(folder).parts["tape"].counts["sealed_rows"] == len(TAPE)


def test_run_on_a_store_is_restarted_where_its_record_ends(folder: RunFolder) -> None:
    whole = folder.journal.read_bytes().splitlines(keepends=True)
    folder.results.unlink()
    folder.journal.write_bytes(b"".join(whole[: len(whole) // 2]) + whole[len(whole) // 2][:30])
    report = restart(folder)
    assert report.restarts == 1 and report.quotes == len(TAPE)
    events = [line.event for line in read(folder.journal)]
    assert sum(isinstance(event, Restarted) for event in events) == 1
    assert isinstance(events[-2], EndOfTape)
    assert app.replay_engine(folder) == (None, True)


def test_changed_row_of_a_store_is_named_by_its_seal(folder: RunFolder, store: Path) -> None:
    np.memmap(store / "bid", "<f8", "r+")[9] += 0.5
    named = rf"market: rows 0 to {len(TAPE) - 1:,} are not those that the run traded; restore them"
    with pytest.raises(Corrupt, match=named):
        app.replay_engine(folder)
    assert "are not those that the run traded" in check_record(folder).parts["tape"].damage
    folder.results.unlink()
    with pytest.raises(Corrupt, match=named):
        restart(folder)


def test_rows_that_a_store_has_lost_are_named(folder: RunFolder, store: Path) -> None:
    (store / "state").write_bytes(encode_state(7, closed=True))
    with pytest.raises(
        Corrupt, match=rf"market has 7 rows, but the run took {len(TAPE):,}; restore the others"
    ):
        app.replay_engine(folder)


def test_row_that_goes_back_in_time_ends_a_run(store: Path) -> None:
    writer = LiveStoreWriter(store, TAPE.symbols)
    tape = open_tape([parse_source(str(store))], growing=True)
    writer.append(part(TAPE.rows, 0, 100))
    np.memmap(store / "ts", "<i8", "r+")[50] -= 10**15
    with pytest.raises(Corrupt, match="market: row 50 goes back in time"):
        wall_run.start(WANTED, tape, LaunchOptions(), seeded=True)


def test_open_store_is_refused_by_runs_in_virtual_time(store: Path) -> None:
    LiveStoreWriter(store, TAPE.symbols).append(TAPE.rows)
    tape = open_tape([parse_source(str(store))], growing=True)
    for trade in (app.run, app.run_in_memory):
        with pytest.raises(Misconfigured, match="market: its writer has not closed it yet"):
            trade(WANTED, tape)
    with pytest.raises(Misconfigured, match="market: its writer has not closed it yet"):
        tape.between(0, 2**62)
    assert not Path("runs").exists()


def test_what_if_of_a_run_waits_until_its_store_is_closed(folder: RunFolder, store: Path) -> None:
    assert len(read_record(folder).tape) == len(TAPE)
    (store / "state").write_bytes(encode_state(len(TAPE), closed=False))
    with pytest.raises(Misconfigured, match="market: its writer has not closed it yet"):
        read_record(folder)
