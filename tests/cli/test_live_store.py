"""What the commands say about live stores."""

import json
from pathlib import Path

import numpy as np
import pytest

from autohedge.market import LiveStoreWriter
from tests.market.store_factory import rows_at, store_of
from tests.process_harness import ProcessHarness

S = 10**9
ROWS = rows_at(*(n * S for n in range(1, 60)))


@pytest.fixture
def harness(tmp_path: Path) -> ProcessHarness:
    return ProcessHarness(tmp_path, {})


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (
            ("run", "--speed", "10"),
            "--speed: this store still grows, and its rows set the pace; omit --speed",
        ),
        (("run", "--speed", "max"), "--speed: this store still grows"),
        (
            ("run", "--venue", "7001"),
            "--venue: this store still grows, and its rows set the pace; omit --venue",
        ),
        (("venue",), "its writer has not closed it yet"),
        (("run", "--tape", "other.csv"), "a live store has its own symbols"),
    ],
)
def test_open_store_that_cannot_be_followed_is_refused(
    harness: ProcessHarness, args: tuple[str, ...], message: str
) -> None:
    LiveStoreWriter(harness.path / "market", ["A"]).release()
    done = harness.call(*args, "--tape", "market")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert message in line
    assert not (harness.path / "runs").exists()


def test_closed_store_is_traded_verified_packed_and_replayed(harness: ProcessHarness) -> None:
    store = store_of(harness.path / "market", ROWS)
    assert harness.call("data", "check", "market").returncode == 0
    done = harness.call("run", "--tape", "market", "--json", "-q")
    assert (done.returncode, json.loads(done.stdout)["quotes"]) == (0, 59)
    assert "launch.json" not in {path.name for path in (harness.path / "runs").glob("*/*")}
    assert harness.call("runs", "pack", "last").returncode == 0
    store.rename(harness.path / "moved")
    for command in (("journal", "verify"), ("replay",)):
        done = harness.call(*command, "last")
        assert done.returncode == 0, done.stderr


def test_changed_row_of_a_traded_store_is_named(harness: ProcessHarness) -> None:
    writer = LiveStoreWriter(harness.path / "market", ["A"])
    writer.append(ROWS)
    writer.close()
    assert harness.call("run", "--tape", "market", "-q").returncode == 0
    np.memmap(harness.path / "market" / "ask", "<f8", "r+")[7] += 0.5
    done = harness.call("journal", "verify", "last")
    assert done.returncode == 1
    assert "market: its content differs from the recorded tape" in done.stderr
