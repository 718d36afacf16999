"""Longs and shorts against known answers of a perpetual, where its margin, funding and marks play no part."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from autohedge import config
from autohedge.market import open_tape, parse_source
from tests.engine.known_answers import compare_fill
from tests.run_harness import Played, play

KEYS = {
    "min_edge_bps": "momentum.min_edge_bps",
    "take_profit_bps": "exits.take_profit_bps",
    "stop_loss_bps": "exits.stop_loss_bps",
    "target_pct": "sizing.target_balance_pct",
    "most": "sizing.max_order_amount",
}
LATENCIES = {
    "order_latency_ns": "simulated.order_latency_ms",
    "response_latency_ns": "simulated.response_latency_ms",
}
WIDE = [
    "risk.max_order_notional=1e9",
    "risk.max_order_quantity=1e9",
    "risk.max_position_notional=1e9",
    "risk.max_exposure_notional=1e9",
    "risk.max_daily_loss_pct=100",
    "risk.max_orders_per_minute=1000000",
]
COUNTS = ("longs", "shorts", "take_profits", "stop_losses", "expired")


def _cases(shared: Path) -> list[dict[str, Any]]:
    path = shared / "spec" / "markets" / "perp-runs.json"
    cases: list[dict[str, Any]] = json.loads(path.read_text())["runs"]
    return cases


def _played(shared: Path, case: dict[str, Any]) -> Played:
    """Runs a case in a covered account that has the money which the leverage of the case gives."""
    params, tape = case["params"], open_tape([parse_source(str(shared / "data" / case["tape"]))])
    rules = f'instruments={{"{tape.streams[0].symbol}"={{lot={params["lot"]}}}}}'
    money = f"account.initial_cash={Decimal(params['initial_cash']) * params['leverage']}"
    account = [
        f'trading.direction="{params["direction"]}"',
        'account.kind="covered"',
        "account.taker_bps=4.5",
    ]
    plain = [f"{KEYS[key]}={value}" for key, value in params.items() if key in KEYS]
    waits = [f"{LATENCIES[key]}={value / 1e6}" for key, value in params.items() if key in LATENCIES]
    chosen = config.load(overrides=["trading.mode=hft", rules, money, *account, *plain, *waits, *WIDE])
    return play(chosen, tape)


def _is_leveraged(case: dict[str, Any]) -> bool:
    """Whether the orders are a share of what the margin leaves, so that their sizes are not ours."""
    return "target_pct" in case["params"]


@pytest.mark.parametrize("number", range(12))
def test_longs_and_shorts_on_recorded_tapes_give_the_known_answers(
    shared: Path, workplace: Path, number: int
) -> None:
    case = _cases(shared)[number]
    played, answer = _played(shared, case), case["answer"]
    result, fills = played.result, played.engine.stats.fills
    assert {k: n for k, n in result.codes.items() if n} == {k: n for k, n in answer["codes"].items() if n}
    assert [getattr(result, key) for key in COUNTS] == [answer[key] for key in COUNTS]
    assert len(fills) == answer["fills"]
    if not _is_leveraged(case):
        for wanted, fill in zip(answer["first_fills"], fills, strict=False):
            compare_fill(wanted, fill)
        compare_fill(answer["last_fill"], fills[-1])
        for key in ("fees", "realized_pnl", "open_position"):
            assert getattr(result, key) == Decimal(answer[key]), key


def test_the_answers_have_shorts_and_sizes_that_need_no_margin(shared: Path) -> None:
    cases = _cases(shared)
    assert sum(not _is_leveraged(case) for case in cases) == 6
    assert sum(case["answer"]["shorts"] for case in cases if not _is_leveraged(case)) > 30
