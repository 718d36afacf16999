"""Runs of earlier record formats: one line says which commit reads them, and lists still have them."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from autohedge.core.errors import Misconfigured
from autohedge.journal import RunFolder
from autohedge.journal.genesis import LAST_READERS, StudyMark
from tests.forged_record_factory import rewrite
from tests.process_harness import ROOT, ProcessHarness

RECORDED = Path(__file__).parent / "format_3_run"
RUN = "20261130T225200-momentum-159fc8"
LINE = (
    "this run has record format 3, made by autohedge 0.3.0; this version reads format 4: "
    f"git commit {LAST_READERS[3]} reads it, see docs/record.md\n"
)
VERBS = [
    ("replay", RUN),
    ("replay", RUN, "--engine-only"),
    ("journal", "verify", RUN),
    ("audit", RUN),
    ("whatif", RUN, "--set", "risk.max_order_notional=1"),
    ("prompts", "diff", RUN),
    ("runs", "show", RUN),
    ("runs", "export", RUN),
    ("runs", "pack", RUN),
    ("restart", RUN),
]


@pytest.fixture
def runs(tmp_path: Path) -> ProcessHarness:
    """A working directory with a run of format 3."""
    shutil.copytree(RECORDED, tmp_path / "runs" / RUN)
    return ProcessHarness(tmp_path, {})


@pytest.mark.parametrize("finished", [True, False])
@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_verb_names_the_commit_that_reads_an_old_run(
    runs: ProcessHarness, verb: tuple[str, ...], finished: bool
) -> None:
    folder = runs.path / "runs" / RUN
    if not finished:
        (folder / "results.json").unlink()
    before = sorted(runs.path.rglob("*"))
    done = runs.call(*verb)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith(LINE) and done.stderr.count("\n") == 1
    assert sorted(runs.path.rglob("*")) == before


def test_old_run_is_listed_with_the_figures_of_its_results(runs: ProcessHarness) -> None:
    done = runs.call("runs", "list")
    assert done.returncode == 0 and RUN in done.stdout and "288" in done.stdout
    listed = json.loads(runs.call("runs", "list", "--json").stdout)
    assert listed == {"runs": [{"run": RUN, "finished": True, "study": None}]}


def test_old_simulation_of_a_what_if_is_not_the_last_run(runs: ProcessHarness) -> None:
    folder = RunFolder(runs.path / "runs" / RUN)
    rewrite(folder, lambda lines: lines[0]["genesis"].update(study={"run": "a", "part": "variant"}))
    assert folder.study == StudyMark("a", "variant")
    assert "there is no run last" in runs.call("replay", "last").stderr


def test_run_of_a_newer_format_names_the_version_that_made_it(runs: ProcessHarness) -> None:
    folder = RunFolder(runs.path / "runs" / RUN)
    rewrite(folder, lambda lines: lines[0]["genesis"].update(format=99, autohedge="7.0", tape=5))
    with pytest.raises(
        Misconfigured, match=r"format 99, made by autohedge 7\.0; .* use the one that made it"
    ):
        RunFolder.find(str(folder.path))


def test_page_of_the_record_shows_how_to_use_the_commit() -> None:
    page = (ROOT / "docs/record.md").read_text(encoding="utf-8")
    assert f"git worktree add ../autohedge-format-3 {LAST_READERS[3]}\n" in page


def _has_history() -> bool:
    if not (ROOT / ".git").exists():
        return False
    asked = ["git", "rev-parse", "--is-shallow-repository"]
    return subprocess.run(asked, cwd=ROOT, capture_output=True, check=True).stdout.strip() == b"false"


@pytest.mark.skipif(not _has_history(), reason="a copy without the whole history")
def test_commit_that_is_named_for_format_3_reads_it() -> None:
    shown = ["git", "show", f"{LAST_READERS[3]}:autohedge/journal/genesis.py"]
    assert b"FORMAT = 3" in subprocess.run(shown, cwd=ROOT, capture_output=True, check=True).stdout
