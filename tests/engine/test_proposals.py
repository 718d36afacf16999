"""The engine's side of llm mode, with decisions made by hand: when it asks, and what it makes of each answer."""

import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st

from autohedge.core.events import (
    CancelOrder,
    Cooldown,
    Decision,
    Deliberate,
    Disposed,
    Event,
    Halted,
    Lag,
    Link,
    Operator,
    Proposal,
    ReplaceOrder,
    Restarted,
    SubmitOrder,
)
from autohedge.core.orders import BUY, SELL
from tests.engine import desk
from tests.engine.desk import SECOND_NS, START_NS
from tests.support import Quotes

ROOT = Path(__file__).parents[2]
COOLDOWN, DEADLINE_S = 3, 30
FLAT = [(START_NS + i * SECOND_NS, 99.9, 100.0) for i in range(400)]
MID, ALL = 99.95, Decimal(10)
TERMS: dict[str, Any] = {
    "trading__mode": "llm",
    "llm__min_interval_s": 0,
    "llm__no_trade_cooldown_quotes": COOLDOWN,
    "hybrid__deadline_s": DEADLINE_S,
    "hybrid__learn_every_trades": 0,
    "momentum__warmup_count": 0,
    "sizing__target_balance_pct": 10,
    "sizing__max_order_amount": 1_000,
    "execution__cancel_after_s": 300,
    "instruments__X__lot": 0.1,
}
WHOLE = Proposal(size_pct=100, take_profit_bps=150, stop_loss_bps=50, offset_bps=0, time_in_force="ioc")


class Desk(desk.Desk):
    """One where agents alone propose."""

    def __init__(self, quotes: Quotes = FLAT, **changes: Any) -> None:
        super().__init__(TERMS | changes, quotes)

    def propose(self, question: Deliberate | None = None, **changes: Any) -> list[Event]:
        proposal = msgspec.structs.replace(WHOLE, **changes)
        return self.decide("trade", question, proposal=proposal)

    def bought(self, **changes: Any) -> SubmitOrder:
        """Enter, and be filled."""
        order = _order(self.propose(**changes))
        self.filled(order)
        return order

    @property
    def disposed(self) -> dict[str, int]:
        counted: dict[str, int] = self.engine.result()["deliberations"]["disposed"]
        return counted


def _order(said: list[Event]) -> SubmitOrder:
    order: SubmitOrder
    (order,) = _of(SubmitOrder, said)
    return order


def _of(kind: type, said: list[Event]) -> list[Any]:
    return [event for event in said if isinstance(event, kind)]


def _codes(said: list[Event]) -> list[str]:
    return [event.code for event in _of(Disposed, said)]


# when it asks


def test_it_asks_at_the_first_quote_and_not_again_before_the_answer() -> None:
    own = Desk()
    assert [type(event) for event in own.quotes(1)] == [Deliberate]
    assert own.quotes(20) == []


def test_nothing_is_asked_before_the_warmup() -> None:
    own = Desk(momentum__warmup_count=7)
    assert own.quotes(6) == []
    assert [type(event) for event in own.quotes(1)] == [Deliberate]


def test_two_questions_lie_min_interval_s_apart_in_the_engines_time() -> None:
    own = Desk(llm__min_interval_s=10)
    question = own.asked()
    own.decide("keep", question)
    assert own.quotes(9) == []
    assert own.until(question.at_ns + 10 * SECOND_NS - 1) == []
    (again,) = own.until(question.at_ns + 10 * SECOND_NS)
    assert isinstance(again, Deliberate) and again.at_ns == question.at_ns + 10 * SECOND_NS


def test_after_an_answer_the_next_quote_asks_again() -> None:
    own = Desk()
    own.decide("keep")
    assert [type(event) for event in own.quotes(1)] == [Deliberate]


def test_a_quote_that_came_meanwhile_makes_the_next_question_follow_the_answer() -> None:
    own = Desk()
    question = own.asked()
    own.quotes(3)
    assert [type(event) for event in own.decide("keep", question)] == [Disposed, Deliberate]


