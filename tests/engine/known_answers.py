"""Runs known-answer cases and compares them."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

from autohedge import config
from autohedge.core.orders import Side
from autohedge.core.results import Fill
from autohedge.market import Tape, open_tape, parse_source
from tests.run_harness import Played, play, quotes_tape

KEYS = {
    "evaluate_every_quotes": "momentum.evaluate_every_quotes",
    "momentum_lookback": "momentum.lookback",
    "warmup_count": "momentum.warmup_count",
    "min_edge_bps": "momentum.min_edge_bps",
    "max_spread_bps": "momentum.max_spread_bps",
    "take_profit_bps": "exits.take_profit_bps",
    "stop_loss_bps": "exits.stop_loss_bps",
    "fee_bps": "account.taker_bps",
}
LATENCIES = {
    "order_latency_ns": "simulated.order_latency_ms",
    "response_latency_ns": "simulated.response_latency_ms",
}
MONEY = ("fees", "cash", "equity", "open_position")
SMALLEST = "hyperliquid/SOL-USD-PERP_20250904_quotes.parquet"


def load(shared: Path, name: str) -> list[dict[str, Any]]:
    """Loads one of the two files of known answers."""
    cases: list[dict[str, Any]] = json.loads((shared / "spec" / f"hft-{name}-answers.json").read_text())
    return cases


def settings(params: dict[str, Any]) -> config.Settings:
    """The shipped settings with the parameters of a case."""
    plain = [f"{KEYS[key]}={value}" for key, value in params.items() if key in KEYS]
    waits = [f"{LATENCIES[key]}={value / 1e6}" for key, value in params.items() if key in LATENCIES]
    assert len(plain) + len(waits) == len(params)
    return config.load(overrides=["trading.mode=hft", *plain, *waits])


def tape_of_case(shared: Path, case: dict[str, Any]) -> Tape:
    """The recorded tape of a case, or that of its inline quotes."""
    if "quotes" in case:
        return quotes_tape([tuple(quote) for quote in case["quotes"]])
    return open_tape([parse_source(str(shared / "data" / case["tape"]))])


def play_tape(shared: Path, case: dict[str, Any]) -> Played:
    """Runs a case on its recorded tape."""
    return play(settings(case["params"]), tape_of_case(shared, case))


def play_edge(case: dict[str, Any]) -> Played:
    """Runs a case on its inline quotes."""
    return play(settings(case["params"]), quotes_tape([tuple(quote) for quote in case["quotes"]]))


def compare(answer: dict[str, Any], played: Played) -> None:
    """Compares every figure of an answer exactly; codes that it does not list must not occur."""
    result, fills = played.result, played.engine.stats.fills
    expected = {label: answer["codes"].get(label, 0) for label in result.codes}
    assert result.codes == expected
    for key in MONEY:
        assert getattr(result, key) == Decimal(answer[key]), key
    for key in ("quotes", "buys", "sells", "take_profits", "stop_losses", "expired"):
        assert getattr(result, key) == answer[key], key
    for wanted, fill in zip(answer["first_fills"], fills, strict=False):
        compare_fill(wanted, fill)
    if answer["last_fill"]:
        compare_fill(answer["last_fill"], fills[-1])
    assert len(fills) == answer["buys"] + answer["sells"]


def compare_fill(wanted: dict[str, Any], fill: Fill) -> None:
    """Compares side, time, price and, where given, quantity of one fill."""
    assert (Side(wanted["side"]), wanted["ts_ns"]) == (fill.side, fill.ts_ns)
    assert Decimal(wanted["price"]) == fill.price
    assert Decimal(wanted.get("qty", fill.qty)) == fill.qty


def compare_quick_cases(shared: Path) -> None:
    """Checks the smallest recorded tape and all edge cases."""
    quick = [case for case in load(shared, "known") if case["tape"] == SMALLEST]
    for case in quick:
        compare(case["answer"], play_tape(shared, case))
    edges = load(shared, "edge")
    for case in edges:
        compare(case["answer"], play_edge(case))
    print(f"{len(quick)} + {len(edges)} answers reproduced")
