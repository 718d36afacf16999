"""The end of a long record is shown as the whole record shows it, and read alone."""

import shutil
from dataclasses import fields
from pathlib import Path

import pytest

from autohedge.audit import AuditFilter, audit, audit_end, tail
from autohedge.core.errors import Corrupt
from autohedge.journal import RunFolder
from autohedge.llm import transcript
from autohedge.llm.transcript_parts import segment_path
from tests.audit.run_factory import recorded
from tests.made_once import recorded_once


@pytest.fixture
def long_run(session_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    """A copy of a run with orders, whose last third counts as the tail."""
    eager = ("synthetic.hours=1", "momentum.min_edge_bps=0", "risk.max_exposure_notional=1000000")
    monkeypatch.setattr(transcript, "SEGMENT_BYTES", 1 << 16)
    run = recorded_once(session_folder / "audited-long", lambda: recorded(*eager))
    monkeypatch.setattr(tail, "JOURNAL_BYTES", run.journal.stat().st_size // 3)
    return RunFolder(Path(shutil.copytree(run.path, tmp_path / run.id)))


def _flip(path: Path, at: float) -> None:
    damaged = bytearray(path.read_bytes())
    damaged[int(at * len(damaged))] ^= 1
    path.write_bytes(damaged)


@pytest.mark.parametrize("last", [1, 3, 20])
def test_the_end_of_a_long_record_is_shown_as_the_whole_shows_it(long_run: RunFolder, last: int) -> None:
    wanted = AuditFilter(last=last)
    end, whole = audit_end(long_run, wanted), audit(long_run, wanted)
    assert end.since > 1 and not whole.since
    assert len(end.conversations) == last
    for field in fields(end.conversations[0]):
        assert [getattr(each, field.name) for each in end.conversations] == [
            getattr(each, field.name) for each in whole.conversations
        ], field.name


def test_what_the_end_does_not_explain_is_read_whole(long_run: RunFolder) -> None:
    wanted = AuditFilter(last=100_000)
    assert not audit_end(long_run, wanted).since
    assert len(audit_end(long_run, wanted).conversations) == audit(long_run, wanted).stats.asked


def test_the_start_of_a_long_record_is_not_read(long_run: RunFolder) -> None:
    _flip(long_run.journal, 0.4)
    _flip(segment_path(long_run.transcript, 1), 0.5)
    assert audit_end(long_run, AuditFilter(last=3)).since
    with pytest.raises(Corrupt, match="damaged"):
        audit(long_run, AuditFilter(last=3))


def test_damage_near_the_end_is_found(long_run: RunFolder) -> None:
    _flip(long_run.journal, 0.9)
    with pytest.raises(Corrupt, match="a line near the end is damaged"):
        audit_end(long_run, AuditFilter(last=3))


def test_a_cut_end_is_found(long_run: RunFolder) -> None:
    whole = long_run.journal.read_bytes().splitlines(keepends=True)
    long_run.journal.write_bytes(b"".join(whole[:-1]))
    with pytest.raises(Corrupt, match="does not end where"):
        audit_end(long_run, AuditFilter(last=3))
