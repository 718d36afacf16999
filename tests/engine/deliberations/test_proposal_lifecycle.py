"""Entries of llm mode after they were sent, ignored answers, and properties of any answers."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st

from autohedge.core.events import (
    CancelOrder,
    CooldownChanged,
    DeliberationRequested,
    Event,
    OperatorCommand,
    Proposal,
    ProposalResolved,
    ReplaceOrder,
    Restarted,
    SubmitOrder,
    TradingStateChanged,
)
from autohedge.core.orders import SELL
from autohedge.core.units import NS_PER_S
from tests.engine.deliberations.proposal_harness import (
    ALL,
    COOLDOWN,
    DEADLINE_S,
    WHOLE,
    ProposalHarness,
    events_of,
    only_order,
    resolution_codes,
)
from tests.engine.harness import START_NS

# resting entries


def _resting(**changes: Any) -> tuple[ProposalHarness, SubmitOrder]:
    harness = ProposalHarness(**changes)
    order = only_order(harness.propose(time_in_force="gtc", offset_bps=10))
    harness.accept(order)
    return harness, order


CANCELLING: list[tuple[str, dict[str, Any], str]] = [
    ("no_trade", {}, "no_trade"),
    ("no_trade", {"code": "rejected"}, "rejected"),
    ("abstain", {"code": "no_json"}, "no_json"),
    ("abstain", {}, "unexplained"),
    ("lesson", {}, "unexplained"),
    ("trade", {"direction": "exit"}, "nothing_held"),
    ("trade", {"direction": "short"}, "no_short"),
    ("trade", {"proposal": None}, "bad_proposal"),
]


@pytest.mark.parametrize(("verdict", "changes", "code"), CANCELLING)
def test_resting_entry_on_any_answer_but_a_proposal_is_cancelled(
    verdict: str, changes: dict[str, Any], code: str
) -> None:
    harness, order = _resting()
    events = harness.decide(verdict, **changes)
    assert [(each.order_id, each.reason) for each in events_of(CancelOrder, events)] == [
        (order.order_id, "withdrawn by the agents")
    ]
    assert resolution_codes(events) == [code]


def test_resting_entry_on_answer_timeout_is_cancelled() -> None:
    harness, order = _resting()
    question = harness.next_question()
    events = harness.fire_timers_until(question.at_ns + DEADLINE_S * NS_PER_S)
    assert [each.order_id for each in events_of(CancelOrder, events)] == [order.order_id]
    assert events_of(ProposalResolved, events) == [
        ProposalResolved(harness.engine.now_ns, question.number, "X", "timeout")
    ]


def test_snapshot_leaves_out_the_money_of_a_resting_entry() -> None:
    harness, order = _resting()
    harness.next_question()
    snapshot = harness.engine.questions[-1].snapshot
    reserved = harness.engine.orders.reserved
    assert reserved >= order.quantity * (order.limit or 0) > 0
    assert (snapshot.cash - snapshot.buying_power, snapshot.exposure) == (reserved, reserved)


@pytest.mark.parametrize("verdict", ["keep", "trade"])
def test_resting_entry_confirmed_by_the_answer_stays_open(verdict: str) -> None:
    harness, _ = _resting()
    events = harness.decide(verdict, proposal=WHOLE)
    assert not events_of(CancelOrder, events)
    assert resolution_codes(events) == [{"keep": "keep", "trade": "order_pending"}[verdict]]


RISING = [(START_NS + i * NS_PER_S, 99.9 + 0.1 * i, 100.0 + 0.1 * i) for i in range(60)]


def test_repriced_entry_retains_the_proposal_offset() -> None:
    harness = ProposalHarness(RISING, execution__reprice_after_s=5)
    order = only_order(harness.propose(time_in_force="gtc", offset_bps=20))
    harness.accept(order)
    harness.quotes(5)
    events = harness.fire_timers_until(order.at_ns + 5 * NS_PER_S)
    (change,) = events_of(ReplaceOrder, events)
    assert order.limit == Decimal("99.8")
    assert (change.limit, change.quantity) == (Decimal("100.2"), ALL)


def test_twap_slices_retain_proposal_offset_size_and_exits() -> None:
    harness = ProposalHarness(RISING, execution__twap_slices=4, execution__twap_s=20)
    parts = [only_order(harness.propose(size_pct=40, offset_bps=20))]
    harness.fill(parts[0])
    for _ in range(3):
        harness.quotes(5)
        parts += events_of(SubmitOrder, harness.fire_timers_until(parts[-1].at_ns + 5 * NS_PER_S))
        harness.fill(parts[-1])
    assert [(part.quantity, part.limit) for part in parts] == [
        (Decimal(1), Decimal(limit)) for limit in ("99.8", "100.2", "100.7", "101.2")
    ]
    mids = [99.95 + 0.1 * (1 + 5 * i - 1) for i in range(4)]
    for part, mid in zip(parts, mids, strict=True):
        assert part.take_profit == pytest.approx(mid * 1.015) and part.time_in_force == "ioc"


def test_proposal_after_the_last_slice_has_ended_enters_again() -> None:
    harness = ProposalHarness(execution__twap_slices=2, execution__twap_s=10)
    first = only_order(harness.propose())
    harness.confirm_cancel(first)
    (last,) = events_of(SubmitOrder, harness.fire_timers_until(first.at_ns + 5 * NS_PER_S))
    harness.confirm_cancel(last)
    assert resolution_codes(harness.propose()) == ["entry"]


def test_no_trade_cancels_unsent_twap_slices() -> None:
    harness = ProposalHarness(execution__twap_slices=4, execution__twap_s=20)
    harness.fill(only_order(harness.propose()))
    harness.decide("no_trade")
    harness.quotes(40)
    assert not events_of(SubmitOrder, harness.fire_timers_until(START_NS + 60 * NS_PER_S))


# ignored answers


def test_late_answer_is_counted_and_ignored() -> None:
    harness = ProposalHarness()
    question = harness.next_question()
    harness.fire_timers_until(question.at_ns + DEADLINE_S * NS_PER_S)
    assert harness.propose(question) == []
    assert harness.figures.late == 1


def test_answer_to_unrequested_question_is_ignored() -> None:
    harness = ProposalHarness()
    question = harness.next_question()
    unrequested_questions = [
        DeliberationRequested(0, 7, "trade", "X", ""),
        DeliberationRequested(0, 0, "trade", "X", ""),
        DeliberationRequested(0, question.number, "trade", "Y", ""),
        DeliberationRequested(0, question.number, "gate", "X", ""),
        DeliberationRequested(0, question.number, "learning", "X", ""),
    ]
    for unrequested in unrequested_questions:
        assert harness.propose(unrequested) == []
    assert resolution_codes(harness.propose(question)) == ["entry"]
    assert harness.propose(question) == []


@pytest.mark.parametrize("cut", ["halt", "restart"])
def test_pending_request_at_halt_or_restart_is_discarded(cut: str) -> None:
    harness, order = _resting()
    question = harness.next_question()
    now_ns = harness.engine.now_ns
    event = (
        OperatorCommand(now_ns, "halt", "lunch")
        if cut == "halt"
        else Restarted(now_ns, harness.engine.pos, "m")
    )
    events = harness.step(event)
    if cut == "halt":
        assert [each.order_id for each in events_of(CancelOrder, events)] == [order.order_id]
    assert harness.propose(question) == []
    figures = harness.figures
    assert (figures.given_up, figures.late) == (1, 1)


def test_halt_and_resume_with_pending_request_requests_at_next_quote() -> None:
    harness = ProposalHarness()
    harness.next_question()
    harness.quotes(3)
    assert events_of(
        TradingStateChanged, harness.step(OperatorCommand(harness.engine.now_ns, "halt", "lunch"))
    )
    harness.step(OperatorCommand(harness.engine.now_ns, "resume", "back"))
    assert [type(event) for event in harness.quotes(1)] == [DeliberationRequested]


def test_cooldown_continues_after_a_halt() -> None:
    harness = ProposalHarness()
    harness.decide("no_trade")
    harness.step(OperatorCommand(harness.engine.now_ns, "halt", "lunch"))
    assert harness.quotes(COOLDOWN - 1) == []
    assert [type(event) for event in harness.quotes(1)] == [CooldownChanged, DeliberationRequested]


# properties

VERDICTS = st.one_of(
    st.tuples(st.just("trade"), st.sampled_from(["long", "long", "long", "short", "exit", ""])),
    st.tuples(st.sampled_from(["no_trade", "keep", "abstain", "lesson"]), st.just("")),
)
NUMBERS = st.one_of(st.integers(-5, 120), st.integers(-(2**60), 2**60))
PROPOSALS = st.one_of(
    st.none(),
    st.builds(
        Proposal,
        size_pct=st.integers(1, 100),
        take_profit_bps=st.integers(75, 400),
        stop_loss_bps=st.integers(10, 50),
        offset_bps=st.integers(0, 20),
        time_in_force=st.sampled_from(["ioc", "gtc"]),
    ),
    st.builds(Proposal, NUMBERS, NUMBERS, NUMBERS, NUMBERS, st.sampled_from(["ioc", "gtc"])),
)


class AgentAnswer(msgspec.Struct, frozen=True):
    """The agents' answer after `quotes` quotes, and whether the venue fills the resulting order."""

    quotes: int
    verdict: tuple[Any, Any]
    proposal: Proposal | None
    fills: bool


