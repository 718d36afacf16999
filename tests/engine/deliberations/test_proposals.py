"""The engine in llm mode with decisions made by hand: when it asks, and the effect of each answer."""

from decimal import Decimal
from typing import Any

import pytest

from autohedge.core.events import (
    ConnectionStatus,
    CooldownChanged,
    Decision,
    DeliberationRequested,
    LoopLag,
    OperatorCommand,
    ProposalResolved,
    SubmitOrder,
)
from autohedge.core.orders import BUY, SELL
from autohedge.core.units import NS_PER_S
from tests.engine.deliberations.proposal_harness import (
    ALL,
    COOLDOWN,
    DEADLINE_S,
    FLAT,
    MID,
    WHOLE,
    ProposalHarness,
    events_of,
    only_order,
    resolution_codes,
)
from tests.engine.harness import START_NS

# requests


def test_request_at_first_quote_is_not_repeated_before_the_answer() -> None:
    harness = ProposalHarness()
    assert [type(event) for event in harness.quotes(1)] == [DeliberationRequested]
    assert harness.quotes(20) == []


def test_request_waits_for_the_warmup() -> None:
    harness = ProposalHarness(momentum__warmup_count=7)
    assert harness.quotes(6) == []
    assert [type(event) for event in harness.quotes(1)] == [DeliberationRequested]


def test_requests_are_min_interval_apart_in_engine_time() -> None:
    harness = ProposalHarness(llm__min_interval_s=10)
    question = harness.next_question()
    harness.decide("keep", question)
    assert harness.quotes(9) == []
    assert harness.fire_timers_until(question.at_ns + 10 * NS_PER_S - 1) == []
    (second,) = harness.fire_timers_until(question.at_ns + 10 * NS_PER_S)
    assert isinstance(second, DeliberationRequested) and second.at_ns == question.at_ns + 10 * NS_PER_S


def test_next_quote_after_an_answer_triggers_a_request() -> None:
    harness = ProposalHarness()
    harness.decide("keep")
    assert [type(event) for event in harness.quotes(1)] == [DeliberationRequested]


def test_answer_after_newer_quotes_triggers_next_request_at_once() -> None:
    harness = ProposalHarness()
    question = harness.next_question()
    harness.quotes(3)
    assert [type(event) for event in harness.decide("keep", question)] == [
        ProposalResolved,
        DeliberationRequested,
    ]


def test_no_trade_starts_a_cooldown_of_its_quotes() -> None:
    harness = ProposalHarness()
    assert harness.decide("no_trade")[0] == CooldownChanged(START_NS, "X", COOLDOWN, "no_trade")
    assert harness.state == "cooldown"
    assert harness.quotes(COOLDOWN - 1) == []
    assert [type(event) for event in harness.quotes(1)] == [CooldownChanged, DeliberationRequested]
    assert harness.engine.codes()["agents_cooldown"] == COOLDOWN


def test_no_trade_without_cooldown_waits_for_one_quote() -> None:
    harness = ProposalHarness(llm__no_trade_cooldown_quotes=0)
    assert [type(event) for event in harness.decide("no_trade")] == [ProposalResolved]
    assert [type(event) for event in harness.quotes(1)] == [DeliberationRequested]


def test_a_refusal_cools_down_under_its_own_code() -> None:
    events = ProposalHarness().decide("no_trade", code="refuted")
    assert (
        [event.why for event in events_of(CooldownChanged, events)] == resolution_codes(events) == ["refuted"]
    )


def test_unanswered_request_times_out_and_triggers_the_next() -> None:
    harness = ProposalHarness()
    question = harness.next_question()
    harness.quotes(1)
    assert harness.fire_timers_until(question.at_ns + DEADLINE_S * NS_PER_S - 1) == []
    events = harness.fire_timers_until(question.at_ns + DEADLINE_S * NS_PER_S)
    assert [type(event) for event in events] == [ProposalResolved, DeliberationRequested]
    assert resolution_codes(events) == ["timeout"]
    assert harness.figures.abstentions == {"timeout": 1}


def test_every_quote_ends_in_one_code() -> None:
    bad = [(START_NS + i * NS_PER_S, 100.0, 99.0) for i in range(5)]
    good = [(START_NS + i * NS_PER_S, 99.9, 100.0) for i in range(5, 60)]
    harness = ProposalHarness(bad + good)
    harness.quotes(5)
    question = harness.next_question()
    harness.quotes(4)
    harness.decide("no_trade", question)
    harness.quotes(COOLDOWN)
    harness.buy(question=DeliberationRequested(0, 2, "trade", "X", ""))
    harness.quotes(6)
    ended = {code: count for code, count in harness.engine.codes().items() if count}
    assert ended == {
        "bad_quote": 5,
        "no_signal": 1,
        "deliberating": 4,
        "agents_cooldown": COOLDOWN,
        "in_position": 6,
    }
    assert sum(ended.values()) == harness.engine.pos


# entries


