"""Scenarios keep every invariant, repeat byte for byte, and catch planted bugs."""

import json
from collections import Counter
from functools import cache
from pathlib import Path

import pytest
from msgspec import structs

from autohedge.core.errors import Misconfigured
from autohedge.core.events import FillBooked
from autohedge.faultsim.cut_tape import with_feeds_read
from autohedge.faultsim.faults import FAULTS
from autohedge.faultsim.random_history import random_history, tape_of_history
from autohedge.faultsim.runner import Summary, parse_faults, run_seed, run_twice, seeds_of, simulate
from autohedge.faultsim.scenario import FaultScenario, ScenarioResult, run_history
from tests.faultsim.mutants.currency_bugs import CURRENCY_BUGS
from tests.faultsim.mutants.direction_bugs import DIRECTION_BUGS
from tests.faultsim.mutants.growing_tape_bugs import GROWING_TAPE_BUGS
from tests.faultsim.mutants.planted_bugs import PLANTED, Plant
from tests.faultsim.mutants.reverted_mends import REVERTED
from tests.faultsim.mutants.row_bugs import ROW_BUGS
from tests.faultsim.test_random_feeds import SEEDS as SEEDS_WITH_FEEDS
from tests.process_harness import ProcessHarness

pytestmark = pytest.mark.process

ALL = frozenset(FAULTS.values())
CI_SEEDS, CHUNK = 200, 10


def _failures(seeds: range) -> list[str]:
    return [f"{o.seed}: {o.violation}" for o in map(_outcome, seeds) if o.violation]


@cache
def _outcome(seed: int) -> ScenarioResult:
    return run_seed(seed, ALL)


@pytest.mark.parametrize("first", range(0, CI_SEEDS, CHUNK))
def test_every_invariant_holds_in_every_scenario(first: int) -> None:
    assert _failures(range(first, first + CHUNK)) == []


@pytest.mark.soak
@pytest.mark.parametrize("first", range(CI_SEEDS, 4_000, 100))
def test_every_invariant_holds_in_four_thousand_scenarios(first: int) -> None:
    assert _failures(range(first, first + 100)) == []


@pytest.mark.parametrize("seed", [3, 14])
def test_the_same_history_gives_the_same_bytes(seed: int) -> None:
    outcome = run_twice(random_history(seed))
    assert outcome.violation is None
    assert outcome.digest == _outcome(seed).digest != run_seed(seed, frozenset()).digest


@pytest.mark.parametrize("seed", [1, 7, 10])  # the process dies between two batches, too
def test_rows_in_batches_give_the_journal_of_the_whole_tape(seed: int) -> None:
    digests, deaths = set(), set()
    for growing in (True, False):
        scenario = FaultScenario(random_history(seed), growing=growing)
        scenario.play()
        digests.add(scenario.outcome.digest)
        deaths.add(scenario.outcome.fault_counts["crash_waiting"])
    assert len(digests) == 1 and deaths != {0}


def test_feeds_that_are_not_read_leave_every_byte_of_the_record() -> None:
    checked = 0
    for seed in SEEDS_WITH_FEEDS:
        history = random_history(seed)
        if tape_of_history(history).rows.kinds is not None:
            continue
        without = run_history(structs.replace(history, feeds=[]))
        assert without.violation is None and without.digest == _outcome(seed).digest
        checked += 1
    assert checked >= 4


@pytest.mark.parametrize("seed", [seed for seed in SEEDS_WITH_FEEDS if seed < 30])
def test_a_kind_that_is_not_read_leaves_fills_codes_and_cash(seed: int) -> None:
    history = random_history(seed)
    results = []
    for each in (history, with_feeds_read(history, tape_of_history(history))):
        scenario = FaultScenario(each)
        scenario.play()
        fills = [entry.event for entry in scenario.entries if isinstance(entry.event, FillBooked)]
        results.append((fills, scenario.engine.codes(), scenario.engine.ledger.balances))
    assert results[0] == results[1]


# Faults that can strike only after another fault.
WITH = {
    "forget": ["timeout_accepted", "drop"],
    "torn_tail": ["crash_apply"],
    "power_loss": ["crash_apply"],
    "crash_recovery": ["crash_apply"],
    "sync_error": ["crash_apply"],
}

# The first seed in which each fault strikes, where it is not 0. It is only tried first: any of 60 counts.
STRIKES_AT = {
    "jump": 1,
    "late_rows": 2,
    "doubled_rows": 2,
    "missing_rows": 2,
    "gapped_rows": 2,
    "bad_rows": 2,
    "delay": 4,
    "throttle": 2,
    "forget": 11,
    "external": 5,
    "garbled": 2,
    "late_fill": 17,
    "transfer": 2,
    "crash_record": 2,
    "crash_reconciliation": 2,
    "interrupt": 4,
    "torn_tail": 23,
    "disk_full": 3,
    "sync_error": 3,
    "decision_late": 2,
    "decision_absent": 2,
    "decision_garbage": 2,
}


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_alone_strikes_and_is_survived(name: str) -> None:
    fault_counts: Counter[str] = Counter()
    names = {name, *WITH.get(name, [])}
    for seed in [STRIKES_AT.get(name, 0), *range(60)]:
        outcome = run_seed(seed, frozenset(FAULTS[each] for each in names))
        assert outcome.violation is None
        fault_counts += outcome.fault_counts
        if fault_counts[name]:
            break
    assert fault_counts[name]
    assert set(fault_counts) <= names