ANSWERS = st.lists(st.builds(AgentAnswer, st.integers(1, 6), VERDICTS, PROPOSALS, st.booleans()), max_size=12)
WAVES = [(START_NS + i * NS_PER_S, 99.9 + (i % 7) / 10, 100.0 + (i % 7) / 10) for i in range(400)]


def _played(answers: list[AgentAnswer], batch: int | None) -> list[Event]:
    """A run in which each answer belongs to the last question."""
    harness, question, events = ProposalHarness(WAVES), None, list[Event]()
    for each in answers:
        events += harness.quotes(each.quotes, batch)
        question = next(
            (event for event in reversed(events) if isinstance(event, DeliberationRequested)), question
        )
        assert question
        verdict, direction = each.verdict
        events += harness.decide(verdict, question, direction=direction, proposal=each.proposal)
        for order in events_of(SubmitOrder, events) if each.fills else []:
            if order.order_id in harness.engine.orders.working:
                events += harness.fill(order)
    return events


@limits(max_examples=40, deadline=None)
@given(ANSWERS, st.integers(1, 3))
def test_batch_boundaries_do_not_change_the_events(answers: list[AgentAnswer], batch: int) -> None:
    assert _played(answers, batch) == _played(answers, None)


@limits(max_examples=60, deadline=None)
@given(ANSWERS)
def test_order_from_any_proposal_stays_within_allowed_limits(answers: list[AgentAnswer]) -> None:
    for order in events_of(SubmitOrder, _played(answers, None)):
        if order.side is SELL:
            continue
        ask = max(ask for ts, _, ask in WAVES if ts is not None and ts <= order.at_ns and ask)
        assert order.limit is not None and order.limit <= Decimal(str(ask))
        assert order.quantity * Decimal("99.8") <= 1_000
        assert 1.0014 < order.take_profit / order.stop_loss < 1.0455
