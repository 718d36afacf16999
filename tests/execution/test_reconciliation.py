"""A reconciliation pass: all queries at once, slow answers, another pass while positions move."""

from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
import pytest

from autohedge.app import engine_for
from autohedge.core.clock import NEVER
from autohedge.core.events import (
    AccountState,
    AnyOutput,
    ConnectionStatus,
    ExecutionReport,
    ExternalChange,
    OperatorCommand,
    OrderAccepted,
    OrderMassStatus,
    OrderOverfilled,
    OrderRejected,
    QueryAccount,
    QueryFills,
    QueryOpenOrders,
    Reconciled,
    RunStarted,
    SubmitOrder,
    Timer,
)
from autohedge.core.orders import BUY, OrderState
from autohedge.core.timers import TimerQueue
from autohedge.core.units import NS_PER_S
from autohedge.engine.engine import Engine
from autohedge.execution.ledger import Ledger
from autohedge.execution.orders import Order
from autohedge.execution.reconciliation import (
    RECONCILE,
    Reconciliation,
    ReconciliationPolicy,
    Subject,
    status_evidence,
)
from autohedge.execution.tracking import TimerKey
from tests.execution.trading_factory import listed
from tests.risk.intent_factory import buy
from tests.run_harness import columns_tape, quotes_tape, settings

D = Decimal
START_NS = 1_700_000_000 * NS_PER_S
HOUR_NS = 3_600 * NS_PER_S
FLAT = [(START_NS + i * NS_PER_S, 100.0, 100.1) for i in range(20)]
EAGER = {
    "momentum__evaluate_every_quotes": 1,
    "momentum__lookback": 1,
    "momentum__warmup_count": 0,
    "momentum__min_edge_bps": 0,
    "reconciliation__every_s": 300,
}
LAG_NS = 5 * NS_PER_S
LEDGER = Ledger(D(100))
CASH = Subject("cash", "")


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
) -> list[tuple[Subject, Decimal]]:
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
    assert _compare(reconciliation, reconciliation.requested_ns, 104, rests=True) == [(CASH, D(4))]
    assert timers.deadline_ns(RECONCILE) == NEVER


def test_cash_of_each_currency_is_compared_by_itself() -> None:
    ledger = Ledger(D(100), "USD", {"BTC": D(2), "EUR": D(3)})
    reconciliation, _, _ = _requested()
    found: list[tuple[Subject, Decimal]] = []
    for _ in range(2):
        at_ns = reconciliation.requested_ns
        account = AccountState(at_ns, at_ns, D(100), {"BTC": D(1)}, {"BTC": D(5), "EUR": D(3), "BNB": D(1)})
        found = list(reconciliation.confirmed_differences(account, ledger, lambda *_: True))
        reconciliation.request(at_ns + LAG_NS, 0)
        reconciliation.requested_ns = at_ns + LAG_NS
    # The position in a symbol that is named as a currency is another subject.
    assert found == [
        (Subject("position", "BTC"), D(1)),
        (Subject("cash", "BNB"), D(1)),
        (Subject("cash", "BTC"), D(3)),
    ]


def test_difference_that_went_and_came_back_needs_two_more_account_states() -> None:
    reconciliation, _, _ = _requested()
    for pass_, cash in enumerate((104, 100, 104)):
        asked_ns = pass_ * LAG_NS
        reconciliation.request(asked_ns, 0)
        assert _compare(reconciliation, asked_ns + 10, cash, rests=True) == []
    reconciliation.request(3 * LAG_NS, 0)
    assert _compare(reconciliation, 3 * LAG_NS + 10, 104, rests=True) == [(CASH, D(4))]


def test_difference_that_changes_between_two_account_states_is_unproven() -> None:
    reconciliation, _, _ = _requested()
    for pass_, cash in enumerate((104, 105)):
        reconciliation.request(pass_ * LAG_NS, 0)
        assert _compare(reconciliation, pass_ * LAG_NS + 10, cash, rests=True) == []
    reconciliation.request(2 * LAG_NS, 0)
    assert _compare(reconciliation, 2 * LAG_NS + 10, 105, rests=True) == [(CASH, D(5))]