# The first seed that catches each bug, where it is not 0. It is only tried first: any of 60 counts.
CAUGHT_BY = {
    "id_per_attempt": 1,
    "fills_applied_by_arrival": 13,
    "reconciliation_not_idempotent": 2,
    "stale_book_traded": 7,
    "late_verdict_accepted": 3,
    "gate_outlives_verdict": 9,
    "late_proposal_accepted": 2,
    "risk_size_ignored": 10,
    "bounds_unchecked": 6,
    "request_done_twice": 1,
    "requests_forgotten_at_restart": 1,
    "pause_ends_with_restart": 30,
    "setting_applied_without_its_input": 2,
    "change_reaches_the_open_position": 53,
    "changed_settings_forgotten_at_restart": 2,
    "second_exit_forgotten": 13,
    "cancels_given_up": 1,
    "flat_account_not_reconciled": 2,
    "replace_answered_by_an_earlier_answer": 21,
    "replace_reserved_after_the_end": 13,
    "daily_loss_forgotten_at_restart": 18,
    "slices_go_on_after_an_exit": 1,
    "adopted_entry_rests_for_ever": 21,
    "only_the_first_nonce_known": 21,
    "smaller_end_counts": 13,
    "fee_taken_from_the_quote_currency": 10,
    "amounts_not_converted": 6,
    "cash_of_another_currency_spent": 43,
    "other_balances_not_compared": 43,
    "last_quote_looked_up_in_the_last_batch": 2,
    "rows_of_the_last_batch_in_no_bar": 2,
    "covered_by_longs_alone": 6,
    "shorts_in_a_cash_account": 13,
    "gate_admits_both_directions": 9,
    "entry_rests_against_a_proposal": 6,
    "gap_ignored": 4,
    "doubled_message_applied_again": 4,
    "kept_messages_forgotten": 11,
    "book_of_an_earlier_process_is_lost": 5,
    "last_figures_shown_after_a_gap": 4,
    "bar_takes_the_row_at_its_end": 5,
    "bar_known_at_its_start": 5,
    "bar_of_ticks_comes_before_its_last_quote": 5,
    "partial_bar_read": 7,
    "bad_trade_shown": 4,
    "indicators_begin_after_a_crash": 7,
    "any_row_refreshes_the_quote": 7,
    "any_row_keeps_the_feed_alive": 4,
    "crossover_reads_the_next_bar": 28,
    "unread_rows_taken": 2,
}


BUGS = (*PLANTED, *REVERTED, *CURRENCY_BUGS, *DIRECTION_BUGS, *GROWING_TAPE_BUGS, *ROW_BUGS)


@pytest.mark.parametrize("plant", BUGS)
def test_a_planted_bug_is_caught(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    seeds = [CAUGHT_BY.get(plant.__name__, 0), *range(60)]
    violations = (run_seed(seed, ALL).violation for seed in seeds)
    violation = next((each for each in violations if each), "")
    # A plant that calls what no longer exists stops the engine, and would look like a bug that was caught.
    assert violation and not any(error in violation for error in ("AttributeError", "NameError", "TypeError"))


def test_scenarios_have_enough_rows_orders_faults_and_crashes() -> None:
    outcomes = [_outcome(seed) for seed in range(20)]
    assert sum(outcome.rows >= 1_500 for outcome in outcomes) >= 18
    assert sum(outcome.orders >= 20 for outcome in outcomes) >= 14
    assert sum(outcome.fault_counts["decision_late"] > 0 for outcome in outcomes) >= 6
    assert sum(outcome.crashes for outcome in outcomes) > 20


@pytest.mark.parametrize("text", ["", "5", "5:5", "9:3", "a:b", "-1:4"])
def test_seeds_of_invalid_or_empty_range_raises(text: str) -> None:
    with pytest.raises(Misconfigured, match="write FIRST:END"):
        seeds_of(text)


def test_parse_faults_unknown_name_raises() -> None:
    with pytest.raises(Misconfigured, match="--faults flood: no such fault; known are "):
        parse_faults("drop,flood")
    assert parse_faults("none") == frozenset() and parse_faults(None) == ALL


def test_summary_fault_unused_in_a_hundred_scenarios_fails() -> None:
    summary = Summary(("drop", "bust"))
    for seed in range(100):
        summary.add(ScenarioResult(seed, fault_counts=Counter(drop=1)))
        assert summary.passed is (seed < 99)
    assert summary.unused_faults == ["bust"]


def test_simulate_two_processes_give_the_counts_of_one() -> None:
    one = simulate(range(4), ALL, done=lambda _: None)
    two = simulate(range(4), ALL, jobs=2, done=lambda _: None)
    assert (one.fault_counts, one.orders, one.failed) == (two.fault_counts, two.orders, two.failed)


def test_simulate_command_reports_fault_counts(tmp_path: Path) -> None:
    done = ProcessHarness(tmp_path, {}).call("simulate", "--seeds", "0:2", "--json")
    assert done.returncode == 0, done.stderr
    output = json.loads(done.stdout)
    assert output["histories"] == 2 and output["failed"] == [] and output["struck"]["gap"] >= 2


def test_a_failing_seed_prints_the_command_that_repeats_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from typer.testing import CliRunner

    from autohedge.cli.commands import app
    from tests.faultsim.mutants.planted_bugs import crash_point_skipped

    crash_point_skipped(monkeypatch)
    result = CliRunner().invoke(app, ["simulate", "--seeds", "7:8", "--faults", "drop,delay"])
    assert result.exit_code == 1
    assert "seed 7: 4: order" in result.output
    assert "autohedge simulate --seeds 7:8 --faults drop,delay" in result.output