def test_proposal_buys_full_size_at_the_ask_with_its_own_exits() -> None:
    events = ProposalHarness().propose()
    order = only_order(events)
    assert (order.side, order.quantity, order.limit) == (BUY, ALL, Decimal("100.0"))
    assert order.take_profit == pytest.approx(MID * 1.015) and order.stop_loss == pytest.approx(MID * 0.995)
    assert resolution_codes(events) == ["entry"]


def test_half_the_size_is_half_the_quantity() -> None:
    assert only_order(ProposalHarness().propose(size_pct=50)).quantity == ALL / 2


@pytest.mark.parametrize(("size_pct", "quantity"), [(1, "0.1"), (33, "3.3"), (99, "9.9")])
def test_a_share_is_rounded_down_to_the_lot(size_pct: int, quantity: str) -> None:
    assert only_order(ProposalHarness().propose(size_pct=size_pct)).quantity == Decimal(quantity)
    rough = ProposalHarness(instruments__X__lot=2)
    assert only_order(rough.propose(size_pct=max(size_pct, 33))).quantity % 2 == 0


def test_share_below_min_order_amount_is_refused() -> None:
    harness = ProposalHarness(sizing__min_order_amount=100)
    assert resolution_codes(harness.propose(size_pct=9)) == ["min_notional"]
    assert harness.resolutions == {"min_notional": 1}


@pytest.mark.parametrize(
    ("offset_bps", "tick", "limit"),
    [(0, None, "100.0"), (10, None, "99.9"), (15, None, "99.8"), (20, "0.01", "99.80"), (5, "0.5", "99.5")],
)
def test_an_offset_lowers_the_limit_to_the_tick_below_and_buys_no_more(
    offset_bps: int, tick: str | None, limit: str
) -> None:
    changes: dict[str, Any] = {"instruments__X__tick": tick} if tick else {}
    order = only_order(ProposalHarness(**changes).propose(offset_bps=offset_bps))
    assert (order.limit, order.quantity) == (Decimal(limit), ALL)


@pytest.mark.parametrize("aggression_bps", [0, 2, 500])
@pytest.mark.parametrize("offset_bps", [0, 1, 20])
def test_proposal_limit_never_exceeds_the_configured_limit(aggression_bps: int, offset_bps: int) -> None:
    harness, plain = (ProposalHarness(execution__aggression_bps=aggression_bps) for _ in range(2))
    lowered, most = only_order(harness.propose(offset_bps=offset_bps)), only_order(plain.propose())
    assert lowered.limit is not None and most.limit is not None
    assert lowered.limit <= most.limit and lowered.quantity == most.quantity
    assert (lowered.limit == most.limit) is (offset_bps == 0)


@pytest.mark.parametrize("time_in_force", ["ioc", "gtc"])
@pytest.mark.parametrize("configured", ["ioc", "gtc"])
def test_proposal_time_in_force_overrides_the_configured_one(time_in_force: str, configured: str) -> None:
    harness = ProposalHarness(execution__time_in_force=configured)
    assert only_order(harness.propose(time_in_force=time_in_force)).time_in_force == time_in_force


