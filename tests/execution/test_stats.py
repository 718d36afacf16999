"""Statistics of a run: what counts as a fill of a side, and as a winning exit."""

from decimal import Decimal

from autohedge.core.orders import BUY, SELL
from autohedge.core.reasons import Reason
from autohedge.execution.orders import Order
from autohedge.execution.stats import RunStats
from tests.execution.trading_factory import position_change
from tests.risk.intent_factory import buy, sell

D = Decimal


def test_only_an_exit_with_a_profit_counts_as_winning() -> None:
    stats = RunStats()
    for intent, realized in ((buy(), D(1)), (sell(), D(-1)), (sell(), D(0)), (sell(), D("0.01"))):
        change = position_change(intent.side, D(1), D(100), realized, D(0))
        stats.record_fill(Order("a", intent), change)
    assert stats.winning_exits == 1
    assert (stats.count(BUY), stats.count(SELL), stats.exits(Reason.STOP_LOSS)) == (1, 3, 3)
