"""Results as JSON: keys that do not apply are left out, money is exact, and what was written is read."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from autohedge.core.orders import BUY, OrderState
from autohedge.core.results import RunReport, RunResult, WorkingOrder
from tests.report_factory import deliberation_figures, run_report, run_result

D = Decimal
HYBRID = {"opened": 0, "closed": 0, "gated_signals": 0, "gates": {"X": "open"}}
ORDER = WorkingOrder("a1", "X", BUY, D("2.0"), D(0), None, OrderState.OPEN)
CLOCK = {"interrupted": False, "wakes": 3, "worst_lag_ms": 0.5}


def _keys(value: msgspec.Struct) -> list[str]:
    return list(msgspec.json.decode(msgspec.json.encode(value)))


@pytest.mark.parametrize(
    ("mode_figures", "keys"),
    [(HYBRID, ["opened", "closed", "gated_signals", "gates"]), ({"proposals": {}}, ["proposals"])],
)
def test_deliberations_of_each_mode_have_their_own_keys(
    mode_figures: dict[str, Any], keys: list[str]
) -> None:
    common = ["asked", "late", "given_up", "bypassed", "cached", "verdicts", "abstentions", "lessons"]
    assert _keys(deliberation_figures(**mode_figures)) == common + keys


def test_keys_of_results_keep_their_order_and_those_without_a_value_are_absent() -> None:
    ends = ["restarts", "state", "mode", "strategy", "seed", "symbols", "synthetic", "fills"]
    ends += ["equity_series", "working_orders", "journal_head", "journal_lines", "run"]
    assert _keys(run_report())[-len(ends) :] == ends
    on_clock = run_report(**CLOCK, bar_exits="close", deliberations=deliberation_figures())
    ends = [
        "state",
        "deliberations",
        "bar_exits",
        "mode",
        "strategy",
        "seed",
        "symbols",
        "synthetic",
        "fills",
    ]
    ends += [
        "equity_series",
        "working_orders",
        "journal_head",
        "journal_lines",
        "interrupted",
        "wakes",
        "worst_lag_ms",
        "run",
    ]
    assert _keys(on_clock)[-len(ends) :] == ends


def test_money_is_written_as_exact_strings_and_read_back() -> None:
    result = run_result(equity=D("9999.5000"), open_positions={"X": D("0E-8")})
    plain = msgspec.to_builtins(result)
    assert (plain["equity"], plain["open_positions"]) == ("9999.5000", {"X": "0E-8"})
    assert msgspec.json.decode(msgspec.json.encode(result), type=RunResult) == result


def test_results_are_read_as_written_with_keys_of_other_versions_ignored() -> None:
    report = run_report(working_orders=[ORDER], deliberations=deliberation_figures(proposals={"entry": 2}))
    written = msgspec.json.decode(msgspec.json.encode(report)) | {"of_another_version": 1}
    assert msgspec.json.decode(msgspec.json.encode(written), type=RunReport) == report
