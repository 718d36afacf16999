"""Two reports of an order's end: the larger filled quantity counts, in either order of arrival."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from autohedge.core.events import Event, ExecutionReport, OrderMassStatus, QueryFills
from autohedge.core.orders import SELL, OrderState
from autohedge.core.units import NS_PER_S
from tests.engine.harness import EngineHarness
from tests.execution.trading_factory import entered, listed

D = Decimal
PART, MORE = D("0.3"), D("0.5")


def _end(harness: EngineHarness, order_id: str, kind: Any, filled: Decimal) -> list[Event]:
    now_ns = harness.engine.now_ns
    return harness.step(ExecutionReport(now_ns, order_id, kind, now_ns, filled=filled))


def _exiting() -> tuple[EngineHarness, str, Decimal]:
    """An engine whose exit has filled 0.3, the id of the exit, and what was held before it."""
    harness, entry = entered()
    harness.fill(entry)
    harness.engine.actions.exit_now(0, "stop_loss", harness.engine.now_ns)
    harness.drain()
    (exit_order,) = harness.engine.orders.exits_of(0)
    assert exit_order.command
    harness.fill(exit_order.command, PART)
    return harness, exit_order.id, entry.quantity


def _fill(harness: EngineHarness, order_id: str) -> None:
    now_ns = harness.engine.now_ns
    harness.step(ExecutionReport(now_ns, order_id, "fill", now_ns, "t9", MORE - PART, D(100), D(0)))


@pytest.mark.parametrize("kind", ["canceled", "expired"])
def test_second_end_with_more_filled_queries_the_fills_of_the_ended_order(kind: str) -> None:
    harness, order_id, held = _exiting()
    assert _end(harness, order_id, "expired", PART) == []
    order = harness.engine.orders.find(order_id)
    assert order and order.state is OrderState.EXPIRED
    (query,) = _end(harness, order_id, kind, MORE)
    assert query == QueryFills(harness.engine.now_ns, order.sent_ns - 10 * NS_PER_S)
    _fill(harness, order_id)
    assert harness.engine.ledger.position("X").quantity == held - MORE
    assert (order.state, order.filled) == (kind, MORE)
    assert _end(harness, order_id, kind, MORE) == []


@pytest.mark.parametrize("kind", ["canceled", "expired"])
def test_first_end_with_more_filled_waits_for_its_fills_despite_a_second_one(kind: str) -> None:
    harness, order_id, held = _exiting()
    _end(harness, order_id, kind, MORE)
    _end(harness, order_id, "expired", PART)
    order = harness.engine.orders.working[order_id]
    assert order.state is OrderState.UNKNOWN
    _fill(harness, order_id)
    assert (order.state, harness.engine.ledger.position("X").quantity) == (kind, held - MORE)


def test_ended_order_listed_with_more_filled_is_queried() -> None:
    harness, order_id, _ = _exiting()
    _end(harness, order_id, "expired", PART)
    status = msgspec.structs.replace(listed(order_id, SELL, D(1)), status="canceled", filled=MORE)
    now_ns = harness.engine.now_ns
    (query,) = harness.step(OrderMassStatus(now_ns, now_ns, (status,)))
    assert isinstance(query, QueryFills)