def test_difference_without_a_price_is_deferred_and_rechecked() -> None:
    reconciliation, timers, _ = _requested()
    reconciliation.defer(Subject("position", "X"), D(1), 0)
    _compare(reconciliation, 10, 100, rests=True)
    assert timers.deadline_ns(RECONCILE) == NEVER, "a difference that is gone is forgotten"
    reconciliation.request(20, 0)
    account = AccountState(30, 20, D(100), {"X": D(1)})
    assert list(reconciliation.confirmed_differences(account, LEDGER, lambda *_: True)) == []
    reconciliation.defer(Subject("position", "X"), D(1), 30)
    for part in ("account", "orders"):
        reconciliation.on_part(part, 20, 0, 30, at_stake=False)
    assert timers.deadline_ns(RECONCILE) == 30 + LAG_NS


def _pauses_s(passes: int, every_s: int, *, at_stake: bool, rows: bool) -> list[int]:
    """The pauses after each of `passes` passes, with or without rows in between."""
    reconciliation, timers, _ = _requested(every_s)
    reconciliation.abort()
    pauses, now_ns = [], START_NS
    for _ in range(passes):
        reconciliation.note_idle(now_ns if rows else -1)
        reconciliation.request(now_ns, 0)
        for part in ("orders", "account"):
            reconciliation.on_part(part, now_ns, 0, now_ns, at_stake=at_stake)
        pauses.append((timers.deadline_ns(RECONCILE) - now_ns) // NS_PER_S)
        now_ns = timers.deadline_ns(RECONCILE)
    return pauses


def test_passes_go_on_with_longer_pauses_while_idle_or_flat() -> None:
    assert _pauses_s(3, 300, at_stake=True, rows=True) == [300] * 3
    assert _pauses_s(3, 300, at_stake=False, rows=True) == [600] * 3
    assert _pauses_s(6, 300, at_stake=True, rows=False) == [600, 1200, 2400, 3600, 3600, 3600]
    assert _pauses_s(4, 300, at_stake=False, rows=False) == [1200, 2400, 3600, 3600]


def test_interval_longer_than_an_hour_is_kept() -> None:
    assert _pauses_s(3, 7200, at_stake=True, rows=False) == [7200] * 3


def test_repeated_queries_of_an_open_pass_do_not_lengthen_the_pause() -> None:
    reconciliation, timers, _ = _requested(every_s=300)
    reconciliation.abort()
    reconciliation.request(START_NS, 0)
    for _ in range(10):
        reconciliation.note_idle(0)
        reconciliation.request(START_NS + 2 * NS_PER_S, 0)
    for part in ("orders", "account"):
        reconciliation.on_part(part, START_NS, 0, START_NS, at_stake=True)
    assert timers.deadline_ns(RECONCILE) == START_NS + 300 * NS_PER_S


def test_run_with_a_clock_that_never_trades_is_reconciled_every_hour() -> None:
    engine = engine_for(settings(reconciliation__every_s=300), quotes_tape(FLAT))
    engine.step(RunStarted("n", START_NS))
    while engine.next_deadline_ns < START_NS + 24 * HOUR_NS:
        _answer(engine)
        engine.step(Timer(engine.next_deadline_ns))
    passes = [entry.event for entry in engine.log if isinstance(entry.event, Reconciled)]
    assert 24 <= len(passes) <= 30


def test_virtual_time_has_no_passes_between_1970_and_its_first_row() -> None:
    engine = engine_for(settings(reconciliation__every_s=300), quotes_tape(FLAT))
    for event in (RunStarted("n"), ConnectionStatus(4 * NS_PER_S, "up")):
        engine.step(event)
        _answer(engine)
        assert engine.next_deadline_ns == NEVER


def test_lost_overfill_of_last_exit_is_found_while_flat_and_booked() -> None:
    engine = engine_for(settings(**EAGER), quotes_tape(FLAT))
    engine.step(RunStarted("n", START_NS))
    _answer(engine)
    engine.scan(rows := quotes_tape(FLAT).rows, 0, len(rows))
    (entry,) = _outputs(engine, SubmitOrder)
    engine.step(_fill(engine, entry, "t1", entry.quantity))
    engine.step(OperatorCommand(engine.now_ns, "flatten", "enough"))
    exit_ = _outputs(engine, SubmitOrder)[-1]
    engine.step(_fill(engine, exit_, "t2", exit_.quantity))
    sold_ns = engine.now_ns
    for _ in range(2):  # the venue overfills after the first pass, and the report of it is lost
        _answer(engine)
        engine.step(Timer(engine.timers.deadline_ns(RECONCILE)))
    assert engine.now_ns <= sold_ns + 900 * NS_PER_S
    assert _outputs(engine, QueryFills)[-1].since_ns == sold_ns - 10 * NS_PER_S
    engine.step(_fill(engine, exit_, "t3", D("0.001")))
    assert _outputs(engine, OrderOverfilled) == [OrderOverfilled(exit_.order_id, D("0.001"))]
    assert engine.ledger.position("X").quantity == D("-0.001")


CURRENCIES = {
    "account__currency": "USD",
    "account__balances": "{BTC = 2}",
    "reconciliation__external": "adopt",
}


def test_cash_in_another_currency_is_adopted_once_it_has_a_rate() -> None:
    times = np.array([START_NS])
    tape = columns_tape(
        {
            "BTC/USD": {"ts": times, "bid": np.array([99.0]), "ask": np.array([101.0])},
            "ETH/BTC": {"ts": times, "bid": np.array([0.5]), "ask": np.array([0.6])},
        }
    )
    engine = engine_for(settings(**CURRENCIES), tape)
    engine.step(RunStarted("n", START_NS - 60 * NS_PER_S))
    _report_cash(engine, {"BTC": D(3), "DOGE": D(9)})
    assert [each.subject for each in _outputs(engine, ExternalChange)] == ["DOGE"]  # not of this run
    engine.scan(tape.rows, 0, 2)
    assert engine.ledger.balances == {"USD": 10_000, "BTC": 2}
    _report_cash(engine, {"BTC": D(3), "DOGE": D(9)})
    change = ExternalChange("cash", "BTC", D(1), "adopt")
    assert _outputs(engine, ExternalChange)[1:] == [change]
    assert engine.ledger.balances == {"USD": 10_000, "BTC": 3}
    assert engine.portfolio.can_enter(1) and engine.portfolio.day_start_equity() == 10_300


def _report_cash(engine: Engine, balances: dict[str, Decimal]) -> None:
    """Answers two passes, a visibility lag apart, with other balances."""
    for _ in range(2):
        at_ns = engine.now_ns
        engine.step(OrderMassStatus(at_ns, at_ns, ()))
        engine.step(AccountState(at_ns, at_ns, engine.ledger.cash, {}, balances))
        if (due_ns := engine.timers.deadline_ns(RECONCILE)) < NEVER:
            engine.step(Timer(due_ns))


def _answer(engine: Engine) -> None:
    """Answers a pass with the account that the engine has."""
    at_ns = engine.now_ns
    engine.step(OrderMassStatus(at_ns, at_ns, ()))
    engine.step(AccountState(at_ns, at_ns, engine.ledger.cash, {}))


def _fill(engine: Engine, order: SubmitOrder, trade: str, quantity: Decimal) -> ExecutionReport:
    at_ns = engine.now_ns
    return ExecutionReport(at_ns, order.order_id, "fill", at_ns, trade, quantity, D(100), D(0))


def _outputs(engine: Engine, kind: type[Any]) -> list[Any]:
    return [entry.event for entry in engine.log if isinstance(entry.event, kind)]


def test_differences_of_all_parts_of_a_pass_are_reported_together() -> None:
    reconciliation, _, outputs = _requested()
    reconciliation.on_part("orders", 0, 2, 1, at_stake=False)
    reconciliation.on_part("account", 0, 3, 2, at_stake=False)
    assert outputs[-1] == Reconciled(2, 5)


@pytest.mark.parametrize(
    ("state", "status", "proves"),
    [
        (OrderState.SUBMITTED, "open", OrderAccepted),
        (OrderState.UNKNOWN, "open", OrderAccepted),
        (OrderState.NOT_PLACED, "open", OrderAccepted),
        (OrderState.OPEN, "open", None),
        (OrderState.OPEN, "filled", None),
        (OrderState.OPEN, "canceled", ExecutionReport),
        (OrderState.UNKNOWN, "rejected", OrderRejected),
        (OrderState.FILLED, "canceled", None),
    ],
)
def test_listed_status_proves_what_is_not_known(state: OrderState, status: Any, proves: type | None) -> None:
    found = msgspec.structs.replace(listed("a", BUY, D(1)), status=status)
    evidence = status_evidence(found, Order("a", buy(), state=state), 7)
    assert (type(evidence) if evidence else None) is proves
