"""A strategy in a run's folder is executed only if the user has it too, or says so."""

import shutil
from pathlib import Path

import pytest

from autohedge import app
from autohedge.app.records import open_interrupted
from autohedge.app.verification import check_record
from autohedge.audit import AuditFilter, audit
from autohedge.core.errors import Refused
from autohedge.journal import RunFolder
from autohedge.market import SyntheticSpec, synthesize
from autohedge.whatif import Change, study
from tests.run_harness import settings

SOURCE = """
from pathlib import Path
from autohedge.strategies import Strategy
Path({marker!r}).touch()
class Waiting(Strategy):
    def on_quote(self, quote):
        return None
"""


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    return tmp_path / "executed"


@pytest.fixture
def source(marker: Path) -> str:
    return SOURCE.format(marker=str(marker))


@pytest.fixture
def run(workplace: Path, marker: Path, source: str) -> RunFolder:
    """A run of a user's strategy, whose file is gone now."""
    file = workplace / "waiting.py"
    file.write_text(source)
    wanted = settings(strategy__name='"waiting.py:Waiting"')
    results = app.run(wanted, synthesize(SyntheticSpec(hours=0.01, seed=3)))
    file.unlink()
    marker.unlink()
    return RunFolder.find(results.run)


def _is_refused(run: RunFolder, marker: Path) -> bool:
    try:
        app.replay_engine(run)
    except Refused:
        assert not marker.exists()
        return True
    assert marker.exists()
    return False


def test_replay_of_unknown_code_is_refused_in_one_line(run: RunFolder, marker: Path) -> None:
    with pytest.raises(Refused) as refused:
        app.replay_engine(run)
    text = str(refused.value)
    assert "waiting.py:Waiting" in text and "--trust" in text and "\n" not in text
    assert str(run.path / "files") in text and not marker.exists()


def test_replay_of_unknown_code_runs_where_it_is_trusted(run: RunFolder, marker: Path) -> None:
    assert app.replay_engine(run, trust=True) == (None, True)
    assert marker.exists()


def test_what_if_and_restart_of_unknown_code_are_refused(run: RunFolder, marker: Path) -> None:
    with pytest.raises(Refused, match="--trust"):
        study(run, Change(mode="llm"))
    run.results.unlink()
    before = sorted(run.path.iterdir())
    with pytest.raises(Refused, match="--trust"), open_interrupted(run):
        pass
    assert sorted(run.path.iterdir()) == before and not marker.exists()


def test_views_of_unknown_code_never_execute_it(run: RunFolder, marker: Path) -> None:
    assert not check_record(run).damage
    assert audit(run, AuditFilter()).no_question_reason
    assert run.read_results()
    assert not marker.exists()


@pytest.mark.parametrize("place", ["waiting.py", "strategies/renamed.py", "a/b/c/waiting.py"])
def test_the_same_file_in_the_users_folder_is_trusted(
    run: RunFolder, marker: Path, source: str, place: str
) -> None:
    Path(place).parent.mkdir(parents=True, exist_ok=True)
    Path(place).write_text(source)
    assert not _is_refused(run, marker)


def test_another_file_of_that_name_is_not_the_same(run: RunFolder, marker: Path, source: str) -> None:
    Path("waiting.py").write_text(source + "\n")
    assert _is_refused(run, marker)


@pytest.mark.parametrize("place", [".hidden/w.py", "runs/w.py", "site-packages/w.py"])
def test_files_that_are_no_work_of_the_user_do_not_count(
    run: RunFolder, marker: Path, source: str, place: str
) -> None:
    Path(place).parent.mkdir(exist_ok=True)
    Path(place).write_text(source)
    assert _is_refused(run, marker)


def test_a_link_into_the_folder_of_a_run_does_not_count(run: RunFolder, marker: Path) -> None:
    (stored,) = (path for path in run.files() if path.suffix == ".py")
    Path("waiting.py").symlink_to(stored.resolve())
    assert _is_refused(run, marker)


def test_a_file_that_came_with_the_run_does_not_count(run: RunFolder, marker: Path, source: str) -> None:
    shutil.copytree(run.path, Path("sent/runs") / run.id)
    Path("sent/waiting.py").write_text(source)
    assert _is_refused(RunFolder.find(f"sent/runs/{run.id}"), marker)
    Path("waiting.py").write_text(source)
    assert not _is_refused(RunFolder.find(f"sent/runs/{run.id}"), marker)


def test_a_built_in_strategy_needs_no_trust(workplace: Path) -> None:
    results = app.run(settings(), synthesize(SyntheticSpec(hours=0.01, seed=3)))
    assert app.replay_engine(RunFolder.find(results.run)) == (None, True)
