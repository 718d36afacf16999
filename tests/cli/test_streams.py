"""Streams of a process that lack characters or are closed, signals at its start, and hostile names."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.process_harness import ROOT, ProcessHarness

START_NS = 1_735_776_000 * 10**9
HOSTILE = "n\x1b]8;;http:x\x07a\x1b[2Jme\u202e\x9b31m"
QUICK = ("run", "--set", "synthetic.hours=0.01")


def _shell(folder: Path, command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    env = (
        os.environ
        | {"PYTHONPATH": str(ROOT), "AUTOHEDGE__TRADING__MODE": "hft", "PY": sys.executable}
        | variables
    )
    text = f"$PY -m autohedge {' '.join(QUICK)} {command}"
    return subprocess.run(
        ["sh", "-c", text], cwd=folder, env=env, capture_output=True, text=True, errors="replace", check=False
    )


@pytest.mark.process
@pytest.mark.parametrize("encoding", ["cp1250", "latin-1", "ascii"])
def test_summary_is_printed_in_an_encoding_without_its_characters(tmp_path: Path, encoding: str) -> None:
    done = _shell(tmp_path, "", PYTHONIOENCODING=encoding)
    assert done.returncode == 0, done.stderr
    assert "simulated venue" in done.stdout and "Recorded in" in done.stdout


@pytest.mark.process
@pytest.mark.parametrize("closed", ["2>&-", ">&-", "<&- >&- 2>&-"])
def test_run_with_closed_streams_ends_as_any_other(tmp_path: Path, closed: str) -> None:
    done = _shell(tmp_path, closed)
    assert done.returncode == 0, done.stderr
    (results,) = tmp_path.glob("runs/*/results.json")
    journal = (results.parent / "journal.jsonl").read_text()
    assert all(line.startswith("{") for line in journal.splitlines())


@pytest.mark.process
def test_full_device_behind_stdout_is_one_line(tmp_path: Path) -> None:
    done = _shell(tmp_path, ">/dev/full")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "No space left on device" in done.stderr


EARLY = """
import os, signal, sys
from importlib.abc import MetaPathFinder

class Interrupting(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == module:
            os.kill(os.getpid(), int(which))

_, module, which = sys.argv
sys.meta_path.insert(0, Interrupting())
from autohedge.cli import main
sys.argv = ["autohedge", "run"]
main()
"""


@pytest.mark.process
@pytest.mark.parametrize("module", ["typer", "autohedge.cli.run", "numpy", "numba"])
@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_during_imports_ends_with_one_line(workplace: Path, module: str, which: int) -> None:
    command = [sys.executable, "-c", EARLY, module, str(int(which))]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith("autohedge: interrupted")


def test_names_with_escapes_reach_no_view_raw(tmp_path: Path) -> None:
    place = ProcessHarness(tmp_path, {})
    rows = "".join(f"{START_NS + n * 10**9},{100 + n % 5},{100.5 + n % 5}\n" for n in range(90))
    (tmp_path / f"{HOSTILE}.csv").write_text(f"ts_ns,bid,ask\n{rows}")
    tape = f"{HOSTILE}.csv"
    (tmp_path / HOSTILE).mkdir()
    calls = [
        ("run", "--tape", tape),
        ("run", "--tape", tape, "--json"),
        ("runs", "list"),
        ("runs", "list", "--json"),
        ("runs", "show", "last"),
        ("data", "check", tape),
        ("data", "check", tape, "--json"),
        ("data", "check", f"{HOSTILE}.parquet"),
        ("runs", "show", HOSTILE),
        ("run", f"--{HOSTILE}"),
        ("run", "--set", f"strategy.name={HOSTILE}"),
        ("data", "synth", HOSTILE, "--set", "synthetic.hours=0.01"),
        ("whatif", "last", "--set", "exits.take_profit_bps=50"),
    ]
    for args in calls:
        done = place.call(*args)
        text = done.stdout + done.stderr
        assert text and all(line.isprintable() for line in text.splitlines()), (args, text)
        assert "Traceback" not in text


def test_no_code_and_no_amount_is_cut_on_a_narrow_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = ProcessHarness(tmp_path, {"synthetic__hours": 0.5, "momentum__min_edge_bps": 0.5})
    wide = place.call("run").stdout
    monkeypatch.setenv("COLUMNS", "40")
    narrow = place.call("runs", "show", "last").stdout
    codes = wide.partition("Reason code")[2].partition("Recorded in")[0]
    words = [line.split()[:2] for line in codes.splitlines()[2:] if line.strip()]
    assert len(words) > 4
    for code, count in words:
        assert any(line.split()[:2] == [code, count] for line in narrow.splitlines()), (code, narrow)
    assert "…" not in narrow
    listed = place.call("runs", "list").stdout
    assert next(tmp_path.glob("runs/*")).name in listed and "…" not in listed
