"""Runs in memory: the results of a recorded run, without a folder."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from autohedge import app
from autohedge.config import Settings
from autohedge.core.errors import StrategyFailed
from autohedge.core.results import RunReport
from autohedge.journal import RunFolder
from tests.run_harness import settings

SHORT = {"synthetic__hours": 0.1, "synthetic__symbols": '["A/USD", "B/USD"]', "momentum__lookback": 5}
RULES = {"llm__provider": '"rules"', "hybrid__cache_verdicts": True}


def without_record(report: RunReport) -> bytes:
    names: dict[str, Any] = {"run": "", "journal_head": "", "journal_lines": 0}
    return msgspec.json.encode(msgspec.structs.replace(report, **names))


def assert_same_results(wanted: Settings) -> RunReport:
    """Asserts that a run has the same results in memory and recorded, and returns those in memory."""
    tape = app.tape_for(wanted, [])
    report = app.run_in_memory(wanted, tape)
    assert msgspec.json.encode(report) == without_record(app.run(wanted, tape))
    return report


@examples(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 1_000),
    latency_ms=st.sampled_from([0, 40]),
    aggression_bps=st.sampled_from([2, 20]),
    bad_quotes=st.sampled_from([0.0, 0.05]),
)
def test_run_in_memory_has_the_results_of_a_recorded_run(
    workplace: Path, seed: int, latency_ms: int, aggression_bps: int, bad_quotes: float
) -> None:
    wanted = settings(
        **SHORT,
        seed=seed,
        simulated__order_latency_ms=latency_ms,
        execution__aggression_bps=aggression_bps,
        synthetic__bad_quote_rate=bad_quotes,
    )
    assert assert_same_results(wanted).quotes


@pytest.mark.parametrize(("mode", "hours"), [("hybrid", 0.5), ("llm", 0.2)])
def test_run_in_memory_with_agents_has_the_results_of_a_recorded_one(
    workplace: Path, mode: str, hours: float
) -> None:
    report = assert_same_results(
        settings(**SHORT | RULES | {"synthetic__hours": hours, "trading__mode": f'"{mode}"'})
    )
    assert report.deliberations and report.deliberations.asked and report.fills


def test_run_in_memory_writes_no_file(workplace: Path) -> None:
    wanted = settings(**SHORT | RULES, trading__mode='"hybrid"')
    report = app.run_in_memory(wanted, app.tape_for(wanted, []))
    assert (report.run, report.journal_head, report.journal_lines) == ("", "", 0)
    assert not list(workplace.iterdir())


def test_fills_of_a_report_are_those_of_its_results(workplace: Path) -> None:
    wanted = settings(**SHORT)
    tape = app.tape_for(wanted, [])
    listed = (RunFolder.find(app.run(wanted, tape).run).read_results() or {})["fills"]
    fills = app.run_in_memory(wanted, tape).parsed_fills()
    assert fills and msgspec.to_builtins(fills) == listed


def test_strategy_that_fails_in_memory_ends_the_run_with_its_error(workplace: Path) -> None:
    Path("broken.py").write_text(
        "from autohedge.strategies import Strategy\n\n\nclass Broken(Strategy):\n"
        "    def on_quote(self, quote):\n        raise ValueError('no')\n"
    )
    wanted = settings(**SHORT, strategy__name='"broken.py:Broken"')
    with pytest.raises(StrategyFailed, match="no"):
        app.run_in_memory(wanted, app.tape_for(wanted, []))
