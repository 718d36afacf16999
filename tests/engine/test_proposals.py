"""The engine's side of llm mode, with decisions made by hand: when it asks, and what it makes of each answer."""

import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from autohedge.core.events import (
    Cooldown,
    Decision,
    Deliberate,
    Disposed,
    Lag,
    Link,
    Operator,
    SubmitOrder,
)
from autohedge.core.orders import BUY, SELL
from tests.engine.desk import SECOND_NS, START_NS
from tests.engine.proposing import ALL, COOLDOWN, DEADLINE_S, FLAT, MID, WHOLE, Desk, codes, of, the_order

ROOT = Path(__file__).parents[2]


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
    assert [event.why for event in of(Cooldown, said)] == codes(said) == ["refuted"]


def test_no_answer_until_the_deadline_is_a_timeout_and_asks_again() -> None:
    own = Desk()
    question = own.asked()
    own.quotes(1)
    assert own.until(question.at_ns + DEADLINE_S * SECOND_NS - 1) == []
    said = own.until(question.at_ns + DEADLINE_S * SECOND_NS)
    assert [type(event) for event in said] == [Disposed, Deliberate]
    assert codes(said) == ["timeout"]
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
    ended = {code: count for code, count in own.engine.codes().items() if count}
    assert ended == {
        "bad_quote": 5,
        "no_signal": 1,
        "deliberating": 4,
        "agents_cooldown": COOLDOWN,
        "in_position": 6,
    }
    assert sum(ended.values()) == own.engine.pos


# entries


def test_a_proposal_buys_what_sizing_allows_at_the_ask_with_its_own_exits() -> None:
    said = Desk().propose()
    order = the_order(said)
    assert (order.side, order.quantity, order.limit) == (BUY, ALL, Decimal("100.0"))
    assert order.take_profit == pytest.approx(MID * 1.015) and order.stop_loss == pytest.approx(MID * 0.995)
    assert codes(said) == ["entry"]


def test_half_the_size_is_half_the_quantity() -> None:
    assert the_order(Desk().propose(size_pct=50)).quantity == ALL / 2


@pytest.mark.parametrize(("size_pct", "quantity"), [(1, "0.1"), (33, "3.3"), (99, "9.9")])
def test_a_share_is_rounded_down_to_the_lot(size_pct: int, quantity: str) -> None:
    assert the_order(Desk().propose(size_pct=size_pct)).quantity == Decimal(quantity)
    rough = Desk(instruments__X__lot=2)
    assert the_order(rough.propose(size_pct=max(size_pct, 33))).quantity % 2 == 0


def test_a_share_below_the_least_order_is_not_bought() -> None:
    own = Desk(sizing__min_order_amount=100)
    assert codes(own.propose(size_pct=9)) == ["min_notional"]
    assert own.disposed == {"min_notional": 1}


@pytest.mark.parametrize(
    ("offset_bps", "tick", "limit"),
    [(0, None, "100.0"), (10, None, "99.9"), (15, None, "99.8"), (20, "0.01", "99.80"), (5, "0.5", "99.5")],
)
def test_an_offset_lowers_the_limit_to_the_tick_below_and_buys_no_more(
    offset_bps: int, tick: str | None, limit: str
) -> None:
    changes: dict[str, Any] = {"instruments__X__tick": tick} if tick else {}
    order = the_order(Desk(**changes).propose(offset_bps=offset_bps))
    assert (order.limit, order.quantity) == (Decimal(limit), ALL)


@pytest.mark.parametrize("aggression_bps", [0, 2, 500])
@pytest.mark.parametrize("offset_bps", [0, 1, 20])
def test_no_limit_lies_above_the_one_of_the_settings(aggression_bps: int, offset_bps: int) -> None:
    own, plain = (Desk(execution__aggression_bps=aggression_bps) for _ in range(2))
    lowered, most = the_order(own.propose(offset_bps=offset_bps)), the_order(plain.propose())
    assert lowered.limit is not None and most.limit is not None
    assert lowered.limit <= most.limit and lowered.quantity == most.quantity
    assert (lowered.limit == most.limit) is (offset_bps == 0)


@pytest.mark.parametrize("time_in_force", ["ioc", "gtc"])
@pytest.mark.parametrize("configured", ["ioc", "gtc"])
def test_the_agents_say_whether_it_rests(time_in_force: str, configured: str) -> None:
    own = Desk(execution__time_in_force=configured)
    assert the_order(own.propose(time_in_force=time_in_force)).time_in_force == time_in_force


@pytest.mark.parametrize(
    ("own_stop_bps", "bounds"), [(50, (10, 50)), (20, (10, 20)), (5.9, (5, 5)), (0.5, (0, 0))]
)
def test_no_agent_may_ask_for_a_wider_stop_than_the_settings_have(
    own_stop_bps: float, bounds: tuple[int, int]
) -> None:
    own = Desk(exits__stop_loss_bps=own_stop_bps)
    question = own.asked()
    assert own.engine.slow
    assert own.engine.slow.snapshots[question.number].bounds.stop_losses_bps == bounds
    own.propose(question, stop_loss_bps=bounds[1] + 1)
    assert own.disposed == {"bad_proposal": 1}
    if bounds[1]:
        assert the_order(own.propose(stop_loss_bps=bounds[1])).stop_loss == pytest.approx(
            MID * (1 - bounds[1] / 1e4)
        )


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
    assert codes(said) == ["bad_proposal"] and not of(SubmitOrder, said)


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
    assert codes(Desk().propose(**changes)) == ["entry"]


