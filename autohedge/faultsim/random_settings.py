"""Random settings of a history: many entries, varied, and a few limits that bind.

All are plain values, as in a configuration file, and only what differs from the shipped settings.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from autohedge.core.ids import Randomness
from autohedge.faultsim.random_market import SYMBOLS, MarketInstrument

MODES = ("hft", "hybrid", "llm")
PYTHON_STRATEGY = "autohedge.faultsim.rising_mid:RisingMid"
Section = dict[str, Any]


def random_settings(draw: Randomness, instruments: Sequence[MarketInstrument]) -> dict[str, Section]:
    """Draws the settings of one history."""
    mode = draw.choice(MODES)
    cash = draw.choice([1_000, 10_000, 10_000, 10_000, 50_000])
    return settings_for(draw, instruments, mode, cash)


def settings_for(
    draw: Randomness, instruments: Sequence[MarketInstrument], mode: str, cash: int
) -> dict[str, Section]:
    """Draws settings of a mode, with limits that fit an account with this cash."""
    sizing, execution = _sizing(draw, cash), _execution(draw)
    entry = _Entry.of(cash, sizing, execution, mode)
    settings: dict[str, Section] = {
        "trading": {"mode": mode},
        "exits": _exits(draw),
        "sizing": sizing,
        "execution": execution,
        "reconciliation": {
            "every_s": draw.choice([5.0, 20.0, 20.0, 45.0]),
            "external": draw.choice(["adopt", "alert", "halt"]),
        },
        "risk": _risk(draw, entry.notional / cash) | _limits(draw, entry, instruments),
        **_venue(draw, cash),
        "instruments": {each.symbol: _rules(draw, each, entry) for each in instruments},
        "symbol_overrides": _overrides(draw, sizing, instruments),
    }
    settings |= _strategy(draw)
    if mode != "hft":
        settings["tools"] = {"bars": {"1s": 4, "5s": 3}}  # of short markets
    if mode == "hybrid":
        settings["hybrid"] = _gates(draw)
    elif mode == "llm":
        settings |= _agents(draw)
    return settings


class _Entry(NamedTuple):
    """A typical entry: its notional, that of its first order, and whether agents make entries smaller."""

    notional: float
    first_order: float
    varies: bool

    @classmethod
    def of(cls, cash: int, sizing: Section, execution: Section, mode: str) -> "_Entry":
        target = cash * sizing["target_balance_pct"] / 100
        notional = max(min(target, sizing["max_order_amount"]), sizing["min_order_amount"])
        return cls(notional, notional / execution["twap_slices"], mode == "llm")


def _uniform(draw: Randomness, least: float, most: float) -> float:
    """A number with few digits, so that a history is easy to read."""
    return round(draw.uniform(least, most), 2)


def _strategy(draw: Randomness) -> dict[str, Section]:
    """A strategy with its parameters. The sections of strategies that do not run matter to the agents."""
    fast = draw.randint(1, 2)
    return {
        "strategy": {"name": draw.choices(["momentum", "crossover", PYTHON_STRATEGY], [65, 27, 8])[0]},
        "momentum": {
            "evaluate_every_quotes": draw.randint(2, 8),
            "lookback": draw.randint(2, 5),
            "warmup_count": 5,
            "min_edge_bps": draw.choice([-5.0, -1.0, 0.0]),  # a random walk has no edge to wait for
            "max_spread_bps": draw.choice([20.0, 100.0, 100.0]),
            "min_volume_ratio": draw.choice([0.0, 0.0, 0.0, 0.0, 0.3]),
            "use_vwap_filter": draw.random() < 0.15,
        },
        "crossover": {
            "fast": fast,
            "slow": fast + draw.randint(1, 2),
            "bar_s": draw.choice([0.3, 0.5, 1.0]),
        },
    }


def _exits(draw: Randomness) -> Section:
    trails = draw.random() < 0.35
    return {
        "take_profit_bps": _uniform(draw, 4, 25),
        "stop_loss_bps": _uniform(draw, 4, 25),
        "max_hold_s": draw.choice([0.0, 0.0, 5.0, 15.0, 40.0]),
        "trailing_activation_bps": _uniform(draw, 1, 8) if trails else 0.0,
        "trailing_distance_bps": _uniform(draw, 1, 6) if trails else 0.0,
    }


def _sizing(draw: Randomness, cash: int) -> Section:
    target_pct = draw.choice([1, 20, 50, 100, 100])
    largest = max(cash * draw.choice([5, 40, 450, 950, 950]) // 1_000, 50)
    return {
        "target_balance_pct": target_pct,
        "min_order_amount": min(largest, cash * target_pct // 100) // draw.choice([5, 100, 100, 100]) + 1,
        "max_order_amount": largest,
    }


def _execution(draw: Randomness) -> Section:
    """Settings of how entries are priced, sliced and queried."""
    sliced = draw.random() < 0.3
    settings: Section = {
        "time_in_force": draw.choice(["ioc", "gtc"]),
        "cancel_after_s": _uniform(draw, 2, 15),
        "min_order_interval_ms": draw.choice([0.0, 0.0, 0.0, 300.0, 2_000.0]),
        "cooldown_ms": draw.choice([0.0, 0.0, 0.0, 500.0, 4_000.0]),
        "reprice_after_s": draw.choice([0.0, 0.5, 1.5]),
        "twap_slices": draw.randint(2, 4) if sliced else 1,
        "twap_s": _uniform(draw, 3, 25) if sliced else 0.0,
        "ack_timeout_s": draw.choice([1.0, 3.0]),
        "query_backoff_max_s": 5.0,
        "audit_s": draw.choice([4.0, 10.0]),
    }
    aggression_bps = draw.choice([None, 0.0, 2.0, 8.0])
    return settings if aggression_bps is None else settings | {"aggression_bps": aggression_bps}


def _risk(draw: Randomness, share: float) -> Section:
    """Limits of time, rate and loss; the loss that entries of this share of the cash can bring about."""
    most_loss_pct = draw.choice([1.0, 1.0, 1.0, _uniform(draw, 1, 2), _uniform(draw, 1, 5)])
    return {
        "max_daily_loss_pct": most_loss_pct if share > 0.2 else draw.choice([1.0, 5.0, 50.0]),
        "max_orders_per_minute": draw.choice([10, 30, 60, 600]),
        "max_errors_per_minute": draw.choice([5, 15, 100]),
        "stale_after_ms": draw.choice([1_000.0, 5_000.0, 5_000.0, 15_000.0]),
        "unknown_halt_s": _uniform(draw, 8, 40),
        "silent_feed_s": _silent_feed_s(draw),
    }


def _silent_feed_s(draw: Randomness) -> float:
    """The time after which a feed is silent; 0 in a fifth of the histories: nothing watches the feed."""
    longest_s = 20.0
    after_s = _uniform(draw, 5, longest_s)
    return after_s if after_s < longest_s - 3 else 0.0


def _limits(draw: Randomness, entry: _Entry, instruments: Sequence[MarketInstrument]) -> Section:
    """Limits of amounts; each is near the amount of an entry in some histories, and off in the others."""
    prices = [each.price for each in instruments]
    least = 0.6 if entry.varies else 1.0
    whole, first = entry.notional, entry.first_order
    near = {
        "max_position_notional": round(draw.uniform((whole + first) * 0.48 * least, whole * 1.2)),
        "max_exposure_notional": round(draw.uniform(whole * least, whole * 1.6)),
        "max_order_notional": round(draw.uniform(first * least, first * 1.2)) + 1,
        "min_order_notional": round(draw.uniform(first * 0.3, first * 0.98)),
        "price_band_bps": _uniform(draw, 0.8, 3),
        # Of the cheapest and of the dearest instrument: the others keep to it.
        "max_order_quantity": _digits(draw.uniform(first * 0.99, first * 1.1) / min(prices)),
        "min_order_quantity": _digits(draw.uniform(first * 0.3, first * 1.01) / max(prices)),
    }
    of_account = {"max_position_notional", "max_exposure_notional"}
    return {name: near[name] for name in near if draw.random() < (0.25 if name in of_account else 0.12)}


def _digits(value: float) -> float:
    return float(f"{value:.4g}")


def _venue(draw: Randomness, cash: int) -> dict[str, Section]:
    """The account with its fees, and latency and fills at the venue."""
    late = draw.random() < 0.6
    maker_bps, taker_bps = draw.choice([(0, 0), (3, 2), (10, 10), (4, 10), (5, 25), (25, 25)])
    simulated = {
        "order_latency_ms": _uniform(draw, 5, 200) if late else 0.0,
        "response_latency_ms": _uniform(draw, 5, 200) if late else 0.0,
        "latency_jitter_ms": draw.choice([0.0, 80.0]) if late else 0.0,
        "partial_fills": draw.random() < 0.5,
    }
    account = {"initial_cash": cash, "maker_bps": maker_bps, "taker_bps": taker_bps}
    return {"account": account, "simulated": simulated}


def _rules(draw: Randomness, instrument: MarketInstrument, entry: _Entry) -> Section:
    """The rules of an instrument: mostly the market's; some have no tick, or one above the price."""
    least = round(entry.first_order * draw.choice([0.0, 0.0, 0.1, 0.3]), 2)
    rules = {"lot": instrument.lot, "min_notional": least}
    wrong = 0 if instrument.symbol == SYMBOLS[0] else 3  # one that can be traded is left
    (tick,) = draw.choices([instrument.tick, None, instrument.price * 2], [87, 10, wrong])
    return rules | {"tick": tick} if tick else rules


