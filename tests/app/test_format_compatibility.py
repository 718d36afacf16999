"""Records of format 4 of another version: added fields are ignored, events of an unknown type name that version."""

from collections.abc import Callable
from pathlib import Path

import pytest

from autohedge import __version__, app
from autohedge.app.verification import check_record
from autohedge.core.errors import Corrupt, Misconfigured
from autohedge.journal import RunFolder, read
from autohedge.journal.chain import read_tail
from tests.forged_record_factory import Lines, first, rewrite
from tests.process_harness import ROOT, ProcessHarness
from tests.run_harness import settings

LATER = "999.0"


@pytest.fixture
def folder(workplace: Path) -> RunFolder:
    """A finished run, to be changed as a later version might have written it."""
    wanted = settings(synthetic__hours=0.02, synthetic__symbols='["BTC/USD"]')
    return RunFolder(RunFolder.find(app.run(wanted, app.tape_for(wanted, [])).run).path.resolve())


def _add_fields(lines: Lines) -> None:
    lines[0]["genesis"] |= {"autohedge": LATER, "funding_rates": ["X"]}
    first(lines, type="account_state")["event"]["isolated_margin"] = {"X": "5"}
    first(lines, type="trading_state_changed")["event"]["pools"] = [1, 2]
    lines[2]["writer_ns"] = 5


def _add_input(writer: str) -> Callable[[Lines], None]:
    def change(lines: Lines) -> None:
        lines[0]["genesis"]["autohedge"] = writer
        first(lines, type="account_state")["event"] = {"type": "funding_settled", "at_ns": 5}

    return change


def test_added_fields_are_ignored_by_verify_and_replay(folder: RunFolder) -> None:
    before = list(read(folder.journal))
    rewrite(folder, _add_fields)
    assert [line.event for line in read(folder.journal)] == [line.event for line in before]
    assert check_record(folder).damage == []
    assert app.replay_engine(folder) == (None, True)


@pytest.mark.parametrize(
    "verb", [("replay",), ("journal", "verify"), ("audit",), ("runs", "export"), ("whatif", "--mode", "llm")]
)
def test_input_of_a_later_version_is_one_line_with_that_version(
    folder: RunFolder, verb: tuple[str, ...]
) -> None:
    rewrite(folder, _add_input(LATER))
    done = ProcessHarness(ROOT, {}).call(*verb, str(folder.path))
    assert (done.returncode, done.stdout) == (2, "")
    line = "line 8 was written by autohedge 999.0 and cannot be read by this version"
    assert line in done.stderr and "'funding_settled'" in done.stderr and done.stderr.count("\n") == 1


def test_tail_of_a_journal_names_the_version_that_wrote_it(folder: RunFolder) -> None:
    rewrite(folder, _add_input(LATER))
    with pytest.raises(Misconfigured, match=r"near the end was written by autohedge 999\.0"):
        list(read_tail(folder.journal, folder.journal.stat().st_size - 10))


def test_unknown_event_in_a_record_of_this_version_is_damage(folder: RunFolder) -> None:
    rewrite(folder, _add_input(__version__))
    with pytest.raises(Corrupt, match="line 8 is whole, but this version cannot read it"):
        list(read(folder.journal))