def test_a_trade_without_a_proposal_buys_nothing() -> None:
    assert codes(Desk().decide("trade")) == ["bad_proposal"]


@pytest.mark.parametrize("direction", ["short", ""])
def test_nothing_is_sold_short(direction: str) -> None:
    said = Desk().decide("trade", direction=direction, proposal=WHOLE)
    assert codes(said) == ["no_short"] and not of(SubmitOrder, said)


# what is held


def test_an_exit_sells_what_is_held() -> None:
    own = Desk()
    own.bought()
    said = own.decide("trade", direction="exit")
    order = the_order(said)
    assert (order.side, order.quantity, order.reason) == (SELL, ALL, "exit_signal")
    assert codes(said) == ["exit_signal"]


def test_an_exit_while_flat_does_nothing() -> None:
    said = Desk().decide("trade", direction="exit", proposal=WHOLE)
    assert codes(said) == ["nothing_held"] and not of(SubmitOrder, said)


def test_an_exit_while_one_is_on_its_way_sells_nothing_twice() -> None:
    own = Desk()
    own.bought()
    own.decide("trade", direction="exit")
    said = own.decide("trade", direction="exit")
    assert codes(said) == ["exit_signal"] and not of(SubmitOrder, said)
    assert not of(SubmitOrder, own.quotes(3))


def test_while_it_is_held_nothing_more_is_bought() -> None:
    own = Desk()
    own.bought()
    said = own.propose()
    assert codes(said) == ["in_position"] and not of(SubmitOrder, said)


@pytest.mark.parametrize("leaving", ["take_profit", "stop_loss"])
def test_a_position_is_sold_at_the_proposals_exits_while_no_agent_answers(leaving: str) -> None:
    price = {"take_profit": 101.6, "stop_loss": 99.3}[leaving]
    after = [(START_NS + i * SECOND_NS, price, price + 0.1) for i in range(5, 10)]
    own = Desk(FLAT[:5] + after)
    own.bought(take_profit_bps=150, stop_loss_bps=50)
    own.quotes(4)
    (order,) = of(SubmitOrder, own.quotes(1))
    assert (order.side, order.reason, order.quantity) == (SELL, leaving, ALL)


def test_while_an_exit_is_on_its_way_nothing_is_bought() -> None:
    own = Desk()
    own.bought()
    own.decide("trade", direction="exit")
    assert codes(own.propose()) == ["exit_pending"]


def test_while_an_entry_is_on_its_way_there_is_no_second() -> None:
    own = Desk()
    own.propose()
    said = own.propose()
    assert codes(said) == ["order_pending"] and not of(SubmitOrder, said)


def test_a_rest_too_small_to_be_sold_neither_counts_as_sold_nor_keeps_from_buying() -> None:
    own = Desk(instruments__X__min_notional=20)
    order = the_order(own.propose())
    own.filled(order, Decimal("0.1"))
    own.gone(order, Decimal("0.1"))
    for _ in range(2):
        assert codes(own.decide("trade", direction="exit")) == ["nothing_held"]
        assert own.engine.desks[0].dust
    question = own.asked()
    assert own.engine.slow and own.engine.slow.snapshots[question.number].held.quantity == 0
    assert codes(own.propose(question)) == ["entry"]


# what the engine refuses


def test_while_halted_nothing_is_bought() -> None:
    own = Desk()
    own.tell(Operator(own.engine.now_ns, "halt", "lunch"))
    assert codes(own.propose()) == ["halted"]


def test_while_reducing_nothing_is_bought() -> None:
    own = Desk()
    question = own.asked()
    own.tell(Lag(own.engine.now_ns, 1e6))
    assert codes(own.propose(question)) == ["reducing"]
    own.tell(Lag(own.engine.now_ns, 0.0))
    own.tell(Link(own.engine.now_ns, "down"))
    assert codes(own.propose()) == ["reducing"]


def test_a_spread_that_is_too_wide_buys_nothing() -> None:
    own = Desk([(START_NS + i * SECOND_NS, 99.0, 100.0) for i in range(5)])
    assert codes(own.propose()) == ["wide_spread"]


def test_a_quote_that_is_too_old_buys_nothing() -> None:
    own = Desk()
    question = own.asked()
    late = Decision(
        question.at_ns + 6 * SECOND_NS, 1, "trade", "X", 0, "trade", direction="long", proposal=WHOLE
    )
    assert codes(own.tell(late)) == ["stale"]


@pytest.mark.parametrize(
    ("limit", "code"),
    [("max_exposure_notional", "max_exposure"), ("max_position_notional", "max_position")],
)
def test_a_limit_refuses_what_a_smaller_share_would_pass(limit: str, code: str) -> None:
    tight: dict[str, Any] = {f"risk__{limit}": 600}
    assert codes(Desk(**tight).propose()) == [code]
    assert codes(Desk(**tight).propose(size_pct=50)) == ["entry"]


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
