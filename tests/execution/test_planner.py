"""The order planner: a plan or the reason of a refusal, and nothing is submitted."""

from decimal import Decimal
from typing import Any

from autohedge.core.events import OrderAccepted, ReplaceOrder, SubmitOrder
from autohedge.core.money import add, subtract
from autohedge.core.reasons import Reason
from autohedge.core.units import NS_PER_S
from autohedge.execution.entry_request import LONG
from autohedge.execution.planner import EntryPlan
from autohedge.risk import Approved
from tests.engine.harness import START_NS, EngineHarness
from tests.execution.trading_factory import EAGER, FLAT, entered, submitted

D = Decimal
OFTEN: dict[str, Any] = {"execution__cooldown_ms": 0, "execution__min_order_interval_ms": 0}
SLICED: dict[str, Any] = {
    "execution__twap_slices": 4,
    "execution__twap_s": 40,
    "risk__stale_after_ms": 60_000,
}
RESTING: dict[str, Any] = {"execution__time_in_force": '"gtc"', "execution__reprice_after_s": 3}


def _plan(harness: EngineHarness) -> EntryPlan | Reason:
    engine = harness.engine
    return engine.planner.plan_entry(0, LONG, engine.now_ns, engine.now_ns)


def test_planner_submits_no_entry_of_its_own() -> None:
    harness = EngineHarness(EAGER, FLAT)
    harness.engine.scan(harness.rows, 0, 1)
    harness.drain()
    plan = _plan(harness)
    assert isinstance(plan, EntryPlan) and plan.slices is None
    assert harness.drain() == [] and not harness.engine.orders.working


def test_position_at_its_price_is_no_daily_loss() -> None:
    harness, entry = entered(risk__max_daily_loss_pct=D("0.5"), **OFTEN)
    harness.fill(entry)
    assert isinstance(_plan(harness), EntryPlan)


def test_entry_at_a_lower_bid_than_the_daily_loss_allows_is_refused() -> None:
    quotes = [*FLAT[:2], (START_NS + 9 * NS_PER_S, 90.0, 90.1)]
    wide: dict[str, Any] = {"exits__stop_loss_bps": 5_000, "risk__max_daily_loss_pct": D("0.01")}
    harness, entry = entered(quotes, **OFTEN, **wide)
    harness.fill(entry)
    harness.quotes(1)
    assert _plan(harness) is Reason.DAILY_LOSS


def test_slice_leaves_the_money_that_a_working_entry_needs() -> None:
    harness, first = entered(**SLICED, **OFTEN)
    engine, slices = harness.engine, harness.engine.instruments[0].slices
    assert slices is not None
    needed = engine.orders.reserved
    for left, approved in ((needed * 2 + 1, True), (needed + 1, False)):
        engine.portfolio.adopt_cash("", subtract(left, engine.ledger.cash))
        checked = engine.planner.plan_slice(0, slices, engine.now_ns)
        assert isinstance(checked, Approved) is approved, first
    assert checked is Reason.BUYING_POWER


def _resting(*asks: float, **changes: Any) -> tuple[EngineHarness, SubmitOrder]:
    """An accepted entry that rests at 100.1, after a quote with each of these asks."""
    later = [(START_NS + (2 + i) * NS_PER_S, ask - 0.1, ask) for i, ask in enumerate(asks)]
    harness, entry = entered([*FLAT[:2], *later], **RESTING, **changes)
    harness.step(OrderAccepted(harness.engine.now_ns, entry.order_id, "v"))
    harness.quotes(len(asks))
    return harness, entry


def _replaced(harness: EngineHarness, entry: SubmitOrder) -> list[Decimal]:
    events = harness.fire_timers_until(entry.at_ns + 3 * NS_PER_S)
    return [event.limit for event in events if isinstance(event, ReplaceOrder)]


def test_resting_entry_at_the_current_limit_is_not_replaced() -> None:
    assert _replaced(*_resting(100.1)) == []


def test_resting_entry_does_not_count_against_its_own_exposure_limit() -> None:
    _, entry = _resting(100.2)
    most = add(entry.quantity * D("100.2"), D(50))
    assert _replaced(*_resting(100.2, risk__max_exposure_notional=most)) == [D("100.2")]


def test_entry_drops_the_exit_reason_of_an_earlier_position() -> None:
    harness = EngineHarness(EAGER | OFTEN, FLAT)
    harness.engine.instruments[0].pending_exit_reason = Reason.TIME_STOP.label
    (entry,) = submitted(harness.quotes(2))
    harness.fill(entry)
    assert submitted(harness.quotes(3)) == []
