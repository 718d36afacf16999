"""The summary of a run ends with commands that fit the run."""

import pytest

from autohedge.console.summary import print_summary
from tests.report_factory import run_report


@pytest.mark.parametrize(
    ("changes", "setting"),
    [
        ({"mode": "hft", "strategy": "momentum"}, "momentum.min_edge_bps=10"),
        ({"mode": "hft", "strategy": "mine.py:Mine"}, "exits.take_profit_bps=50"),
        ({"mode": "llm"}, "trading.mode=llm --set agents.director.min_confidence_pct=70"),
    ],
)
def test_the_setting_to_change_is_one_that_the_run_has(
    changes: dict[str, str], setting: str, capsys: pytest.CaptureFixture[str]
) -> None:
    print_summary(run_report(run="r1", **changes))
    assert f"run --set {setting}\n" in capsys.readouterr().out
