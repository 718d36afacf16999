"""The names of symbols and runs on the command line: near misses, `last`, and paths of moved runs."""

import json
import shutil
from pathlib import Path

import pytest

from autohedge.journal import RunFolder
from autohedge.runtime.control import SOCKET
from tests.process_harness import ProcessHarness, kill

SHORT = {"synthetic__hours": 0.05}


@pytest.fixture
def harness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ProcessHarness:
    monkeypatch.chdir(tmp_path)
    return ProcessHarness(tmp_path, SHORT)


@pytest.mark.parametrize("verb", [("run", "--json"), ("ask", "--mode", "hybrid"), ("data", "synth", "out")])
def test_rules_under_another_spelling_end_with_2(harness: ProcessHarness, verb: tuple[str, ...]) -> None:
    done = harness.call(*verb, "--set", 'symbol_overrides."BTC-USD".lookback=3')
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith('autohedge: symbol_overrides."BTC-USD": the tape has no such symbol; did')
    assert "did you mean BTC/USD?" in done.stderr and done.stderr.count("\n") == 1
    assert not Path("runs").exists()


def test_rules_of_an_absent_symbol_are_one_line_beside_pure_json(harness: ProcessHarness) -> None:
    own = ("--set", 'instruments."XRP/EUR".lot=1')
    done = harness.call("run", "--json", *own)
    assert done.returncode == 0 and json.loads(done.stdout)["symbols"]
    assert done.stderr == ("rules for XRP/EUR have no effect: the tape holds BTC/USD, ETH/USD, SOL/USD\n")
    assert harness.call("run", "-q", *own).stderr == ""


def test_prices_of_a_model_that_no_agent_asks_are_one_line_or_an_error(harness: ProcessHarness) -> None:
    own = ("--set", "llm.model=gpt-4o", "--set", "models.o3.price_in=1", "--mode", "hft")
    done = harness.call("run", "--json", *own)
    assert done.returncode == 0
    assert done.stderr == "[models] has no effect for o3: the agents ask gpt-4o\n"
    misspelt = harness.call("run", *own, "--set", "models.GPT4o.price_in=1")
    assert misspelt.returncode == 2 and "did you mean gpt-4o?" in misspelt.stderr


def test_what_if_about_a_symbol_without_a_tape_is_refused(harness: ProcessHarness) -> None:
    assert harness.call("run", "-q", "--set", 'instruments."XRP/EUR".lot=1').returncode == 0
    absent = harness.call("whatif", "last", "--set", 'symbol_overrides."XRP/EUR".lookback=3')
    assert absent.returncode == 2 and "rules for XRP/EUR have no effect" in absent.stderr
    misspelt = harness.call("whatif", "last", "--set", 'symbol_overrides."ETHUSD".lookback=3')
    assert misspelt.returncode == 2 and "did you mean ETH/USD?" in misspelt.stderr
    assert harness.call("whatif", "last", "--set", "momentum.lookback=3").returncode == 0


def test_commands_shown_for_a_moved_run_name_its_path(harness: ProcessHarness) -> None:
    assert harness.call("run", "-q").returncode == 0
    Path("old runs").mkdir()
    moved = RunFolder.find("last").path.rename("old runs/r1")
    shown = harness.call("runs", "show", str(moved)).stdout
    assert "Recorded in old runs/r1." in shown and "replay 'old runs/r1'" in shown
    (moved / "results.json").unlink()
    continued = harness.call("restart", str(moved))
    assert continued.returncode == 0 and "journal verify 'old runs/r1'" in continued.stdout
    (moved / "results.json").unlink()
    unfinished = harness.call("runs", "show", str(moved))
    assert "`autohedge journal verify 'old runs/r1'` shows its state" in unfinished.stderr


def test_runs_are_listed_in_the_order_of_their_start(harness: ProcessHarness) -> None:
    for name in ("zz", "aa"):
        assert harness.call("run", "-q").returncode == 0
        newest = RunFolder.find("last")
        newest.path.rename(Path("runs") / name)
    listed = json.loads(harness.call("runs", "list", "--json").stdout)["runs"]
    assert [row["run"] for row in listed] == ["zz", "aa"]
    assert harness.call("journal", "verify", "last").stdout.startswith("aa: ")


@pytest.mark.process
def test_commands_to_last_reach_the_running_run(harness: ProcessHarness) -> None:
    running = harness.start("run", "--speed", "10")
    try:
        harness.wait_for(running, b'"run_started"')
        run = RunFolder.find("last")
        # A newer run in virtual time, and one whose process died with its socket in place.
        assert harness.call("run", "-q").returncode == 0
        newest = next(folder for folder in RunFolder.all() if folder.id != run.id)
        shutil.copytree(newest.path, f"runs/99990101T000000-{newest.id}")
        (newest.path / SOCKET).touch()
        assert RunFolder.find("last").id.startswith("9999")
        for verb in ("halt", "resume", "status", "flatten"):
            assert harness.call(verb, "last").stdout.startswith(f"{run.id}: ")
    finally:
        kill(running)