def test_a_no_trade_is_followed_by_its_quotes_without_a_question() -> None:
    own = Desk()
    assert own.decide("no_trade")[0] == Cooldown(START_NS, "X", COOLDOWN, "no_trade")
    assert own.state == "cooldown"
    assert own.quotes(COOLDOWN - 1) == []
    assert [type(event) for event in own.quotes(1)] == [Cooldown, Deliberate]
    assert own.engine.codes()["agents_cooldown"] == COOLDOWN


def test_without_a_cooldown_a_no_trade_waits_for_one_quote() -> None:
    own = Desk(llm__no_trade_cooldown_quotes=0)
    assert [type(event) for event in own.decide("no_trade")] == [Disposed]
    assert [type(event) for event in own.quotes(1)] == [Deliberate]


def test_a_refusal_cools_down_under_its_own_code() -> None:
    said = Desk().decide("no_trade", code="refuted")
    assert [event.why for event in _of(Cooldown, said)] == _codes(said) == ["refuted"]


def test_no_answer_until_the_deadline_is_a_timeout_and_asks_again() -> None:
    own = Desk()
    question = own.asked()
    own.quotes(1)
    assert own.until(question.at_ns + DEADLINE_S * SECOND_NS - 1) == []
    said = own.until(question.at_ns + DEADLINE_S * SECOND_NS)
    assert [type(event) for event in said] == [Disposed, Deliberate]
    assert _codes(said) == ["timeout"]
    assert own.engine.result()["deliberations"]["abstentions"] == {"timeout": 1}


def test_every_quote_ends_in_one_code() -> None:
    bad = [(START_NS + i * SECOND_NS, 100.0, 99.0) for i in range(5)]
    good = [(START_NS + i * SECOND_NS, 99.9, 100.0) for i in range(5, 60)]
    own = Desk(bad + good)
    own.quotes(5)
    question = own.asked()
    own.quotes(4)
    own.decide("no_trade", question)
    own.quotes(COOLDOWN)
    own.bought(question=Deliberate(0, 2, "trade", "X", ""))
    own.quotes(6)
    codes = {code: count for code, count in own.engine.codes().items() if count}
    assert codes == {
        "bad_quote": 5,
        "no_signal": 1,
        "deliberating": 4,
        "agents_cooldown": COOLDOWN,
        "in_position": 6,
    }
    assert sum(codes.values()) == own.engine.pos


# entries


def test_a_proposal_buys_what_sizing_allows_at_the_ask_with_its_own_exits() -> None:
    said = Desk().propose()
    order = _order(said)
    assert (order.side, order.quantity, order.limit) == (BUY, ALL, Decimal("100.0"))
    assert order.take_profit == pytest.approx(MID * 1.015) and order.stop_loss == pytest.approx(MID * 0.995)
    assert _codes(said) == ["entry"]


def test_half_the_size_is_half_the_quantity() -> None:
    assert _order(Desk().propose(size_pct=50)).quantity == ALL / 2


@pytest.mark.parametrize(("size_pct", "quantity"), [(1, "0.1"), (33, "3.3"), (99, "9.9")])
def test_a_share_is_rounded_down_to_the_lot(size_pct: int, quantity: str) -> None:
    assert _order(Desk().propose(size_pct=size_pct)).quantity == Decimal(quantity)
    rough = Desk(instruments__X__lot=2)
    assert _order(rough.propose(size_pct=max(size_pct, 33))).quantity % 2 == 0


def test_a_share_below_the_least_order_is_not_bought() -> None:
    own = Desk(sizing__min_order_amount=100)
    assert _codes(own.propose(size_pct=9)) == ["min_notional"]
    assert own.disposed == {"min_notional": 1}


@pytest.mark.parametrize(
    ("offset_bps", "tick", "limit"),
    [(0, None, "100.0"), (10, None, "99.9"), (15, None, "99.8"), (20, "0.01", "99.80"), (5, "0.5", "99.5")],
)
def test_an_offset_lowers_the_limit_to_the_tick_below_and_buys_no_more(
    offset_bps: int, tick: str | None, limit: str
) -> None:
    changes: dict[str, Any] = {"instruments__X__tick": tick} if tick else {}
    order = _order(Desk(**changes).propose(offset_bps=offset_bps))
    assert (order.limit, order.quantity) == (Decimal(limit), ALL)


