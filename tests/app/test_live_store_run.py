"""A run trades a live store as its writer appends to it, and its record is that of the finished tape."""

import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from autohedge import app
from autohedge.app.verification import check_record
from autohedge.core.events import JournalEntry, Restarted, SubmitOrder, TapeSealed
from autohedge.core.ids import seeded_random
from autohedge.journal import RunFolder, read
from autohedge.market import LiveStore, SyntheticSpec, open_tape, parse_source, synthesize, write_parquet
from autohedge.market.store_files import is_store
from tests.market.store_factory import store_of
from tests.process_harness import ROOT, ProcessHarness, kill, wait
from tests.run_harness import settings

pytestmark = pytest.mark.process

EAGER: dict[str, Any] = {
    "momentum__min_edge_bps": 0,
    "momentum__warmup_count": 2,
    "momentum__evaluate_every_quotes": 2,
    "exits__take_profit_bps": 3,
    "exits__stop_loss_bps": 3,
    "execution__time_in_force": "gtc",
    "execution__cancel_after_s": 5,
    "simulated__order_latency_ms": 50,
    "simulated__response_latency_ms": 50,
    "simulated__latency_jitter_ms": 200,
}
SOL = "hyperliquid/SOL-USD-PERP_20250904_quotes.parquet"
Record = list[JournalEntry]


class StoreHarness:
    """A tape, the process that writes its rows to a live store, and the runs that trade the store."""

    def __init__(self, path: Path, tape: Path, seed: int) -> None:
        self.path, self.tape, self.store = path, tape, path / "market"
        self.draw = seeded_random(str(seed), "moments")
        market = open_tape([parse_source(str(tape))])
        self.rows = len(market)
        self._finished = store_of(path / "finished", market.rows, market.symbols)
        self._writers: list[subprocess.Popen[bytes]] = []

    def start_writer(self, share: float = 1.0) -> None:
        """Starts a writer, which goes on where the last one has ended and stops at a share of the rows."""
        values = (self.store, self._finished, int(share * self.rows), self.draw.randrange(10**6))
        command = [sys.executable, "-m", "tests.app.store_writer", *map(str, values)]
        self._writers.append(subprocess.Popen(command, cwd=ROOT))

    def run_folder(self, name: str) -> ProcessHarness:
        """Returns a working directory for one run."""
        (self.path / name).mkdir()
        return ProcessHarness(self.path / name, EAGER)

    def wait_for_rows(self, share: float) -> None:
        """Waits until the store has this share of the tape's rows."""
        writer = self._writers[-1]
        while not is_store(self.store) or len(LiveStore(self.store).rows) < share * self.rows:
            assert writer.poll() is None
            self._wait(0.005)

    def kill_writer(self) -> None:
        """Kills the writer, wherever it is."""
        self._writers[-1].kill()
        self._writers[-1].wait()

    def wait_for_writer(self) -> None:
        """Waits until the writer has closed the store."""
        assert self._writers[-1].wait(60) == 0
        assert LiveStore(self.store).closed

    def end(self) -> None:
        """Ends what still writes."""
        for writer in self._writers:
            writer.kill()
            writer.wait()

    def _wait(self, seconds: float) -> None:
        try:
            self._writers[-1].wait(seconds)
        except subprocess.TimeoutExpired:
            return


@pytest.fixture
def synthetic(tmp_path: Path) -> Iterator[StoreHarness]:
    tape = tmp_path / "BTC_quotes.parquet"
    write_parquet(synthesize(SyntheticSpec(("BTC",), hours=0.2, quotes_per_s=8.0, seed=4)).streams[0], tape)
    harness = StoreHarness(tmp_path, tape, 1)
    yield harness
    harness.end()


def _record(harness: ProcessHarness) -> Record:
    journal = harness.journal()
    assert journal
    _, *lines = read(journal)
    return [line.entry for line in lines]


def _virtual(harness: StoreHarness, monkeypatch: pytest.MonkeyPatch) -> Record:
    """The record of the finished tape in virtual time."""
    folder = harness.run_folder("virtual")
    monkeypatch.chdir(folder.path)
    app.run(settings(**EAGER, seed=7), open_tape([parse_source(str(harness.tape))]))
    record = _record(folder)
    assert sum(isinstance(entry.event, SubmitOrder) for entry in record) > 20
    return record


def _ended(process: Any) -> None:
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err


def _require_whole(harness: ProcessHarness) -> None:
    """Verifies and replays the record of the run."""
    journal = harness.journal()
    assert journal
    folder = RunFolder(journal.parent)
    assert not check_record(folder).damage
    assert app.replay_engine(folder) == (None, True)


def test_run_on_a_growing_store_has_the_record_of_the_tape(
    synthetic: StoreHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    _prove(synthetic, monkeypatch, kills=2)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(12))
def test_many_runs_on_growing_stores_have_the_record_of_the_tape(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    harness = StoreHarness(tmp_path, shared / "data" / SOL, 100 * seed)
    try:
        _prove(harness, monkeypatch, kills=8)
    finally:
        harness.end()


def _prove(harness: StoreHarness, monkeypatch: pytest.MonkeyPatch, kills: int) -> None:
    """Trades a store twice while it grows and its writer is killed: one run lives, the other is killed too."""
    living, killed = harness.run_folder("living"), harness.run_folder("killed")
    command = ("run", "--tape", str(harness.store), "--seed", "7", "-q")
    shares = sorted(harness.draw.uniform(0.1, 0.9) for _ in range(kills))
    harness.start_writer(shares[0])
    harness.wait_for_rows(0.0)
    lives, dies = living.start(*command), killed.start(*command)
    for share, next_share in pairwise([*shares, 1.0]):
        harness.wait_for_rows(share * harness.draw.uniform(0.9, 1.0))
        harness.kill_writer()
        killed.wait_for(dies, b"run_started")
        wait(dies, harness.draw.uniform(0.0, 0.3))
        kill(dies)
        dies = killed.start("restart", "last", "-q")
        harness.start_writer(next_share)
    harness.wait_for_writer()
    _ended(lives)
    _ended(dies)
    whole = _virtual(harness, monkeypatch)
    assert _record(living) == whole
    _require_whole(living)
    record = _record(killed)
    restarts = [at for at, entry in enumerate(record) if isinstance(entry.event, Restarted)]
    assert restarts and record[: restarts[0]] == whole[: restarts[0]]
    sealed = [entry.event for entry in record if isinstance(entry.event, TapeSealed)]
    assert sealed == [entry.event for entry in whole if isinstance(entry.event, TapeSealed)]
    _require_whole(killed)
