"""Random settings of a scenario: many entries, varied, with limits tight enough to bind."""

from decimal import Decimal
from functools import cache
from typing import Any

from autohedge import config
from autohedge.config import Settings
from autohedge.config.sections import InstrumentRules
from autohedge.core.ids import Randomness
from autohedge.faultsim.random_market import SYMBOLS, TICK

MODES = ("hft", "hybrid", "llm")


@cache
def _shipped() -> Settings:
    """The shipped defaults, without the user's files or environment."""
    return config.from_plain(config.read_toml(config.shipped_file()))


def random_settings(draw: Randomness) -> Settings:
    """Draws the settings of one scenario."""
    # The order of the draws is part of the meaning of a seed.
    has_latency = draw.random() < 0.6
    sliced = draw.random() < 0.3
    trails = draw.random() < 0.3
    changes: dict[str, dict[str, Any]] = {
        "momentum": {
            "evaluate_every_quotes": draw.randint(2, 8),
            "lookback": draw.randint(2, 5),
            "warmup_count": 5,
            "min_edge_bps": draw.choice([-5.0, -1.0, 0.0]),  # a random walk has no edge to wait for
            "max_spread_bps": 100.0,
        },
        "exits": {
            "take_profit_bps": draw.uniform(4, 25),
            "stop_loss_bps": draw.uniform(4, 25),
            "max_hold_s": draw.choice([0.0, 0.0, 15.0]),
            "trailing_activation_bps": 3.0 if trails else 0.0,
            "trailing_distance_bps": 2.0 if trails else 0.0,
        },
        "sizing": {
            "target_balance_pct": Decimal(draw.choice(["1", "5", "20"])),
            "max_order_amount": Decimal(draw.choice([50, 400])),
        },
        "execution": _orders(draw, sliced=sliced),
        "reconciliation": {"every_s": 20.0, "external": "adopt"},
        "risk": {
            "max_exposure_notional": Decimal(draw.choice([500, 3_000])),
            "max_orders_per_minute": draw.choice([60, 600]),
            "max_errors_per_minute": draw.choice([5, 15, 100]),
            "unknown_halt_s": draw.uniform(8, 40),
            "silent_feed_s": draw.uniform(5, 20),
            "stale_after_ms": 5_000.0,
        },
        "simulated": {
            "order_latency_ms": draw.uniform(5, 200) if has_latency else 0.0,
            "response_latency_ms": draw.uniform(5, 200) if has_latency else 0.0,
            "latency_jitter_ms": draw.choice([0.0, 80.0]) if has_latency else 0.0,
            "partial_fills": draw.random() < 0.5,
        },
    }
    rules = InstrumentRules(tick=TICK, lot=Decimal("0.001"), min_notional=Decimal(draw.choice([0, 15])))
    base = _shipped()
    mode = MODES[int(draw.random() * len(MODES))]
    changes["trading"] = {"mode": mode}
    if mode == "hybrid":
        changes["hybrid"] = _gates(draw)
    elif mode == "llm":
        changes |= _agents(draw, base)
    sections = {name: getattr(base, name).model_copy(update=keys) for name, keys in changes.items()}
    return base.model_copy(update=sections | {"instruments": dict.fromkeys(SYMBOLS, rules)})


def _orders(draw: Randomness, *, sliced: bool) -> dict[str, Any]:
    """Settings of how entries are priced, sliced and queried."""
    return {
        "time_in_force": draw.choice(["ioc", "gtc"]),
        "aggression_bps": draw.choice([None, 0.0, 2.0]),
        "cancel_after_s": draw.uniform(2, 15),
        "reprice_after_s": draw.choice([0.0, 1.5]),
        "twap_slices": 3 if sliced else 1,
        "twap_s": draw.uniform(3, 25) if sliced else 0.0,
        "ack_timeout_s": 3.0,
        "query_backoff_max_s": 5.0,
        "audit_s": 10.0,
    }


def _gates(draw: Randomness) -> dict[str, Any]:
    """Settings of gates that are requested often, answered soon, and close again soon."""
    return {
        "gate_refresh_quotes": draw.randint(12, 48),
        "no_trade_cooldown_quotes": draw.choice([0, 8, 24]),
        "min_refresh_s": draw.choice([0.0, 2.0]),
        "verdict_ttl_s": draw.uniform(6, 40),
        "deadline_s": draw.uniform(3, 12),
        "learn_every_trades": draw.choice([0, 1, 3]),
        "starts_open": draw.random() < 0.2,
    }


def _agents(draw: Randomness, base: Settings) -> dict[str, dict[str, Any]]:
    """Settings of agents that are asked often and answer soon, with exits close to the price."""
    risk = {
        "least_stop_loss_bps": 3,
        "most_stop_loss_bps": draw.randint(8, 25),
        "least_take_profit_bps": 4,
        "most_take_profit_bps": draw.randint(20, 40),
        "least_reward_to_risk": draw.choice([0.5, 1.0, 1.5]),
    }
    execution = {"most_offset_bps": draw.choice([0, 3, 12])}
    return {
        "llm": {
            "no_trade_cooldown_quotes": draw.choice([0, 8, 24]),
            "min_interval_s": draw.choice([2.0, 4.0]),
        },
        "hybrid": {
            "deadline_s": draw.uniform(3, 12),
            "learn_every_trades": draw.choice([0, 1, 3]),
        },
        "agents": {
            "risk": base.agents.risk.model_copy(update=risk),
            "execution": base.agents.execution.model_copy(update=execution),
        },
    }