@pytest.mark.parametrize("aggression_bps", [0, 2, 500])
@pytest.mark.parametrize("offset_bps", [0, 1, 20])
def test_no_limit_lies_above_the_one_of_the_settings(aggression_bps: int, offset_bps: int) -> None:
    own, plain = (Desk(execution__aggression_bps=aggression_bps) for _ in range(2))
    lowered, most = _order(own.propose(offset_bps=offset_bps)), _order(plain.propose())
    assert lowered.limit is not None and most.limit is not None
    assert lowered.limit <= most.limit and lowered.quantity == most.quantity
    assert (lowered.limit == most.limit) is (offset_bps == 0)


@pytest.mark.parametrize("time_in_force", ["ioc", "gtc"])
@pytest.mark.parametrize("configured", ["ioc", "gtc"])
def test_the_agents_say_whether_it_rests(time_in_force: str, configured: str) -> None:
    own = Desk(execution__time_in_force=configured)
    assert _order(own.propose(time_in_force=time_in_force)).time_in_force == time_in_force


OUTSIDE: list[dict[str, Any]] = [
    *({"size_pct": each} for each in (0, -1, 101, 10**18, -(10**18))),
    *({"stop_loss_bps": each} for each in (0, 9, 51, -50, 10**18)),
    *({"take_profit_bps": each} for each in (0, 14, 401, -100, 10**18)),
    *({"offset_bps": each} for each in (-1, 21, 10**18, -(10**18))),
    {"take_profit_bps": 74, "stop_loss_bps": 50},
]


@pytest.mark.parametrize("changes", OUTSIDE, ids=str)
def test_a_proposal_outside_its_bounds_buys_nothing(changes: dict[str, Any]) -> None:
    said = Desk().propose(**changes)
    assert _codes(said) == ["bad_proposal"] and not _of(SubmitOrder, said)


@pytest.mark.parametrize(
    "changes",
    [
        {"stop_loss_bps": 10},
        {"stop_loss_bps": 50, "take_profit_bps": 75},
        {"take_profit_bps": 400},
        {"stop_loss_bps": 10, "take_profit_bps": 15},
        {"offset_bps": 20},
    ],
    ids=str,
)
def test_the_bounds_themselves_are_allowed(changes: dict[str, Any]) -> None:
    assert _codes(Desk().propose(**changes)) == ["entry"]


def test_a_trade_without_a_proposal_buys_nothing() -> None:
    assert _codes(Desk().decide("trade")) == ["bad_proposal"]


@pytest.mark.parametrize("direction", ["short", ""])
def test_nothing_is_sold_short(direction: str) -> None:
    said = Desk().decide("trade", direction=direction, proposal=WHOLE)
    assert _codes(said) == ["no_short"] and not _of(SubmitOrder, said)


# what is held


def test_an_exit_sells_what_is_held() -> None:
    own = Desk()
    own.bought()
    said = own.decide("trade", direction="exit")
    order = _order(said)
    assert (order.side, order.quantity, order.reason) == (SELL, ALL, "exit_signal")
    assert _codes(said) == ["exit_signal"]


def test_an_exit_while_flat_does_nothing() -> None:
    said = Desk().decide("trade", direction="exit", proposal=WHOLE)
    assert _codes(said) == ["nothing_held"] and not _of(SubmitOrder, said)


def test_an_exit_while_one_is_on_its_way_sells_nothing_twice() -> None:
    own = Desk()
    own.bought()
    own.decide("trade", direction="exit")
    said = own.decide("trade", direction="exit")
    assert _codes(said) == ["exit_signal"] and not _of(SubmitOrder, said)
    assert not _of(SubmitOrder, own.quotes(3))


def test_while_it_is_held_nothing_more_is_bought() -> None:
    own = Desk()
    own.bought()
    said = own.propose()
    assert _codes(said) == ["in_position"] and not _of(SubmitOrder, said)


