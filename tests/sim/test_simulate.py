"""The fault histories hold, repeat themselves to the byte, and catch bugs that are planted."""

import json
from collections import Counter
from pathlib import Path

import pytest

from autohedge.backtest.history import FAULTS, Outcome, run_history
from autohedge.backtest.simulate import Summary, chosen, seeds_of, simulate
from autohedge.core.errors import Misconfigured
from tests.process import Place
from tests.sim.mutants.planted import PLANTED, Plant

ALL = frozenset(FAULTS.values())
CI_SEEDS, CHUNK = 200, 10

# Seeds that once failed, each for a bug of its own.
MENDED = {
    0: "fills told again kept cash from ever being compared",
    29: "an exit that expired was sold again in full though the report of its partial fill was lost",
}


def _failures(seeds: range) -> list[str]:
    return [f"{o.seed}: {o.violation}" for o in (run_history(seed, ALL) for seed in seeds) if o.violation]


@pytest.mark.parametrize("first", range(0, CI_SEEDS, CHUNK))
def test_every_invariant_holds_in_every_history(first: int) -> None:
    assert _failures(range(first, first + CHUNK)) == []


@pytest.mark.soak
@pytest.mark.parametrize("first", range(CI_SEEDS, 2_000, 100))
def test_two_thousand_histories(first: int) -> None:
    assert _failures(range(first, first + 100)) == []


@pytest.mark.parametrize("seed", MENDED)
def test_a_seed_that_once_failed_stays_mended(seed: int) -> None:
    assert run_history(seed, ALL).violation is None


@pytest.mark.parametrize("seed", [3, 14])
def test_the_same_seed_gives_the_same_bytes(seed: int) -> None:
    one, two = run_history(seed, ALL), run_history(seed, ALL)
    assert one.digest == two.digest != run_history(seed, frozenset()).digest


# What can only strike after something else did.
WITH = {"forget": ["timeout_accepted", "drop"], "torn_tail": ["crash_apply"], "power_loss": ["crash_apply"]}


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_alone_strikes_and_is_survived(name: str) -> None:
    struck: Counter[str] = Counter()
    names = {name, *WITH.get(name, [])}
    for seed in range(40):
        outcome = run_history(seed, frozenset(FAULTS[each] for each in names))
        assert outcome.violation is None
        struck += outcome.struck
        if struck[name]:
            break
    assert struck[name]
    assert set(struck) <= names


@pytest.mark.parametrize("plant", PLANTED)
def test_a_planted_bug_is_caught(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    assert any(run_history(seed, ALL).violation for seed in range(200))


def test_a_history_is_long_enough_to_prove_something() -> None:
    outcomes = [run_history(seed, ALL) for seed in range(10)]
    assert all(outcome.rows >= 2_000 for outcome in outcomes)
    assert sum(outcome.orders >= 20 for outcome in outcomes) >= 8
    assert sum(outcome.struck["decision_late"] > 0 for outcome in outcomes) >= 3
    assert sum(outcome.crashes for outcome in outcomes) > 10


@pytest.mark.parametrize("text", ["", "5", "5:5", "9:3", "a:b", "-1:4"])
def test_seeds_are_a_range_that_holds_something(text: str) -> None:
    with pytest.raises(Misconfigured, match="write FIRST:END"):
        seeds_of(text)


def test_a_fault_that_does_not_exist_is_named_with_those_that_do() -> None:
    with pytest.raises(Misconfigured, match="--faults drop,flood: there is no such fault|--faults flood"):
        chosen("drop,flood")
    assert chosen("none") == frozenset() and chosen(None) == ALL


def test_a_fault_that_never_struck_in_a_hundred_histories_fails_them() -> None:
    summary = Summary(("drop", "bust"))
    for seed in range(100):
        summary.add(Outcome(seed, struck=Counter(drop=1)))
        assert summary.sound is (seed < 99)
    assert summary.idle == ["bust"]


def test_two_processes_count_what_one_counts() -> None:
    one = simulate(range(4), ALL, done=lambda _: None)
    two = simulate(range(4), ALL, jobs=2, done=lambda _: None)
    assert (one.struck, one.orders, one.failed) == (two.struck, two.orders, two.failed)


def test_the_command_line_says_what_struck(tmp_path: Path) -> None:
    done = Place(tmp_path, {}).call("simulate", "--seeds", "0:2", "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["histories"] == 2 and said["failed"] == [] and said["struck"]["gap"] == 2


def test_a_failing_seed_prints_the_command_that_repeats_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from typer.testing import CliRunner

    from autohedge.cli.tree import app
    from tests.sim.mutants.planted import crash_point_skipped

    crash_point_skipped(monkeypatch)
    result = CliRunner().invoke(app, ["simulate", "--seeds", "7:8", "--faults", "drop,delay"])
    assert result.exit_code == 1
    assert "seed 7: 4: order" in result.output
    assert "autohedge simulate --seeds 7:8 --faults drop,delay" in result.output
