"""What an answer to sell short changes where shorts are allowed: proposals, gates, lessons."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from autohedge.core.events import (
    CancelOrder,
    Decision,
    Event,
    ExecutionReport,
    GateChanged,
    OrderAccepted,
    SubmitOrder,
)
from autohedge.core.orders import BUY, ENTER, LEAVE, SELL
from autohedge.core.snapshots import encode
from autohedge.core.units import NS_PER_S
from autohedge.engine.deliberations.coordinator import agent_limits
from tests.engine import harness
from tests.engine.deliberations import test_gates
from tests.engine.deliberations.proposal_harness import (
    ALL,
    FLAT,
    MID,
    WHOLE,
    ProposalHarness,
    events_of,
    only_order,
    resolution_codes,
)
from tests.engine.harness import START_NS
from tests.run_harness import settings

D = Decimal
COVERED: dict[str, Any] = {"trading__direction": "both", "account__kind": "covered"}
SHORT_ONLY: dict[str, Any] = COVERED | {"trading__direction": "short"}


def _propose(harness: ProposalHarness, direction: str = "short", **changes: Any) -> list[Event]:
    proposal = msgspec.structs.replace(WHOLE, **changes)
    return harness.decide("trade", direction=direction, proposal=proposal)


def _short(**changes: Any) -> ProposalHarness:
    """A harness whose proposed short is filled."""
    made = ProposalHarness(**COVERED | changes)
    made.fill(only_order(_propose(made)))
    return made


def test_a_proposed_short_sells_at_the_bid_with_mirrored_exits() -> None:
    events = _propose(ProposalHarness(**COVERED), take_profit_bps=150, stop_loss_bps=50)
    order = only_order(events)
    assert (order.side, order.purpose, order.quantity, order.limit) == (SELL, ENTER, ALL, D("99.9"))
    assert order.take_profit == pytest.approx(MID * 0.985) and order.stop_loss == pytest.approx(MID * 1.005)
    assert resolution_codes(events) == ["entry"]


@pytest.mark.parametrize(("offset_bps", "limit"), [(10, "100.0"), (15, "100.1"), (20, "100.1")])
def test_an_offset_raises_the_limit_of_a_short_and_sells_no_more(offset_bps: int, limit: str) -> None:
    order = only_order(_propose(ProposalHarness(**COVERED), offset_bps=offset_bps))
    assert order.limit == D(limit)
    assert order.quantity * D(limit) <= 1_000


def test_an_exit_covers_a_short() -> None:
    made = _short()
    order = only_order(made.decide("trade", direction="exit"))
    assert (order.side, order.purpose, order.quantity, order.reason) == (BUY, LEAVE, ALL, "exit_signal")


def test_a_held_short_is_shown_as_a_negative_quantity_with_its_exits() -> None:
    made = _short()
    made.next_question()
    held = made.engine.questions[-1].snapshot.position
    assert (held.quantity, held.price, held.direction) == (-ALL, 99.9, "short")
    assert held.take_profit < 99.9 < held.stop_loss


@pytest.mark.parametrize("proposal", [WHOLE, None])
def test_a_proposal_against_the_position_sends_no_order(proposal: Any) -> None:
    made = _short()
    events = made.decide("trade", direction="long", proposal=proposal)
    assert resolution_codes(events) == ["in_position"] and not events_of(SubmitOrder, events)


def test_a_proposal_for_the_other_side_withdraws_the_entry_that_rests() -> None:
    made = ProposalHarness(**COVERED, execution__aggression_bps=0)
    order = only_order(_propose(made, "long", time_in_force="gtc"))
    made.step(OrderAccepted(made.engine.now_ns, order.order_id, "v"))
    events = _propose(made, "short")
    assert [event.order_id for event in events_of(CancelOrder, events)] == [order.order_id]
    assert resolution_codes(events) == ["order_pending"]
    made.confirm_cancel(order)
    assert only_order(_propose(made, "short")).side is SELL


@pytest.mark.parametrize(
    ("changes", "direction", "code"),
    [
        ({}, "short", "no_short"),
        (COVERED | {"account__kind": "cash"}, "short", "no_short"),
        (SHORT_ONLY, "long", "no_long"),
        (SHORT_ONLY, "", "no_short"),
    ],
)
def test_a_direction_that_is_not_allowed_ends_in_its_own_code(
    changes: dict[str, Any], direction: str, code: str
) -> None:
    events = _propose(ProposalHarness(**changes), direction)
    assert resolution_codes(events) == [code] and not events_of(SubmitOrder, events)


def test_agents_are_shown_the_directions_that_the_account_allows() -> None:
    shown = {
        (direction, kind): agent_limits(settings(trading__direction=direction, account__kind=kind)).directions
        for direction in ("long", "short", "both")
        for kind in ("cash", "covered")
    }
    assert shown == {
        ("long", "cash"): ("long",),
        ("long", "covered"): ("long",),
        ("short", "cash"): (),
        ("short", "covered"): ("short",),
        ("both", "cash"): ("long",),
        ("both", "covered"): ("long", "short"),
    }


def test_the_snapshot_of_a_run_without_shorts_does_not_speak_of_directions() -> None:
    made = ProposalHarness()
    made.next_question()
    assert b"direction" not in encode(made.engine.questions[-1].snapshot)


class _GateHarness(harness.EngineHarness):
    """A hybrid engine on a market that falls by one tick per quote, so that its strategy wants to be short."""

    def __init__(self, step: float, **changes: Any) -> None:
        quotes = [(START_NS + n * NS_PER_S, 100 + n * step, 100.1 + n * step) for n in range(60)]
        own = {
            "execution__cooldown_ms": 0,
            "execution__min_order_interval_ms": 0,
            "momentum__min_edge_bps": 1,
        }
        super().__init__(test_gates.OVERRIDES | COVERED | own | changes, quotes)

    def open(self, direction: str) -> list[Event]:
        return self.decide("trade", self.next_question(), direction=direction)


@pytest.mark.parametrize(
    ("step", "direction", "side"),
    [(-0.5, "short", SELL), (0.5, "long", BUY), (-0.5, "long", None), (0.5, "short", None)],
)
def test_an_open_gate_admits_entries_in_the_direction_of_its_verdict(
    step: float, direction: str, side: object
) -> None:
    made = _GateHarness(step)
    (change,) = events_of(GateChanged, made.open(direction))
    assert (change.state, change.direction) == ("open", direction)
    before = made.engine.codes()["gate_closed"]
    orders = events_of(SubmitOrder, made.quotes(1))
    assert [order.side for order in orders] == ([side] if side else [])
    assert made.engine.codes()["gate_closed"] - before == (side is None)


def test_a_gate_that_starts_open_admits_both_directions_until_its_first_verdict() -> None:
    for step, side in ((-0.5, SELL), (0.5, BUY)):
        made = _GateHarness(step, hybrid__starts_open=True)
        (order,) = events_of(SubmitOrder, made.quotes(2))
        assert order.side is side


def test_a_verdict_for_the_other_direction_cancels_the_entry_that_rests() -> None:
    made = _GateHarness(
        -0.5, execution__time_in_force="gtc", execution__aggression_bps=0, execution__cancel_after_s=1000
    )
    made.open("short")
    (order,) = events_of(SubmitOrder, made.quotes(1))
    made.accept(order)
    assert [e.order_id for e in events_of(CancelOrder, made.open("short"))] == []
    assert [e.order_id for e in events_of(CancelOrder, made.open("long"))] == [order.order_id]


@pytest.mark.parametrize(
    ("changes", "direction"), [({"account__kind": "cash"}, "short"), (SHORT_ONLY, "long")]
)
def test_a_verdict_for_a_direction_that_is_not_allowed_closes_the_gate(
    changes: dict[str, Any], direction: str
) -> None:
    made = _GateHarness(-0.5, **changes)
    made.open("short" if direction == "long" else "long")
    (change,) = events_of(GateChanged, made.open(direction))
    assert (change.state, change.why) == ("closed", f"direction {direction}")


def test_closed_shorts_are_trades_to_learn_from() -> None:
    made = ProposalHarness(
        [*FLAT[:3], *((ts, 97.9, 98.0) for ts, _, _ in FLAT[3:])], **COVERED, hybrid__learn_every_trades=1
    )
    made.fill(only_order(_propose(made, take_profit_bps=150)))
    (cover,) = events_of(SubmitOrder, made.quotes(3))
    made.engine.questions.clear()
    made.step(_fill(made, cover, D("98.0")))
    (trade,) = made.engine.questions[-1].snapshot.closed_trades
    assert (trade.direction, trade.quantity, trade.entry_price, trade.exit_price) == (
        "short",
        ALL,
        99.9,
        98.0,
    )
    assert trade.realized == D("19.00") and trade.move_bps == pytest.approx((1 - 98.0 / 99.9) * 1e4)


def _fill(made: ProposalHarness, order: SubmitOrder, price: Decimal) -> ExecutionReport:
    now_ns = made.engine.now_ns
    return ExecutionReport(now_ns, order.order_id, "fill", now_ns, "cover", order.quantity, price, D(0))


def test_garbage_directions_never_open_a_gate() -> None:
    made = _GateHarness(-0.5)
    question = made.next_question()
    events = made.step(
        Decision(made.engine.now_ns, question.number, "gate", "X", question.at_ns, "trade", direction="exit")
    )
    assert not [event for event in events_of(GateChanged, events) if event.state == "open"]
