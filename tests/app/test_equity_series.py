"""The equity series in `results.json`: written, and checked against the record by `verify` and `replay`."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autohedge.app import replay_engine, run, tape_for
from autohedge.app.verification import check_record
from autohedge.core.errors import Corrupt
from autohedge.journal import RunFolder
from autohedge.market import TapeSource, open_tape, write_parquet
from tests.made_once import recorded_once
from tests.run_harness import settings

SHORT = {
    "synthetic__hours": 0.1,
    "synthetic__symbols": '["A/USD", "B/USD"]',
    "momentum__lookback": 5,
    "momentum__min_edge_bps": 2,
}


def _recorded() -> RunFolder:
    wanted = settings(**SHORT)
    sources = [TapeSource(Path(f"{symbol}_quotes.parquet")) for symbol in "AB"]
    for stream, source in zip(tape_for(wanted, []).streams, sources, strict=True):
        write_parquet(stream, source.path)
    return RunFolder.find(run(wanted, open_tape(sources)).run)


@pytest.fixture
def folder(session_folder: Path, tmp_path: Path) -> RunFolder:
    """A copy of a finished run on two files."""
    recorded = recorded_once(session_folder / "equity", _recorded)
    return RunFolder(Path(shutil.copytree(recorded.path, tmp_path / recorded.id)))


def _results(folder: RunFolder) -> dict[str, Any]:
    results: dict[str, Any] = json.loads(folder.results.read_bytes())
    return results


def test_series_of_the_results_has_each_fill_and_ends_with_the_equity(folder: RunFolder) -> None:
    results = _results(folder)
    series = results["equity_series"]
    assert series[-1][1] == results["equity"]
    assert len(results["fills"]) > 2 and {fill["ts_ns"] for fill in results["fills"]} <= {
        ts for ts, _ in series
    }
    assert [ts for ts, _ in series] == sorted(ts for ts, _ in series)
    assert not check_record(folder).damage and replay_engine(folder) == (None, True)


CHANGES: dict[str, Callable[[list[Any]], list[Any]]] = {
    "point 2 of its equity series is [": lambda series: [series[0], [series[1][0], "1"], *series[2:]],
    "point 1 of its equity series is [1,": lambda series: [[1, series[0][1]], *series[1:]],
    "is absent, but by the record it is [": lambda series: series[:-1],
    "but by the record it is absent": lambda series: [*series, series[-1]],
    "is 7, but": lambda series: [7, *series[1:]],
}


@pytest.mark.parametrize("named", CHANGES)
def test_changed_series_is_named_by_verify_and_replay(folder: RunFolder, named: str) -> None:
    results = _results(folder)
    folder.write_results(results | {"equity_series": CHANGES[named](results["equity_series"])})
    assert named in check_record(folder).parts["results"].damage
    with pytest.raises(Corrupt, match="of its equity series is"):
        replay_engine(folder)


@pytest.mark.parametrize("left", [{}, {"equity_series": 3}])
def test_series_that_is_gone_is_named_without_the_tape(folder: RunFolder, left: dict[str, Any]) -> None:
    results = _results(folder)
    del results["equity_series"]
    folder.write_results(results | left)
    assert "it has no equity series" in check_record(folder).parts["results"].damage


def test_series_is_not_checked_without_the_tape(folder: RunFolder) -> None:
    genesis = json.loads(folder.journal.read_bytes().splitlines()[0])["genesis"]
    moved = [
        Path(origin["path"]).rename(Path(origin["path"]).with_suffix(".moved")) for origin in genesis["tape"]
    ]
    try:
        folder.write_results(_results(folder) | {"equity_series": []})
        found = check_record(folder)
    finally:
        for path in moved:
            path.rename(path.with_suffix(".parquet"))
    assert not found.damage
    assert "its equity series needs the tape and is not checked" in found.parts["results"].summary
