"""Results of runs, made without a run."""

from decimal import Decimal
from typing import Any

from autohedge.core.results import DeliberationFigures, RunReport, RunResult

D = Decimal


def deliberation_figures(**changes: Any) -> DeliberationFigures:
    figures: dict[str, Any] = dict.fromkeys(("asked", "late", "given_up", "bypassed", "cached", "lessons"), 0)
    return DeliberationFigures(**figures | {"verdicts": {}, "abstentions": {}} | changes)


def _figures() -> dict[str, Any]:
    counts = ("buys", "sells", "take_profits", "stop_losses", "trailing_stops", "time_stops", "exit_signals")
    others = ("expired", "winning_exits", "open_orders", "restarts")
    money = ("open_position", "realized_pnl", "unrealized_pnl", "fees", "external")
    return (
        dict.fromkeys((*counts, *others), 0)
        | dict.fromkeys(money, D(0))
        | {"quotes": 17, "codes": {"entry": 1}, "exit_refusals": {}, "slice_refusals": {}}
        | {"open_positions": {"X": D("0.50")}, "first_ns": 1, "last_ns": 9, "state": "ACTIVE"}
        | {"initial_cash": D(10_000), "cash": D("9949.50"), "equity": D("9999.50")}
    )


def run_result(**changes: Any) -> RunResult:
    return RunResult(**_figures() | changes)


def run_report(**changes: Any) -> RunReport:
    origin = {"mode": "hft", "strategy": "momentum", "seed": 0, "symbols": ["X"], "synthetic": False}
    record = {
        "fills": [],
        "equity_series": [],
        "working_orders": [],
        "journal_head": "ab" * 32,
        "journal_lines": 20,
        "run": "r1",
    }
    return RunReport(**_figures() | origin | record | changes)
