"""Orders whose lines a crash took from the record are known as orders of the run, over all its restarts."""

from decimal import Decimal

import pytest

from autohedge.core.events import OrderAdopted, OrderMassStatus, Restarted
from autohedge.core.ids import client_order_id
from autohedge.core.orders import BUY
from autohedge.execution.lost_orders import LINES_MAX, LostOrderIds
from tests.engine.harness import EngineHarness
from tests.execution.trading_factory import EAGER, FLAT, listed

ROWS = 5_000


def _restarted(nonces: list[str], rows: int = ROWS) -> tuple[EngineHarness, list[int]]:
    """An engine that was restarted with each of these nonces, and the first seq of each dead process."""
    harness, seqs = EngineHarness(EAGER, FLAT), []
    for nonce in nonces:
        seqs.append(harness.engine.seq)
        harness.step(Restarted(harness.engine.now_ns, harness.engine.pos + rows, nonce))
    return harness, seqs


def _adopted(harness: EngineHarness, order_id: str) -> list[str]:
    """Lists an order as open at the venue; returns why it was adopted, if it was."""
    now_ns = harness.engine.now_ns
    orders = (listed(order_id, BUY, Decimal(1)),)
    events = harness.step(OrderMassStatus(now_ns, now_ns, orders))
    return [event.why for event in events if isinstance(event, OrderAdopted)]


@pytest.mark.parametrize(
    ("after", "why"),
    [
        (0, ["lost_intent"]),
        (ROWS + LINES_MAX - 1, ["lost_intent"]),
        (ROWS + LINES_MAX, []),
        (-1, []),
    ],
)
def test_order_lost_beyond_rows_without_lines_is_an_order_of_the_run(after: int, why: list[str]) -> None:
    harness, (seq,) = _restarted(["second"])
    assert _adopted(harness, client_order_id("n", seq + after)) == why


@pytest.mark.parametrize(("process", "nonce"), list(enumerate(["n", "second", "third"])))
def test_order_of_any_process_of_the_run_may_show_up_after_the_last_restart(process: int, nonce: str) -> None:
    harness, seqs = _restarted(["second", "third", "fourth"])
    assert _adopted(harness, client_order_id(nonce, seqs[process] + 3)) == ["lost_intent"]


def test_order_that_first_shows_up_two_restarts_later_is_still_known() -> None:
    harness, (seq,) = _restarted(["second"])
    assert _adopted(harness, "0" * 32) == []
    for nonce in ("third", "fourth"):
        harness.step(Restarted(harness.engine.now_ns, harness.engine.pos, nonce))
        assert _adopted(harness, "1" * 32) == []
    assert _adopted(harness, client_order_id("n", seq + ROWS)) == ["lost_intent"]


@pytest.mark.parametrize("order_id", ["", "theirs", "-5", client_order_id("other", 1), "٣" * 32])
def test_id_that_no_process_of_the_run_derives_is_unknown(order_id: str) -> None:
    lost = LostOrderIds()
    lost.add("n", 1, 10)
    assert order_id not in lost


def test_rows_that_a_crash_may_hide_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autohedge.execution.lost_orders.ROWS_MAX", 5)
    lost = LostOrderIds()
    lost.add("n", 1, 10**12)
    assert client_order_id("n", 5 + LINES_MAX) in lost
    assert client_order_id("n", 6 + LINES_MAX) not in lost
