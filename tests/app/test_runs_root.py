"""Runs in folders of runs other than `./runs`: recorded, found, restarted and studied there."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from autohedge import app
from autohedge.app import wall_run
from autohedge.app.restart import restart
from autohedge.app.verification import check_record
from autohedge.app.wall_run import LaunchOptions
from autohedge.core.errors import Misconfigured, Unavailable
from autohedge.journal import RunFolder
from autohedge.whatif import Change, study
from tests.run_harness import settings

SHORT = {"synthetic__hours": 0.05, "synthetic__symbols": '["A/USD"]', "momentum__lookback": 5}


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_two_runs_of_one_process_record_in_two_folders(workplace: Path) -> None:
    roots = [workplace / "one", Path("two", "runs")]
    roots[1].parent.mkdir()
    wanted = settings(**SHORT)
    tape = app.tape_for(wanted, [])
    with ThreadPoolExecutor(2) as pool:
        reports = list(pool.map(lambda root: app.run(wanted, tape, root=root), roots))
    for root, report in zip(roots, reports, strict=True):
        assert _names(root) == [report.run]
        (folder,) = RunFolder.all(root)
        assert folder.path == RunFolder.find("last", root=root).path == root / report.run
        assert not check_record(folder).damage and app.replay_engine(folder) == (None, True)
        with pytest.raises(Misconfigured, match="there are no runs here yet"):
            RunFolder.find(report.run)
    assert reports[0].journal_head == reports[1].journal_head
    assert _names(workplace) == ["one", "two"] and _names(Path("two")) == ["runs"]


@pytest.mark.parametrize("on_clock", [False, True])
def test_interrupted_run_is_restarted_where_it_is(workplace: Path, on_clock: bool) -> None:
    wanted, root = settings(**SHORT), Path("other")
    tape = app.tape_for(wanted, [])
    if on_clock:
        report = wall_run.start(wanted, tape, LaunchOptions(), seeded=True, root=root)
    else:
        report = app.run(wanted, tape, root=root)
    folder = RunFolder.find(report.run, root=root)
    whole = folder.journal.read_bytes()
    folder.results.unlink()
    folder.journal.write_bytes(b"".join(whole.splitlines(keepends=True)[:9]))
    again = restart(folder)
    assert (again.buys, again.equity, again.restarts) == (report.buys, report.equity, 1)
    assert not check_record(folder).damage
    assert _names(workplace) == ["other"] and _names(root) == [report.run]


def test_study_of_a_run_records_in_the_folder_that_it_is_given(workplace: Path) -> None:
    wanted = settings(**SHORT)
    report = app.run(wanted, app.tape_for(wanted, []), root=Path("mine"))
    change = Change(overrides=("exits.take_profit_bps=5",))
    found = study(RunFolder.find(report.run, root=Path("mine")), change, root=Path("studies"))
    assert _names(workplace) == ["mine", "studies"]
    assert _names(Path("studies")) == sorted([found.runs.baseline.run, found.runs.variant.run])


def test_folder_of_runs_that_cannot_be_made_is_named(workplace: Path) -> None:
    Path("file").write_text("in the way")
    wanted = settings(**SHORT)
    with pytest.raises(Unavailable, match="file: Not a directory"):
        app.run(wanted, app.tape_for(wanted, []), root=Path("file", "runs"))
