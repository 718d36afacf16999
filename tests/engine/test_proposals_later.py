"""What becomes of an entry after it left, in llm mode, and of answers that do not count; and laws over any of it."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st

from autohedge.core.events import (
    CancelOrder,
    Cooldown,
    Deliberate,
    Event,
    Halted,
    Operator,
    Proposal,
    ReplaceOrder,
    Restarted,
    SubmitOrder,
)
from autohedge.core.orders import SELL
from tests.engine.desk import SECOND_NS, START_NS
from tests.engine.proposing import ALL, COOLDOWN, DEADLINE_S, WHOLE, Desk, codes, of, the_order

# what rests


def _resting(**changes: Any) -> tuple[Desk, SubmitOrder]:
    own = Desk(**changes)
    order = the_order(own.propose(time_in_force="gtc", offset_bps=10))
    own.rests(order)
    return own, order


TAKING_BACK: list[tuple[str, dict[str, Any], str]] = [
    ("no_trade", {}, "no_trade"),
    ("no_trade", {"code": "rejected"}, "rejected"),
    ("abstain", {"code": "no_json"}, "no_json"),
    ("abstain", {}, "unexplained"),
    ("lesson", {}, "unexplained"),
    ("trade", {"direction": "exit"}, "nothing_held"),
    ("trade", {"direction": "short"}, "no_short"),
    ("trade", {"proposal": None}, "bad_proposal"),
]


@pytest.mark.parametrize(("verdict", "changes", "code"), TAKING_BACK)
def test_any_answer_but_a_proposal_takes_back_what_rests(
    verdict: str, changes: dict[str, Any], code: str
) -> None:
    own, order = _resting()
    said = own.decide(verdict, **changes)
    assert [(each.order_id, each.reason) for each in of(CancelOrder, said)] == [
        (order.order_id, "the agents take it back")
    ]
    assert codes(said) == [code]


def test_no_answer_in_time_takes_back_what_rests() -> None:
    own, order = _resting()
    question = own.asked()
    said = own.until(question.at_ns + DEADLINE_S * SECOND_NS)
    assert [each.order_id for each in of(CancelOrder, said)] == [order.order_id]
    assert codes(said) == ["timeout"]


@pytest.mark.parametrize("verdict", ["keep", "trade"])
def test_an_answer_that_still_wants_it_leaves_what_rests(verdict: str) -> None:
    own, _ = _resting()
    said = own.decide(verdict, proposal=WHOLE)
    assert not of(CancelOrder, said)
    assert codes(said) == [{"keep": "keep", "trade": "order_pending"}[verdict]]


RISING = [(START_NS + i * SECOND_NS, 99.9 + 0.1 * i, 100.0 + 0.1 * i) for i in range(60)]


def test_a_new_limit_keeps_the_proposals_offset() -> None:
    own = Desk(RISING, execution__reprice_after_s=5)
    order = the_order(own.propose(time_in_force="gtc", offset_bps=20))
    own.rests(order)
    own.quotes(5)
    said = own.until(order.at_ns + 5 * SECOND_NS)
    (change,) = of(ReplaceOrder, said)
    assert order.limit == Decimal("99.8")
    assert (change.limit, change.quantity) == (Decimal("100.2"), ALL)


def test_the_parts_of_an_entry_keep_the_proposals_limit_size_and_exits() -> None:
    own = Desk(RISING, execution__twap_slices=4, execution__twap_s=20)
    parts = [the_order(own.propose(size_pct=40, offset_bps=20))]
    own.filled(parts[0])
    for _ in range(3):
        own.quotes(5)
        parts += of(SubmitOrder, own.until(parts[-1].at_ns + 5 * SECOND_NS))
        own.filled(parts[-1])
    assert [(part.quantity, part.limit) for part in parts] == [
        (Decimal(1), Decimal(limit)) for limit in ("99.8", "100.2", "100.7", "101.2")
    ]
    mids = [99.95 + 0.1 * (1 + 5 * i - 1) for i in range(4)]
    for part, mid in zip(parts, mids, strict=True):
        assert part.take_profit == pytest.approx(mid * 1.015) and part.time_in_force == "ioc"


def test_a_no_ends_the_parts_that_were_not_sent() -> None:
    own = Desk(execution__twap_slices=4, execution__twap_s=20)
    own.filled(the_order(own.propose()))
    own.decide("no_trade")
    own.quotes(40)
    assert not of(SubmitOrder, own.until(START_NS + 60 * SECOND_NS))


# what does not count


def test_a_late_answer_changes_nothing() -> None:
    own = Desk()
    question = own.asked()
    own.until(question.at_ns + DEADLINE_S * SECOND_NS)
    assert own.propose(question) == []
    assert own.engine.result()["deliberations"]["late"] == 1


def test_an_answer_to_nothing_that_was_asked_changes_nothing() -> None:
    own = Desk()
    asked = own.asked()
    strangers = [
        Deliberate(0, 7, "trade", "X", ""),
        Deliberate(0, 0, "trade", "X", ""),
        Deliberate(0, asked.number, "trade", "Y", ""),
        Deliberate(0, asked.number, "gate", "X", ""),
        Deliberate(0, asked.number, "learning", "X", ""),
    ]
    for stranger in strangers:
        assert own.propose(stranger) == []
    assert codes(own.propose(asked)) == ["entry"]
    assert own.propose(asked) == []


@pytest.mark.parametrize("cut", ["halt", "restart"])
def test_what_was_asked_before_a_halt_or_a_restart_counts_no_more(cut: str) -> None:
    own, order = _resting()
    question = own.asked()
    now_ns = own.engine.now_ns
    event = Operator(now_ns, "halt", "lunch") if cut == "halt" else Restarted(now_ns, own.engine.pos, "m")
    said = own.tell(event)
    if cut == "halt":
        assert [each.order_id for each in of(CancelOrder, said)] == [order.order_id]
    assert own.propose(question) == []
    figures = own.engine.result()["deliberations"]
    assert (figures["given_up"], figures["late"]) == (1, 1)


def test_after_a_halt_it_asks_again_though_a_question_was_on_its_way() -> None:
    own = Desk()
    own.asked()
    own.quotes(3)
    assert of(Halted, own.tell(Operator(own.engine.now_ns, "halt", "lunch")))
    own.tell(Operator(own.engine.now_ns, "resume", "back"))
    assert [type(event) for event in own.quotes(1)] == [Deliberate]


def test_after_a_halt_a_cooldown_goes_on() -> None:
    own = Desk()
    own.decide("no_trade")
    own.tell(Operator(own.engine.now_ns, "halt", "lunch"))
    assert own.quotes(COOLDOWN - 1) == []
    assert [type(event) for event in own.quotes(1)] == [Cooldown, Deliberate]


# laws

SAYINGS = st.one_of(
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


class Said(msgspec.Struct, frozen=True):
    """What the agents say, after so many quotes; and whether the venue fills what came of it."""

    quotes: int
    verdict: tuple[Any, Any]
    proposal: Proposal | None
    fills: bool


SAID = st.lists(st.builds(Said, st.integers(1, 6), SAYINGS, PROPOSALS, st.booleans()), max_size=12)
WAVES = [(START_NS + i * SECOND_NS, 99.9 + (i % 7) / 10, 100.0 + (i % 7) / 10) for i in range(400)]


def _played(says: list[Said], batch: int | None) -> list[Event]:
    """A run in which each answer comes to the question that is on its way."""
    own, question, told = Desk(WAVES), None, list[Event]()
    for each in says:
        told += own.quotes(each.quotes, batch)
        question = next((event for event in reversed(told) if isinstance(event, Deliberate)), question)
        assert question
        verdict, direction = each.verdict
        told += own.decide(verdict, question, direction=direction, proposal=each.proposal)
        for order in of(SubmitOrder, told) if each.fills else []:
            if order.order_id in own.engine.orders.working:
                told += own.filled(order)
    return told


@limits(max_examples=40, deadline=None)
@given(SAID, st.integers(1, 3))
def test_how_the_quotes_are_cut_into_batches_changes_nothing(says: list[Said], batch: int) -> None:
    assert _played(says, batch) == _played(says, None)


@limits(max_examples=60, deadline=None)
@given(SAID)
def test_whatever_is_proposed_no_order_is_larger_dearer_or_looser_than_allowed(says: list[Said]) -> None:
    for order in of(SubmitOrder, _played(says, None)):
        if order.side is SELL:
            continue
        ask = max(ask for ts, _, ask in WAVES if ts is not None and ts <= order.at_ns and ask)
        assert order.limit is not None and order.limit <= Decimal(str(ask))
        assert order.quantity * Decimal("99.8") <= 1_000
        assert 1.0014 < order.take_profit / order.stop_loss < 1.0455