@pytest.mark.parametrize(
    ("own_stop_bps", "bounds"), [(50, (10, 50)), (20, (10, 20)), (5.9, (5, 5)), (0.5, (0, 0))]
)
def test_proposal_stop_wider_than_the_settings_is_refused(
    own_stop_bps: float, bounds: tuple[int, int]
) -> None:
    harness = ProposalHarness(exits__stop_loss_bps=own_stop_bps)
    question = harness.next_question()
    assert harness.engine.questions[-1].snapshot.limits.stop_losses_bps == bounds
    harness.propose(question, stop_loss_bps=bounds[1] + 1)
    assert harness.resolutions == {"bad_proposal": 1}
    if bounds[1]:
        assert only_order(harness.propose(stop_loss_bps=bounds[1])).stop_loss == pytest.approx(
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
def test_proposal_outside_its_bounds_is_refused(changes: dict[str, Any]) -> None:
    events = ProposalHarness().propose(**changes)
    assert resolution_codes(events) == ["bad_proposal"] and not events_of(SubmitOrder, events)


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
def test_proposal_at_its_bounds_is_accepted(changes: dict[str, Any]) -> None:
    assert resolution_codes(ProposalHarness().propose(**changes)) == ["entry"]


def test_trade_verdict_without_proposal_is_refused() -> None:
    assert resolution_codes(ProposalHarness().decide("trade")) == ["bad_proposal"]


@pytest.mark.parametrize("direction", ["short", ""])
def test_proposal_without_long_direction_is_refused_as_short(direction: str) -> None:
    events = ProposalHarness().decide("trade", direction=direction, proposal=WHOLE)
    assert resolution_codes(events) == ["no_short"] and not events_of(SubmitOrder, events)


# positions


def test_an_exit_sells_what_is_held() -> None:
    harness = ProposalHarness()
    harness.buy()
    events = harness.decide("trade", direction="exit")
    order = only_order(events)
    assert (order.side, order.quantity, order.reason) == (SELL, ALL, "exit_signal")
    assert resolution_codes(events) == ["exit_signal"]


def test_exit_while_flat_sends_no_order() -> None:
    events = ProposalHarness().decide("trade", direction="exit", proposal=WHOLE)
    assert resolution_codes(events) == ["nothing_held"] and not events_of(SubmitOrder, events)


def test_second_exit_while_one_is_pending_sends_no_order() -> None:
    harness = ProposalHarness()
    harness.buy()
    harness.decide("trade", direction="exit")
    events = harness.decide("trade", direction="exit")
    assert resolution_codes(events) == ["exit_signal"] and not events_of(SubmitOrder, events)
    assert not events_of(SubmitOrder, harness.quotes(3))


def test_proposal_while_in_position_is_refused() -> None:
    harness = ProposalHarness()
    harness.buy()
    events = harness.propose()
    assert resolution_codes(events) == ["in_position"] and not events_of(SubmitOrder, events)


@pytest.mark.parametrize("reason", ["take_profit", "stop_loss"])
def test_position_at_proposal_exit_levels_is_sold_without_agents(reason: str) -> None:
    price = {"take_profit": 101.6, "stop_loss": 99.3}[reason]
    after = [(START_NS + i * NS_PER_S, price, price + 0.1) for i in range(5, 10)]
    harness = ProposalHarness(FLAT[:5] + after)
    harness.buy(take_profit_bps=150, stop_loss_bps=50)
    harness.quotes(4)
    (order,) = events_of(SubmitOrder, harness.quotes(1))
    assert (order.side, order.reason, order.quantity) == (SELL, reason, ALL)


def test_proposal_while_exit_is_pending_is_refused() -> None:
    harness = ProposalHarness()
    harness.buy()
    harness.decide("trade", direction="exit")
    assert resolution_codes(harness.propose()) == ["exit_pending"]


def test_proposal_while_entry_is_pending_is_refused() -> None:
    harness = ProposalHarness()
    harness.propose()
    events = harness.propose()
    assert resolution_codes(events) == ["order_pending"] and not events_of(SubmitOrder, events)


def test_dust_position_counts_as_flat_and_allows_entry() -> None:
    harness = ProposalHarness(instruments__X__min_notional=20)
    order = only_order(harness.propose())
    harness.fill(order, Decimal("0.1"))
    harness.confirm_cancel(order, Decimal("0.1"))
    for _ in range(2):
        assert resolution_codes(harness.decide("trade", direction="exit")) == ["nothing_held"]
        assert harness.engine.instruments[0].dust
    question = harness.next_question()
    assert harness.engine.questions[-1].snapshot.position.quantity == 0
    assert resolution_codes(harness.propose(question)) == ["entry"]


# refusals


def test_proposal_while_halted_is_refused() -> None:
    harness = ProposalHarness()
    harness.step(OperatorCommand(harness.engine.now_ns, "halt", "lunch"))
    assert resolution_codes(harness.propose()) == ["halted"]


def test_proposal_while_reducing_is_refused() -> None:
    harness = ProposalHarness()
    question = harness.next_question()
    harness.step(LoopLag(harness.engine.now_ns, 1e6))
    assert resolution_codes(harness.propose(question)) == ["reducing"]
    harness.step(LoopLag(harness.engine.now_ns, 0.0))
    harness.step(ConnectionStatus(harness.engine.now_ns, "down"))
    assert resolution_codes(harness.propose()) == ["reducing"]


def test_proposal_with_too_wide_spread_is_refused() -> None:
    harness = ProposalHarness([(START_NS + i * NS_PER_S, 99.0, 100.0) for i in range(5)])
    assert resolution_codes(harness.propose()) == ["wide_spread"]


def test_proposal_with_stale_quote_is_refused() -> None:
    harness = ProposalHarness()
    question = harness.next_question()
    late = Decision(
        question.at_ns + 6 * NS_PER_S, 1, "trade", "X", 0, "trade", direction="long", proposal=WHOLE
    )
    assert resolution_codes(harness.step(late)) == ["stale"]


@pytest.mark.parametrize(
    ("limit", "code"),
    [("max_exposure_notional", "max_exposure"), ("max_position_notional", "max_position")],
)
def test_risk_limit_refuses_full_size_but_passes_smaller_share(limit: str, code: str) -> None:
    tight: dict[str, Any] = {f"risk__{limit}": 600}
    assert resolution_codes(ProposalHarness(**tight).propose()) == [code]
    assert resolution_codes(ProposalHarness(**tight).propose(size_pct=50)) == ["entry"]


def repeat_proposal_tests() -> None:
    """Repeats tests; test_without_compiler.py calls it in a process without the compiler."""
    test_every_quote_ends_in_one_code()
    test_no_trade_starts_a_cooldown_of_its_quotes()
    for reason in ("take_profit", "stop_loss"):
        test_position_at_proposal_exit_levels_is_sold_without_agents(reason)
