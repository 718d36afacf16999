"""Runs with a fault script: each fault ends in the order state that the evidence allows."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest

from autohedge.core.events import (
    CancelOrder,
    ExecutionReport,
    OrderAccepted,
    OrderRejected,
    RequestUnknown,
    SubmitOrder,
)
from autohedge.core.orders import OrderState, Side
from autohedge.exchanges.simulated import Fault, FaultScript
from tests.run_harness import Played, Quotes, play, quotes_tape, settings

MS = 1_000_000
START_NS = 10**9  # leaves time for the account query, however slow the venue is
COST = Decimal("0.990099") * 101 * Decimal("1.001")  # with the fee of 10 bps
# The second quote triggers an entry at 101; the later ones neither trigger nor touch anything.
RISE: Quotes = [(MS, 99.9, 100.0), (2 * MS, 100.9, 101.0)]
QUIET: Quotes = [*RISE, *((n * MS, 101.0, 101.1) for n in range(3, 60))]
TWICE: Quotes = [*RISE, (3 * MS, 99.0, 99.1), (4 * MS, 100.9, 101.0), (5 * MS, 100.9, 101.0)]
PROFIT: Quotes = [*RISE, (3 * MS, 110.0, 110.1), (4 * MS, 110.0, 110.1)]


def _first(fault: Fault, side: Side = Side.BUY) -> FaultScript:
    """A script with this fault for the first order of a side, and none for the others."""
    left = [fault]

    def script(order: SubmitOrder, at_ns: int) -> Fault | None:
        return left.pop() if left and order.side is side else None

    return script


def _play(quotes: Quotes, faults: FaultScript, **changes: Any) -> Played:
    eager = {
        "momentum__evaluate_every_quotes": 1,
        "momentum__lookback": 1,
        "momentum__warmup_count": 2,
        "momentum__min_edge_bps": 20,
    }
    later = [(START_NS + ts, bid, ask) for ts, bid, ask in quotes]
    return play(settings(**(eager | changes)), quotes_tape(later), faults)


def _states(played: Played) -> list[OrderState]:
    return [order.state for order in played.engine.orders.working.values()]


def _answers(played: Played, *kinds: type) -> list[type]:
    return [type(entry.event) for entry in played.record if isinstance(entry.event, kinds)]


def _kinds(played: Played) -> Sequence[str]:
    return [report.kind for report in played.events(ExecutionReport)]


def test_a_rejected_order_frees_its_money_and_the_next_one_goes_out() -> None:
    played = _play(TWICE, _first(Fault.REJECT))
    assert _answers(played, SubmitOrder, OrderRejected, ExecutionReport) == [
        SubmitOrder,
        OrderRejected,
        SubmitOrder,
        ExecutionReport,
    ]
    assert played.result.buys == 1 and played.result.codes["entry"] == 2
    assert _states(played) == [] and played.engine.orders.reserved == 0


def test_an_order_that_was_lost_stays_unknown_with_its_money_reserved() -> None:
    played = _play(TWICE, _first(Fault.LOSE_ORDER))
    assert _states(played) == [OrderState.UNKNOWN]
    assert played.engine.orders.reserved == COST
    assert (played.result.buys, played.result.cash) == (0, Decimal(10_000))
    assert played.result.codes["entry"] == 1 and played.result.codes["order_pending"] == 1


def test_an_order_whose_answer_was_lost_is_resolved_by_its_fill() -> None:
    played = _play(QUIET, _first(Fault.LOSE_ANSWER))
    assert _answers(played, RequestUnknown, OrderAccepted, ExecutionReport) == [
        RequestUnknown,
        ExecutionReport,
    ]
    assert played.result.buys == 1 and _states(played) == []
    assert played.engine.orders.reserved == 0


def test_a_lost_answer_to_an_order_that_expired_is_resolved_by_its_expiry() -> None:
    late = {"simulated__order_latency_ms": 1.5}
    played = _play(QUIET, _first(Fault.LOSE_ANSWER), **late)
    assert len(played.events(RequestUnknown)) == 1 and _kinds(played) == ["expired"]
    assert _states(played) == [] and played.result.expired == 1


def test_a_lost_exit_keeps_the_position_and_sends_no_second_sell() -> None:
    played = _play(PROFIT, _first(Fault.LOSE_ORDER, Side.SELL))
    assert _states(played) == [OrderState.UNKNOWN]
    assert played.result.open_position == Decimal("0.990099")
    assert played.result.codes["exit_pending"] == 1
    assert [order.side for order in played.events(SubmitOrder)] == [Side.BUY, Side.SELL]


def test_rejected_exit_is_retried_at_first_quote_after_a_pause() -> None:
    later = [*PROFIT, *((n * MS, 110.0, 110.1) for n in (503, 504))]
    played = _play(later, _first(Fault.REJECT, Side.SELL))
    codes = played.result.codes
    assert (codes["take_profit"], codes["exit_pending"]) == (2, 2)
    assert played.result.take_profits == 1 and played.result.open_position == 0


@pytest.mark.parametrize("fault", list(Fault))
@pytest.mark.parametrize("side", list(Side))
def test_after_any_fault_the_books_still_add_up(fault: Fault, side: Side) -> None:
    played = _play([*PROFIT, *((t + 10 * MS, b, a) for t, b, a in TWICE)], _first(fault, side))
    cash = Decimal(10_000)
    for fill in played.engine.stats.fills:
        cash -= fill.qty * fill.price * (1 if fill.side is Side.BUY else -1) + fill.fee
    assert played.engine.ledger.cash == cash
    assert sum(played.result.codes.values()) == 9


RESTING = {
    "execution__time_in_force": "gtc",
    "execution__cancel_after_s": 0.01,
    "simulated__order_latency_ms": 1.5,
}


def test_resting_order_past_its_cancel_timeout_is_cancelled() -> None:
    played = _play(QUIET, _first(Fault.REJECT, Side.SELL), **RESTING)
    assert _kinds(played) == ["canceled"] and _states(played) == []
    (report,) = played.events(ExecutionReport)
    assert report.ts_ns == START_NS + 2 * MS + 10 * MS + 1_500_000


def test_resting_order_with_lost_answer_is_cancelled_too() -> None:
    played = _play(QUIET, _first(Fault.LOSE_ANSWER), **RESTING)
    assert _answers(played, RequestUnknown, OrderAccepted, CancelOrder) == [RequestUnknown, CancelOrder]
    assert _kinds(played) == ["canceled"] and _states(played) == []


def test_lost_resting_order_after_cancel_request_stays_reserved() -> None:
    played = _play(QUIET, _first(Fault.LOSE_ORDER), **RESTING)
    assert len(played.events(CancelOrder)) == 1
    assert len(_states(played)) == 1 and played.engine.orders.reserved == COST


def test_a_rejection_that_crosses_our_cancel_ends_the_order() -> None:
    played = _play(QUIET, _first(Fault.REJECT), **RESTING, simulated__response_latency_ms=30)
    assert len(played.events(OrderRejected)) == 1
    assert _states(played) == [] and played.engine.orders.reserved == 0


@pytest.mark.parametrize("seed", range(3))
def test_cancel_overtaking_its_order_still_cancels_it(seed: int) -> None:
    changes = {"execution__cancel_after_s": 0.001, "simulated__latency_jitter_ms": 40, "seed": seed}
    played = _play(QUIET, _first(Fault.REJECT, Side.SELL), **(RESTING | changes))
    assert len(played.events(CancelOrder)) == 1
    assert _states(played) == []
