"""The reconciler: own, lost, external and missing orders of a list, as values."""

from decimal import Decimal

import pytest

from autohedge.core.events import OrderMassStatus, OrderNotFound
from autohedge.core.ids import client_order_id
from autohedge.core.orders import BUY
from autohedge.execution.reconciler import Adopt, External, Known, Lost, Missing, OrderFinding
from tests.engine.harness import EngineHarness
from tests.execution.trading_factory import entered, listed

LATER_NS = 10**10


def _findings(harness: EngineHarness, *ids: str) -> list[OrderFinding]:
    now_ns = harness.engine.now_ns + LATER_NS
    orders = tuple(listed(each, BUY, Decimal(1)) for each in ids)
    return list(harness.engine.execution.reconciler.compare(OrderMassStatus(now_ns, now_ns, orders)))


def test_listed_order_of_the_run_is_known() -> None:
    harness, entry = entered()
    (finding,) = _findings(harness, entry.order_id)
    assert isinstance(finding, Known) and finding.order.id == entry.order_id


@pytest.mark.parametrize(("policy", "kind"), [("adopt", Adopt), ("alert", External), ("halt", External)])
def test_order_of_somebody_else_follows_the_policy_once(policy: str, kind: type[OrderFinding]) -> None:
    harness, _ = entered(reconciliation__external=policy)
    (finding,) = _findings(harness, "theirs")
    assert isinstance(finding, kind)
    assert not isinstance(finding, External) or finding.halts is (policy == "halt")
    if kind is External:
        assert _findings(harness, "theirs") == []


def test_order_whose_record_a_crash_took_is_lost() -> None:
    harness, _ = entered(reconciliation__external="halt")
    harness.engine.execution.reconciler.lost_ids.add("nonce", 5, 10)
    (finding,) = _findings(harness, client_order_id("nonce", 8))
    assert isinstance(finding, Lost)


def test_order_that_two_queries_and_a_list_lack_is_missing() -> None:
    harness, entry = entered()
    for _ in range(2):
        harness.fire_timers_until(harness.engine.now_ns + LATER_NS)
        now_ns = harness.engine.now_ns
        harness.step(OrderNotFound(now_ns, entry.order_id, now_ns))
    (finding,) = _findings(harness)
    assert isinstance(finding, Missing) and finding.order.id == entry.order_id
