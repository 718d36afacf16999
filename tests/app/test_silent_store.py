"""A market in which no row comes: its bars are finished on time, and a replay has them at the same place."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autohedge import app
from autohedge.app import wall_run
from autohedge.app.compose import tape_for
from autohedge.app.restart import restart
from autohedge.app.verification import check_record
from autohedge.app.wall_run import LaunchOptions
from autohedge.core.events import ClockReached, JournalEntry, SubmitOrder
from autohedge.core.results import RunReport
from autohedge.journal import RunFolder, read
from autohedge.market import Kind, Stream, parse_source
from autohedge.runtime.observers import NullObserver
from tests.app.store_feed import in_time_order, writer_of
from tests.run_harness import settings

S = 10**9
STRATEGY = """
from autohedge.market import Kind
from autohedge.strategies import Signal, Strategy


class AtTen(Strategy):
    reads = Kind.BARS

    def on_bar(self, bar):
        return Signal.BUY if bar.ts_ns == 1_000 * 10**9 + 11 * 10**9 else None
"""
START = 1_000 * S


def _quotes(*times_s: float) -> Stream:
    ts = np.array([START + round(S * each) for each in times_s])
    return Stream.of("A", {"ts": ts, "bid": [100.0] * len(ts), "ask": [100.01] * len(ts)})


def _trades(*times_s: float) -> Stream:
    ts = np.array([START + round(S * each) for each in times_s])
    columns: dict[str, Any] = {"ts": ts, "price": 100.0 + np.arange(len(ts)) % 3, "size": np.ones(len(ts))}
    return Stream.of("A", columns, kind=Kind.TRADES)


class PassingTime:
    """The machine's time, which passes only as a test says."""

    def __init__(self) -> None:
        self.passed_ns = 0

    def __call__(self) -> int:
        return self.passed_ns


def _trade(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, wakes: int, *, seeded: bool = False
) -> RunReport:
    """Trades a market that is silent for 0.3 s a wake after 10.3 s; older rows come after that, and a last quote."""
    (workplace / "ten.py").write_text(STRATEGY)
    wanted = settings(strategy__name='"ten.py:AtTen"', bars__every='"1s"', bars__source='"trades"')
    passing = PassingTime()
    monkeypatch.setattr(time, "monotonic_ns", passing)
    first = [_quotes(*np.arange(0.0, 10.5, 0.25)), _trades(*np.arange(0.1, 10.4, 0.2))]
    writer = writer_of(workplace / "market", first)
    append = in_time_order(first, "first")
    while append(writer):
        pass
    left = [*[None] * wakes, _trades(10.8), _quotes(10.9), _trades(12.2), _quotes(30.0)]

    class Feed(NullObserver):
        """Appends rows, or lets time pass."""

        def on_progress(self) -> None:
            if not left:
                if not writer.closed:
                    writer.close()
                return
            stream = left.pop(0)
            if stream is None:
                passing.passed_ns += 3 * S // 10
            else:
                writer.append(stream)

    tape = tape_for(wanted, [parse_source(str(workplace / "market"))], growing=True)
    return wall_run.start(wanted, tape, LaunchOptions(), seeded=seeded, observers=[Feed])


def _record(folder: RunFolder) -> list[JournalEntry]:
    _, *lines = read(folder.journal)
    return [line.entry for line in lines]


def _require_whole(folder: RunFolder) -> None:
    assert app.replay_engine(folder) == (None, True)
    assert check_record(folder).damage == []


def _of_type(record: list[JournalEntry], kind: type) -> list[Any]:
    return [entry.event for entry in record if isinstance(entry.event, kind)]


def test_bar_of_a_silent_market_is_finished_on_time(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = RunFolder.find(_trade(workplace, monkeypatch, wakes=10).run)
    record = _record(folder)
    assert [event.at_ns for event in _of_type(record, ClockReached)] == [START + 11 * S, START + 12 * S]
    at = next(at for at, entry in enumerate(record) if isinstance(entry.event, ClockReached))
    follows = record[at + 1]
    assert isinstance(follows.event, SubmitOrder) and follows.pos == record[at].pos + 1
    _require_whole(folder)


def test_bar_is_not_finished_before_its_end(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = _record(RunFolder.find(_trade(workplace, monkeypatch, wakes=1).run))
    assert not _of_type(record, ClockReached)
    assert len(_of_type(record, SubmitOrder)) == 1


def test_seeded_run_waits_for_a_later_row(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = RunFolder.find(_trade(workplace, monkeypatch, wakes=10, seeded=True).run)
    assert not _of_type(_record(folder), ClockReached)
    _require_whole(folder)


@pytest.mark.parametrize("kept", [0, 1])
def test_restart_has_the_bar_at_the_same_place(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    folder = RunFolder.find(_trade(workplace, monkeypatch, wakes=10).run)
    before = _record(folder)
    at = next(at for at, entry in enumerate(before) if isinstance(entry.event, ClockReached))
    lines = folder.journal.read_bytes().splitlines(keepends=True)
    folder.results.unlink()
    folder.journal.write_bytes(b"".join(lines[: at + 2 + kept]))
    restart(folder)
    record = _record(folder)
    assert record[: at + 1 + kept] == before[: at + 1 + kept]
    assert _of_type(record, ClockReached) == _of_type(before, ClockReached)[:1]  # the rest has come by now
    _require_whole(folder)