def _overrides(
    draw: Randomness, sizing: Section, instruments: Sequence[MarketInstrument]
) -> dict[str, Section]:
    """Exits and sizes of one symbol that differ from the others', in half of the histories."""
    if draw.random() < 0.5:
        return {}
    largest = max(int(sizing["max_order_amount"] * draw.uniform(0.3, 3)), sizing["min_order_amount"])
    changes = {"exits": {"stop_loss_bps": _uniform(draw, 3, 60)}, "sizing": {"max_order_amount": largest}}
    return {draw.choice(instruments).symbol: changes}


def _gates(draw: Randomness) -> Section:
    """Settings of gates that are requested often, answered soon, and close again soon."""
    return {
        "gate_refresh_quotes": draw.randint(12, 48),
        "no_trade_cooldown_quotes": draw.choice([0, 8, 24]),
        "min_refresh_s": draw.choice([0.0, 2.0]),
        "verdict_ttl_s": _uniform(draw, 6, 40),
        "deadline_s": _uniform(draw, 3, 12),
        "learn_every_trades": draw.choice([0, 1, 3]),
        "starts_open": draw.random() < 0.2,
    }


def _agents(draw: Randomness) -> dict[str, Section]:
    """Settings of agents that are asked often and answer soon, with exits close to the price."""
    risk = {
        "least_stop_loss_bps": 3,
        "most_stop_loss_bps": draw.randint(8, 25),
        "least_take_profit_bps": 4,
        "most_take_profit_bps": draw.randint(20, 40),
        "least_reward_to_risk": draw.choice([0.5, 1.0, 1.5]),
    }
    return {
        "llm": {
            "no_trade_cooldown_quotes": draw.choice([0, 8, 24]),
            "min_interval_s": draw.choice([1.0, 2.0, 4.0]),
        },
        "hybrid": {
            "deadline_s": _uniform(draw, 3, 12),
            "learn_every_trades": draw.choice([0, 1, 3]),
        },
        "agents": {"risk": risk, "execution": {"most_offset_bps": draw.choice([0, 3, 12])}},
    }
