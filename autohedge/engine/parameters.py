"""The settings in force in a run, which an input can change."""

from collections.abc import Mapping
from typing import Any

from autohedge.config import Settings, with_changes
from autohedge.core.units import NS_PER_S
from autohedge.engine.deliberations.coordinator import DeliberationCoordinator
from autohedge.engine.watchdogs import Watchdogs
from autohedge.execution.manager import ExecutionManager
from autohedge.execution.planner import OrderPlanner
from autohedge.execution.tracking import QueryTimeouts
from autohedge.risk.state import ReduceCause
from autohedge.strategies import StrategyRunner

LASTING_REFUSALS = {
    "risk.max_daily_loss_pct": ReduceCause.DAILY_LOSS,
    "risk.max_orders_per_minute": ReduceCause.ORDER_RATE,
}


class Parameters:
    """Holds the settings in force; the parts of the engine keep what they derive from them until a change."""

    def __init__(
        self,
        settings: Settings,
        strategy: StrategyRunner,
        execution: ExecutionManager,
        planner: OrderPlanner,
        watchdogs: Watchdogs,
        deliberations: DeliberationCoordinator | None,
    ) -> None:
        self.settings = settings
        self._strategy, self._execution, self._planner = strategy, execution, planner
        self._watchdogs, self._deliberations = watchdogs, deliberations

    @property
    def max_lag_ms(self) -> float:
        """The lag of the event loop above which entries are off."""
        return self.settings.risk.max_lag_ms

    def change(self, changes: Mapping[str, Any], now_ns: int) -> None:
        """Applies the result of `changes_between`.

        Raises Misconfigured if a setting cannot change during a run, or if the new settings are not valid.
        """
        self.settings = settings = with_changes(self.settings, changes)
        for instrument_state in self._execution.instruments:
            instrument_state.update(settings.for_symbol(instrument_state.instrument.symbol))
        self._planner.order_rate.most = settings.risk.max_orders_per_minute
        self._execution.errors.most = settings.risk.max_errors_per_minute
        self._execution.tracker.timeouts = QueryTimeouts.of(settings)
        self._strategy.update(settings)
        self._watchdogs.set_feed_timeout(round(settings.risk.silent_feed_s * NS_PER_S))
        # Entries are off until a time that the old limit gave; the next one is measured by the new limit.
        for name in LASTING_REFUSALS.keys() & changes.keys():
            self._execution.state.clear(LASTING_REFUSALS[name])
        if self._deliberations:
            self._deliberations.update(settings, now_ns)
