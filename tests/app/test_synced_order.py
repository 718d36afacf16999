"""Whatever of a run folder is synced is a sound record, at every moment of the run.

What makes each file survive a power failure, and before what:

| file | synced |
|---|---|
| `files/*` | whole, with its name, before the run is published, or before the journal's line that names it |
| `journal.jsonl` | its first line before the run is published; lines with nonces at once; with `power` each order |
| `launch.json` | before the run is published; with the id of the venue before the first order |
| `transcript.jsonl` | the lines of an answer of a model before the decision that names them is journaled |
| `transcript/*` | whole, with its name, before its lines are cut from `transcript.jsonl` |
| `results.json` | whole, with its name, after the whole journal |
| `tape/*` | whole, with its name |
| `summary.json`, `reserve`, `control.sock`, `torn-at-*` | never: none is needed |
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from autohedge import app
from autohedge.app import wall_run
from autohedge.app.records import pack
from autohedge.app.restart import restart
from autohedge.app.verification import check_record
from autohedge.app.wall_run import LaunchOptions
from autohedge.config import Settings
from autohedge.core.events import Decision, SubmitOrder
from autohedge.graph import runtime
from autohedge.journal import RunFolder, read, verify
from autohedge.journal.folder import LAUNCH
from autohedge.llm import transcript
from autohedge.market import TapeSource, open_tape
from tests.graph.record_factory import ANSWER, TIGHT
from tests.run_harness import settings
from tests.synced_files import Image, SyncedFiles, following_syncs

SMALL: dict[str, Any] = TIGHT | {
    "synthetic__hours": 0.05,
    "synthetic__symbols": '["BTC/USD"]',
    "llm__provider": '"rules"',
    "journal__durability": '"power"',
    "hybrid__gate_refresh_quotes": 40,
    "hybrid__min_refresh_s": 0,
    "hybrid__learn_every_trades": 1,
    "hybrid__deadline_s": 120,
    "llm__min_interval_s": 5,
    "agents__director__min_confidence_pct": 0,
}


@pytest.fixture
def synced(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SyncedFiles]:
    # Answers of the rules count as those of a model, which are synced in virtual time too.
    monkeypatch.setattr(runtime, "NO_MODELS", frozenset())
    monkeypatch.setattr(transcript, "SEGMENT_BYTES", 20_000)
    with following_syncs(workplace) as synced:
        yield synced


def _wanted(mode: str) -> Settings:
    """Returns the settings of a short run with trades in this mode."""
    Path("script.jsonl").write_text(f"{json.dumps(ANSWER)}\n" * 200)
    scripted = {"llm__provider": '"scripted"', "llm__script": '"script.jsonl"'}
    return settings(**SMALL | {"trading__mode": f'"{mode}"'} | (scripted if mode == "hybrid" else {}))


def _left(image: Image, to: Path) -> RunFolder | None:
    """Returns what a power failure leaves of the only run; None if it leaves no run."""
    runs = list((image.write(to) / "runs").glob("*"))
    return RunFolder(runs[0]) if runs else None


def _require_sound(synced: SyncedFiles, to: Path, *, on_clock: bool) -> list[RunFolder]:
    """Verifies what each sync leaves; returns the run folders."""
    left = [_left(image, to / str(number)) for number, image in enumerate(synced.images)]
    folders = [folder for folder in left if folder]
    assert all(left[left.index(folders[0]) :])
    for folder in folders:
        assert check_record(folder).damage == []
        assert (folder.path / LAUNCH).is_file() is on_clock
    assert folders[-1].results.is_file() and not folders[0].results.is_file()
    return folders


def _count(folder: RunFolder, kind: type) -> int:
    return sum(isinstance(line.event, kind) for line in read(folder.journal))


def _restarts(folders: list[RunFolder]) -> None:
    """Restarts what a few of the syncs left; each ends as a sound record."""
    unfinished = [folder for folder in folders if not folder.results.is_file()]
    for folder in (unfinished[0], unfinished[len(unfinished) // 2], unfinished[-1]):
        restart(folder)
        assert verify(folder).finished
        assert app.replay_engine(folder) == (None, True)


def _segments(folders: list[RunFolder]) -> list[Path]:
    """Returns the segments of the transcript in the last folder."""
    return list(folders[-1].path.glob("transcript/*.gz"))


@pytest.mark.parametrize("mode", ["hft", "hybrid", "llm"])
def test_synced_part_of_a_run_in_virtual_time_is_always_sound(
    mode: str, synced: SyncedFiles, tmp_path: Path
) -> None:
    wanted = _wanted(mode)
    app.run(wanted, app.tape_for(wanted, []))
    folders = _require_sound(synced, tmp_path / "left", on_clock=False)
    assert _count(folders[-1], SubmitOrder)
    answers = [len(folder.transcript.read_bytes()) for folder in folders if folder.transcript.is_file()]
    assert (len(set(answers)) > 3 and _segments(folders)) or mode == "hft"
    _restarts(folders)


@pytest.mark.parametrize("mode", ["hft", "hybrid", "llm"])
def test_synced_part_of_a_seeded_run_on_a_clock_is_always_sound(
    mode: str, synced: SyncedFiles, tmp_path: Path
) -> None:
    wanted = _wanted(mode)
    wall_run.start(wanted, app.tape_for(wanted, []), LaunchOptions(), seeded=True)
    folders = _require_sound(synced, tmp_path / "left", on_clock=True)
    orders = [_count(folder, SubmitOrder) for folder in folders]
    assert orders[-1] and len(set(orders)) > orders[-1] // 2, "each order is synced"
    _restarts(folders)


@pytest.mark.process
def test_answers_of_a_worker_are_synced_before_their_decision(synced: SyncedFiles, tmp_path: Path) -> None:
    wanted = _wanted("llm")
    wall_run.start(wanted, app.tape_for(wanted, []), LaunchOptions(speed=200.0), seeded=False)
    folders = _require_sound(synced, tmp_path / "left", on_clock=True)
    decisions = {_count(folder, Decision) for folder in folders}
    assert max(decisions) > 3 and len(decisions) > 3
    assert _segments(folders)


def test_venue_id_survives_before_the_first_order(synced: SyncedFiles, tmp_path: Path) -> None:
    folder = RunFolder.create_draft("run")
    folder.write_launch({"venue_port": 1})
    folder.journal.write_bytes(b"")
    folder.publish("run").write_launch({"venue_port": 1, "venue_id": "a"})
    left = _left(synced.images[-1], tmp_path / "left")
    assert left and left.read_launch() == {"venue_port": 1, "venue_id": "a"}


def test_packed_tape_is_there_whole_or_not_at_all(
    synced: SyncedFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOHEDGE_CACHE_DIR", str(tmp_path / "cache"))
    quotes = pl.DataFrame({"ts_ns": [10**18, 10**18 + 1], "bid": [1.0, 1.0], "ask": [2.0, 2.0]})
    quotes.write_csv("quotes.csv")
    folder = RunFolder.find(app.run(settings(), open_tape([TapeSource(Path("quotes.csv"), "X")])).run)
    (packed,) = pack(folder)
    sizes = {
        copy.stat().st_size
        for number, image in enumerate(synced.images)
        if (left := _left(image, tmp_path / "left" / str(number)))
        for copy in left.tape.glob(packed.name)
    }
    assert sizes == {packed.stat().st_size}
