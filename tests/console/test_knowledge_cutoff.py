"""A tape from before a model's knowledge cutoff is named: the model may know what happened."""

import pytest

from autohedge.console.knowledge_cutoff import cutoff_warning
from autohedge.console.summary import print_summary
from autohedge.core.results import AgentsSummary
from autohedge.core.timestamps import parse_timestamp_ns
from tests.report_factory import deliberation_figures, run_report

BEGIN_NS = parse_timestamp_ns("2024-08-08T00:00:00Z")
assert BEGIN_NS
TAPE = {"first_ns": BEGIN_NS, "last_ns": BEGIN_NS + 1}


def test_a_cutoff_after_the_beginning_of_the_tape_is_named() -> None:
    report = run_report(**TAPE)
    line = cutoff_warning(report, {"m": "2024-08-09", "old": "2024-08-08"})
    assert line == (
        "the model may know what happened: the tape begins on 2024-08-08, before the cutoff of m (2024-08-09)"
    )


@pytest.mark.parametrize("changes", [{"synthetic": True}, {"first_ns": 0, "last_ns": 0}])
def test_a_market_that_no_text_describes_is_no_line(changes: dict[str, object]) -> None:
    assert cutoff_warning(run_report(**TAPE | changes), {"m": "2030-01-01"}) == ""


def test_the_summary_names_a_cutoff_that_was_recorded(capsys: pytest.CaptureFixture[str]) -> None:
    agents = AgentsSummary("openai", "m", "openai", {"calls": 3}, knowledge_cutoffs={"m": "2025-01-01"})
    gates = {"opened": 0, "closed": 0, "gated_signals": 0}
    print_summary(run_report(**TAPE, agents=agents, deliberations=deliberation_figures(**gates)))
    shown = " ".join(capsys.readouterr().out.split())
    assert "Knowledge cutoff: the model may know what happened" in shown