@pytest.mark.parametrize("leaving", ["take_profit", "stop_loss"])
def test_a_position_is_sold_at_the_proposals_exits_while_no_agent_answers(leaving: str) -> None:
    price = {"take_profit": 101.6, "stop_loss": 99.3}[leaving]
    after = [(START_NS + i * SECOND_NS, price, price + 0.1) for i in range(5, 10)]
    own = Desk(FLAT[:5] + after)
    own.bought(take_profit_bps=150, stop_loss_bps=50)
    own.quotes(4)
    (order,) = _of(SubmitOrder, own.quotes(1))
    assert (order.side, order.reason, order.quantity) == (SELL, leaving, ALL)


def test_while_an_exit_is_on_its_way_nothing_is_bought() -> None:
    own = Desk()
    own.bought()
    own.decide("trade", direction="exit")
    assert _codes(own.propose()) == ["exit_pending"]


def test_while_an_entry_is_on_its_way_there_is_no_second() -> None:
    own = Desk()
    own.propose()
    said = own.propose()
    assert _codes(said) == ["order_pending"] and not _of(SubmitOrder, said)


def test_a_rest_too_small_to_be_sold_neither_counts_as_sold_nor_keeps_from_buying() -> None:
    own = Desk(instruments__X__min_notional=20)
    order = _order(own.propose())
    own.filled(order, Decimal("0.1"))
    own.gone(order, Decimal("0.1"))
    for _ in range(2):
        assert _codes(own.decide("trade", direction="exit")) == ["nothing_held"]
        assert own.engine.desks[0].dust
    question = own.asked()
    assert own.engine.slow and own.engine.slow.snapshots[question.number].held.quantity == 0
    assert _codes(own.propose(question)) == ["entry"]


# what the engine refuses


def test_while_halted_nothing_is_bought() -> None:
    own = Desk()
    own.tell(Operator(own.engine.now_ns, "halt", "lunch"))
    assert _codes(own.propose()) == ["halted"]


def test_while_reducing_nothing_is_bought() -> None:
    own = Desk()
    question = own.asked()
    own.tell(Lag(own.engine.now_ns, 1e6))
    assert _codes(own.propose(question)) == ["reducing"]
    own.tell(Lag(own.engine.now_ns, 0.0))
    own.tell(Link(own.engine.now_ns, "down"))
    assert _codes(own.propose()) == ["reducing"]


def test_a_spread_that_is_too_wide_buys_nothing() -> None:
    own = Desk([(START_NS + i * SECOND_NS, 99.0, 100.0) for i in range(5)])
    assert _codes(own.propose()) == ["wide_spread"]


def test_a_quote_that_is_too_old_buys_nothing() -> None:
    own = Desk()
    question = own.asked()
    late = Decision(
        question.at_ns + 6 * SECOND_NS, 1, "trade", "X", 0, "trade", direction="long", proposal=WHOLE
    )
    assert _codes(own.tell(late)) == ["stale"]


@pytest.mark.parametrize(
    ("limit", "code"),
    [("max_exposure_notional", "max_exposure"), ("max_position_notional", "max_position")],
)
def test_a_limit_refuses_what_a_smaller_share_would_pass(limit: str, code: str) -> None:
    tight: dict[str, Any] = {f"risk__{limit}": 600}
    assert _codes(Desk(**tight).propose()) == [code]
    assert _codes(Desk(**tight).propose(size_pct=50)) == ["entry"]


# what rests


def _resting(**changes: Any) -> tuple[Desk, SubmitOrder]:
    own = Desk(**changes)
    order = _order(own.propose(time_in_force="gtc", offset_bps=10))
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
    assert [(each.order_id, each.reason) for each in _of(CancelOrder, said)] == [
        (order.order_id, "the agents take it back")
    ]
    assert _codes(said) == [code]


def test_no_answer_in_time_takes_back_what_rests() -> None:
    own, order = _resting()
    question = own.asked()
    said = own.until(question.at_ns + DEADLINE_S * SECOND_NS)
    assert [each.order_id for each in _of(CancelOrder, said)] == [order.order_id]
    assert _codes(said) == ["timeout"]


