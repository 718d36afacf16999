"""Random changes of the settings during a history."""

from collections.abc import Sequence
from typing import Any

from autohedge.core.ids import Randomness
from autohedge.faultsim.history import ScheduledChange
from autohedge.faultsim.random_market import MarketInstrument, TradingSessions
from autohedge.faultsim.random_settings import Section, settings_for

# What is changed together: settings that bound each other, or that make one kind of behaviour.
GROUPS = (
    ("sizing.target_balance_pct", "sizing.min_order_amount", "sizing.max_order_amount"),
    (
        "risk.max_position_notional",
        "risk.max_exposure_notional",
        "risk.max_order_notional",
        "risk.min_order_notional",
    ),
    ("risk.price_band_bps", "risk.max_order_quantity", "risk.min_order_quantity"),
    ("risk.max_daily_loss_pct",),
    ("risk.max_orders_per_minute", "risk.max_errors_per_minute"),
    ("risk.stale_after_ms", "risk.silent_feed_s", "risk.unknown_halt_s"),
    ("exits.take_profit_bps", "exits.stop_loss_bps", "exits.max_hold_s"),
    ("exits.trailing_activation_bps", "exits.trailing_distance_bps"),
    ("execution.time_in_force", "execution.cancel_after_s", "execution.aggression_bps"),
    ("execution.min_order_interval_ms", "execution.cooldown_ms"),
    ("execution.reprice_after_s",),
    ("execution.twap_slices", "execution.twap_s"),
    ("execution.ack_timeout_s", "execution.query_backoff_max_s", "execution.audit_s"),
    ("momentum.evaluate_every_quotes", "momentum.min_edge_bps", "momentum.max_spread_bps"),
    ("hybrid.gate_refresh_quotes", "hybrid.no_trade_cooldown_quotes", "hybrid.min_refresh_s"),
    ("llm.no_trade_cooldown_quotes", "llm.min_interval_s"),
)
# What an entry, its slices and its position keep is changed more often: most of the time there is none of them.
WEIGHTS = [4 if group[0].startswith(("exits", "execution.twap", "sizing")) else 1 for group in GROUPS]
OF_A_SYMBOL = ("exits.stop_loss_bps", "sizing.max_order_amount")


def random_changes(
    draw: Randomness,
    settings: dict[str, Section],
    defaults: dict[str, Any],
    instruments: Sequence[MarketInstrument],
    sessions: TradingSessions,
) -> list[ScheduledChange]:
    """Draws up to sixteen changes of one to three groups of settings, some of which are reverted."""
    mode, cash = settings["trading"]["mode"], settings["account"]["initial_cash"]
    changes = []
    for _ in range(draw.choice([0, 3, 8, 16])):
        # A change to the first settings again is one to a world that is known to trade.
        other = settings if draw.random() < 0.3 else settings_for(draw, instruments, mode, cash)
        groups = draw.choices(GROUPS, WEIGHTS, k=draw.randint(1, 3))
        values = {name: _value(name, other, defaults) for group in groups for name in group}
        if draw.random() < 0.3:
            values |= _of_a_symbol(draw, other, instruments)
        at_ns = sessions.at_ns(int(draw.uniform(0.02, 0.95) * sessions.trading_ns))
        changes.append(ScheduledChange(at_ns, values))
    return sorted(changes, key=lambda change: change.at_ns)


def _value(name: str, settings: dict[str, Section], defaults: dict[str, Any]) -> Any:
    """The value of a setting; None for an optional one without a value."""
    section, key = name.split(".")
    return (defaults[section] | settings.get(section, {})).get(key)


def _of_a_symbol(
    draw: Randomness, settings: dict[str, Section], instruments: Sequence[MarketInstrument]
) -> dict[str, Any]:
    """Changes what is different for one symbol, or ends it."""
    symbol = draw.choice(instruments).symbol
    own = settings["symbol_overrides"].get(symbol, {})
    values = {}
    for name in OF_A_SYMBOL:
        section, key = name.split(".")
        values[f"symbol_overrides.{symbol}.{name}"] = own.get(section, {}).get(key)
    return values
