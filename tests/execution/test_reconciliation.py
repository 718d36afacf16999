"""A reconciliation pass: all queries at once, slow answers, another pass while positions move."""

from decimal import Decimal

from autohedge.core.clock import NEVER
from autohedge.core.events import (
    AccountState,
    AnyOutput,
    QueryAccount,
    QueryFills,
    QueryOpenOrders,
    Reconciled,
)
from autohedge.core.timers import TimerQueue
from autohedge.core.units import NS_PER_S
from autohedge.execution.ledger import Ledger
from autohedge.execution.reconciliation import RECONCILE, Reconciliation, ReconciliationPolicy
from autohedge.execution.tracking import TimerKey

D = Decimal
LAG_NS = 5 * NS_PER_S
LEDGER = Ledger(D(100))


def _requested(every_s: int = 0) -> tuple[Reconciliation, TimerQueue[TimerKey], list[AnyOutput]]:
    timers: TimerQueue[TimerKey] = TimerQueue()
    outputs: list[AnyOutput] = []
    reconciliation = Reconciliation(
        ReconciliationPolicy(every_s * NS_PER_S, 0, LAG_NS, "adopt"), timers, outputs.append
    )
    reconciliation.request(0, 0)
    return reconciliation, timers, outputs


def _compare(
    reconciliation: Reconciliation, at_ns: int, cash: int, *, rests: bool
) -> list[tuple[str, Decimal]]:
    """Completes a pass with the venue's account and an empty list of orders."""
    account = AccountState(at_ns, reconciliation.requested_ns, D(cash), {})
    found = list(reconciliation.confirmed_differences(account, LEDGER, lambda *_: rests))
    for part in ("account", "orders"):
        reconciliation.on_part(part, reconciliation.requested_ns, len(found), at_ns, at_stake=False)
    return found


def test_reconciliation_completes_when_orders_and_account_arrive() -> None:
    reconciliation, timers, outputs = _requested()
    assert [type(event) for event in outputs] == [QueryOpenOrders, QueryFills, QueryAccount]
    assert not reconciliation.on_part("orders", 0, 0, 1, at_stake=False)
    assert reconciliation.on_part("account", 0, 0, 2, at_stake=False)
    assert outputs[3:] == [Reconciled(2, 0)]
    assert timers.deadline_ns(RECONCILE) == NEVER


def test_reconciliation_requested_twice_accepts_first_answers() -> None:
    reconciliation, _, _ = _requested()
    reconciliation.request(2 * NS_PER_S, 0)
    assert not reconciliation.on_part("orders", 0, 0, 3 * NS_PER_S, at_stake=False)
    assert reconciliation.on_part("account", 0, 0, 3 * NS_PER_S, at_stake=False)


def test_aborted_reconciliation_needs_new_answers() -> None:
    reconciliation, _, _ = _requested()
    reconciliation.abort()
    reconciliation.request(2 * NS_PER_S, 0)
    for part in ("orders", "account"):
        assert not reconciliation.on_part(part, 0, 0, 3 * NS_PER_S, at_stake=False)
    assert reconciliation.open


def test_difference_during_activity_is_unproven_and_rechecked() -> None:
    reconciliation, timers, _ = _requested()
    assert _compare(reconciliation, 10, 104, rests=False) == []
    assert timers.deadline_ns(RECONCILE) == 10 + LAG_NS


def test_difference_seen_twice_a_visibility_lag_apart_counts() -> None:
    reconciliation, timers, _ = _requested()
    assert _compare(reconciliation, 10, 104, rests=True) == []
    reconciliation.request(timers.deadline_ns(RECONCILE), 0)
    assert _compare(reconciliation, reconciliation.requested_ns, 104, rests=True) == [("", D(4))]
    assert timers.deadline_ns(RECONCILE) == NEVER


def test_difference_without_a_price_is_deferred_and_rechecked() -> None:
    reconciliation, timers, _ = _requested()
    reconciliation.defer("X", D(1), 0)
    _compare(reconciliation, 10, 100, rests=True)
    assert timers.deadline_ns(RECONCILE) == NEVER, "a difference that is gone is forgotten"
    reconciliation.request(20, 0)
    account = AccountState(30, 20, D(100), {"X": D(1)})
    assert list(reconciliation.confirmed_differences(account, LEDGER, lambda *_: True)) == []
    reconciliation.defer("X", D(1), 30)
    for part in ("account", "orders"):
        reconciliation.on_part(part, 20, 0, 30, at_stake=False)
    assert timers.deadline_ns(RECONCILE) == 30 + LAG_NS