@pytest.mark.parametrize("verdict", ["keep", "trade"])
def test_an_answer_that_still_wants_it_leaves_what_rests(verdict: str) -> None:
    own, _ = _resting()
    said = own.decide(verdict, proposal=WHOLE)
    assert not _of(CancelOrder, said)
    assert _codes(said) == [{"keep": "keep", "trade": "order_pending"}[verdict]]


RISING = [(START_NS + i * SECOND_NS, 99.9 + 0.1 * i, 100.0 + 0.1 * i) for i in range(60)]


def test_a_new_limit_keeps_the_proposals_offset() -> None:
    own = Desk(RISING, execution__reprice_after_s=5)
    order = _order(own.propose(time_in_force="gtc", offset_bps=20))
    own.rests(order)
    own.quotes(5)
    said = own.until(order.at_ns + 5 * SECOND_NS)
    (change,) = _of(ReplaceOrder, said)
    assert order.limit == Decimal("99.8")
    assert (change.limit, change.quantity) == (Decimal("100.2"), ALL)


def test_the_parts_of_an_entry_keep_the_proposals_limit_size_and_exits() -> None:
    own = Desk(RISING, execution__twap_slices=4, execution__twap_s=20)
    parts = [_order(own.propose(size_pct=40, offset_bps=20))]
    own.filled(parts[0])
    for _ in range(3):
        own.quotes(5)
        parts += _of(SubmitOrder, own.until(parts[-1].at_ns + 5 * SECOND_NS))
        own.filled(parts[-1])
    assert [(part.quantity, part.limit) for part in parts] == [
        (Decimal(1), Decimal(limit)) for limit in ("99.8", "100.2", "100.7", "101.2")
    ]
    mids = [99.95 + 0.1 * (1 + 5 * i - 1) for i in range(4)]
    for part, mid in zip(parts, mids, strict=True):
        assert part.take_profit == pytest.approx(mid * 1.015) and part.time_in_force == "ioc"


def test_a_no_ends_the_parts_that_were_not_sent() -> None:
    own = Desk(execution__twap_slices=4, execution__twap_s=20)
    own.filled(_order(own.propose()))
    own.decide("no_trade")
    own.quotes(40)
    assert not _of(SubmitOrder, own.until(START_NS + 60 * SECOND_NS))


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
    assert _codes(own.propose(asked)) == ["entry"]
    assert own.propose(asked) == []


@pytest.mark.parametrize("cut", ["halt", "restart"])
def test_what_was_asked_before_a_halt_or_a_restart_counts_no_more(cut: str) -> None:
    own, order = _resting()
    question = own.asked()
    now_ns = own.engine.now_ns
    event = Operator(now_ns, "halt", "lunch") if cut == "halt" else Restarted(now_ns, own.engine.pos, "m")
    said = own.tell(event)
    if cut == "halt":
        assert [each.order_id for each in _of(CancelOrder, said)] == [order.order_id]
    assert own.propose(question) == []


def test_after_a_halt_it_asks_again_though_a_question_was_on_its_way() -> None:
    own = Desk()
    own.asked()
    own.quotes(3)
    assert _of(Halted, own.tell(Operator(own.engine.now_ns, "halt", "lunch")))
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
        for order in _of(SubmitOrder, told) if each.fills else []:
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
    for order in _of(SubmitOrder, _played(says, None)):
        if order.side is SELL:
            continue
        ask = max(ask for ts, _, ask in WAVES if ts is not None and ts <= order.at_ns and ask)
        assert order.limit is not None and order.limit <= Decimal(str(ask))
        assert order.quantity * Decimal("99.8") <= 1_000
        assert 1.0014 < order.take_profit / order.stop_loss < 1.0455


PROGRAM = "from tests.engine.test_proposals import without_compiled_code; without_compiled_code()"


def without_compiled_code() -> None:
    """The same answers from the kernel as plain Python."""
    test_every_quote_ends_in_one_code()
    test_a_no_trade_is_followed_by_its_quotes_without_a_question()
    for leaving in ("take_profit", "stop_loss"):
        test_a_position_is_sold_at_the_proposals_exits_while_no_agent_answers(leaving)


def test_with_the_compiler_off_it_is_the_same() -> None:
    env = os.environ | {"NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=env, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
