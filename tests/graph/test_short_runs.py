"""Runs in both directions with the rules as agents: they sell short, and replay to the byte."""

from pathlib import Path
from typing import Any

import pytest

from autohedge.core.events import Decision, ProposalResolved, SubmitOrder
from autohedge.core.orders import BUY, ENTER, LEAVE, SELL
from autohedge.journal import read
from autohedge.journal.verification import verify
from tests.graph.record_factory import hybrid, replayed

COVERED: dict[str, Any] = {"trading__direction": "both", "account__kind": "covered"}
OWN: dict[str, dict[str, Any]] = {
    "hybrid": {
        "synthetic__hours": 0.3,
        "momentum__min_edge_bps": 0.5,
        "hybrid__gate_refresh_quotes": 30,
        "exits__max_hold_s": 5,
    },
    "llm": {"trading__mode": '"llm"', "llm__min_interval_s": 8, "hybrid__learn_every_trades": 2},
}


@pytest.mark.parametrize("mode", OWN)
def test_agents_trade_both_directions_and_the_run_replays(workplace: Path, mode: str) -> None:
    folder = hybrid(**COVERED | {"synthetic__hours": 0.1, "llm__provider": '"rules"'} | OWN[mode])
    events = [line.event for line in read(folder.journal)]
    orders = {(each.side, each.purpose) for each in events if isinstance(each, SubmitOrder)}
    assert orders == {(BUY, ENTER), (SELL, LEAVE), (SELL, ENTER), (BUY, LEAVE)}
    decisions = [each for each in events if isinstance(each, Decision) and each.verdict == "trade"]
    assert {each.direction for each in decisions} >= {"long", "short"}
    codes = {each.code for each in events if isinstance(each, ProposalResolved)}
    assert "bad_proposal" not in codes and ("exit_signal" in codes) is (mode == "llm")
    assert replayed(folder) is None
    assert verify(folder).finished
