"""Pre-trade checks: one violation per code, at its exact bound, in a fixed order."""

from collections.abc import Callable
from decimal import Decimal
from itertools import combinations
from typing import Any

import pytest

from autohedge.core.orders import BUY, SELL, OrderType, Side
from autohedge.core.reasons import Reason
from autohedge.core.units import NS_PER_S
from autohedge.risk import Approved, Limits, RiskContext, check_entry, check_exit
from autohedge.risk.checks import ENTRY_CHECKS
from tests.risk.intent_factory import NOW_NS, buy, exhausted, limits, risk_context, sell
from tests.run_harness import settings

D = Decimal
Changes = dict[str, Any]
NO_CHANGES: Changes = {}

# In the order of the checks: the changes to intent, risk context and limits that violate each one.
VIOLATIONS: list[tuple[Reason, Changes, Changes, Changes]] = [
    (Reason.NOT_FINITE, {"price": D("NaN")}, NO_CHANGES, NO_CHANGES),
    (Reason.NO_LONG, NO_CHANGES, NO_CHANGES, {"entry_sides": frozenset()}),
    (Reason.NO_SHORT, {"side": SELL}, NO_CHANGES, {"entry_sides": frozenset()}),
    (Reason.HALTED, NO_CHANGES, {"halted": True}, NO_CHANGES),
    (Reason.STALE, NO_CHANGES, {"quote_ns": NOW_NS - 5 * NS_PER_S - 1}, NO_CHANGES),
    (Reason.RATE_LIMITED, NO_CHANGES, {"last_entry_ns": NOW_NS - 2 * NS_PER_S + 1}, NO_CHANGES),
    (Reason.COOLING_DOWN, NO_CHANGES, {"last_exit_ns": NOW_NS - 3 * NS_PER_S + 1}, NO_CHANGES),
    (Reason.DUPLICATE, NO_CHANGES, {"duplicate": True}, NO_CHANGES),
    (Reason.ZERO_QUANTITY, {"quantity": D(0)}, NO_CHANGES, NO_CHANGES),
    (Reason.MIN_QUANTITY, NO_CHANGES, NO_CHANGES, {"min_quantity": D("1.000001")}),
    (Reason.MAX_QUANTITY, NO_CHANGES, NO_CHANGES, {"max_quantity": D("0.999999")}),
    (Reason.MIN_NOTIONAL, NO_CHANGES, NO_CHANGES, {"min_notional": D("100.000001")}),
    (Reason.MAX_NOTIONAL, NO_CHANGES, NO_CHANGES, {"max_notional": D("99.999999")}),
    (Reason.PRICE_BAND, NO_CHANGES, {"mid": D(90)}, NO_CHANGES),
    (Reason.BUYING_POWER, NO_CHANGES, {"buying_power": D("99.999999")}, NO_CHANGES),
    (Reason.MAX_POSITION, NO_CHANGES, {"position_notional": D("400.000001")}, NO_CHANGES),
    (Reason.MAX_EXPOSURE, NO_CHANGES, {"exposure": D("900.000001")}, NO_CHANGES),
    (Reason.DAILY_LOSS, NO_CHANGES, {"equity": D(9500)}, NO_CHANGES),
    (Reason.ORDER_RATE, NO_CHANGES, {"rate": exhausted()}, NO_CHANGES),
    (Reason.REDUCING, NO_CHANGES, {"reducing": True}, NO_CHANGES),
]

# The last value that passes each check.
EDGES: list[tuple[Reason, Changes, Changes, Changes]] = [
    (Reason.STALE, NO_CHANGES, {"quote_ns": NOW_NS - 5 * NS_PER_S}, NO_CHANGES),
    (Reason.RATE_LIMITED, NO_CHANGES, {"last_entry_ns": NOW_NS - 2 * NS_PER_S}, NO_CHANGES),
    (Reason.COOLING_DOWN, NO_CHANGES, {"last_exit_ns": NOW_NS - 3 * NS_PER_S}, NO_CHANGES),
    (Reason.MIN_QUANTITY, NO_CHANGES, NO_CHANGES, {"min_quantity": D(1)}),
    (Reason.MAX_QUANTITY, NO_CHANGES, NO_CHANGES, {"max_quantity": D(1)}),
    (Reason.MIN_NOTIONAL, NO_CHANGES, NO_CHANGES, {"min_notional": D(100)}),
    (Reason.MAX_NOTIONAL, NO_CHANGES, NO_CHANGES, {"max_notional": D(100)}),
    (Reason.PRICE_BAND, {"price": D(101), "limit": D(101)}, NO_CHANGES, NO_CHANGES),
    (Reason.PRICE_BAND, {"price": D(99), "limit": D(99)}, NO_CHANGES, NO_CHANGES),
    (Reason.BUYING_POWER, NO_CHANGES, {"buying_power": D(100)}, NO_CHANGES),
    (Reason.MAX_POSITION, NO_CHANGES, {"position_notional": D(400)}, NO_CHANGES),
    (Reason.MAX_EXPOSURE, NO_CHANGES, {"exposure": D(900)}, NO_CHANGES),
    (Reason.DAILY_LOSS, NO_CHANGES, {"equity": D("9500.000001")}, NO_CHANGES),
    (Reason.DAILY_LOSS, NO_CHANGES, {"equity": D(0), "equity_at_midnight": D(0)}, NO_CHANGES),
]


def _verdict(intent: Changes, at: Changes, under: Changes) -> Approved | Reason:
    return check_entry(buy(**intent), risk_context(**at), limits(**under))


def test_an_intent_within_all_limits_is_approved_as_it_is() -> None:
    intent = buy()
    verdict = check_entry(intent, risk_context(), limits())
    assert isinstance(verdict, Approved) and verdict.intent is intent


@pytest.mark.parametrize(("code", "intent", "at", "under"), VIOLATIONS)
def test_one_violation_gives_its_own_code(code: Reason, intent: Changes, at: Changes, under: Changes) -> None:
    assert _verdict(intent, at, under) is code


@pytest.mark.parametrize(("code", "intent", "at", "under"), EDGES)
def test_a_value_at_the_limit_passes(code: Reason, intent: Changes, at: Changes, under: Changes) -> None:
    assert isinstance(_verdict(intent, at, under), Approved)


@pytest.mark.parametrize("price", [D("101.000001"), D("98.999999")])
def test_a_price_beyond_the_band_on_either_side_is_refused(price: Decimal) -> None:
    assert check_entry(buy(price=price, limit=price), risk_context(), limits()) is Reason.PRICE_BAND


def test_buying_power_covers_the_fee_too() -> None:
    with_fee = limits(fee_bps=D(10))
    assert isinstance(check_entry(buy(), risk_context(buying_power=D("100.1")), with_fee), Approved)
    short = risk_context(buying_power=D("100.099999"))
    assert check_entry(buy(), short, with_fee) is Reason.BUYING_POWER


def test_two_violations_give_the_code_of_the_earlier_check() -> None:
    for (code, *first), (later, *second) in combinations(VIOLATIONS, 2):
        if (code, later) == (Reason.NO_LONG, Reason.NO_SHORT):  # an order has one side
            continue
        both = [earlier | other for earlier, other in zip(first, second, strict=True)]
        assert _verdict(*both) is code, f"{code.label} comes before {later.label}"


def test_the_table_reaches_every_check_of_an_entry() -> None:
    assert [code for code, *_ in VIOLATIONS] == [Reason.NOT_FINITE, *(code for code, _ in ENTRY_CHECKS)]


INSANE: list[Changes] = [
    {"price": D("Infinity")},
    {"price": D("NaN")},
    {"price": D(0)},
    {"price": D(-1)},
    {"quantity": D("Infinity")},
    {"quantity": D("NaN")},
]


@pytest.mark.parametrize("change", INSANE)
def test_entry_and_exit_with_invalid_number_are_refused(change: Changes) -> None:
    assert check_entry(buy(**change), risk_context(), limits()) is Reason.NOT_FINITE
    assert check_exit(sell(**change), D(10), duplicate=False) is Reason.NOT_FINITE


@pytest.mark.parametrize("limit", [None, D(0), D(-1), D("NaN"), D("Infinity")])
def test_a_limit_order_needs_a_finite_limit_above_zero(limit: Decimal | None) -> None:
    assert check_entry(buy(limit=limit), risk_context(), limits()) is Reason.NOT_FINITE


def test_a_market_order_needs_no_limit() -> None:
    intent = buy(order_type=OrderType.MARKET, limit=None)
    assert isinstance(check_entry(intent, risk_context(), limits()), Approved)


def test_a_negative_quantity_is_no_quantity() -> None:
    assert check_entry(buy(quantity=D(-1)), risk_context(), limits()) is Reason.ZERO_QUANTITY
    assert check_exit(sell(quantity=D(-1)), D(1), duplicate=False) is Reason.ZERO_QUANTITY


EXIT_REFUSALS: list[tuple[Reason, Changes, Decimal, bool]] = [
    (Reason.NOT_FINITE, {"price": D("NaN"), "quantity": D(2)}, D(1), True),
    (Reason.ZERO_QUANTITY, {"quantity": D(0)}, D(0), True),
    (Reason.EXCEEDS_POSITION, {"quantity": D("1.000001")}, D(1), True),
    (Reason.DUPLICATE, {}, D(1), True),
]


@pytest.mark.parametrize(("code", "change", "held", "duplicate"), EXIT_REFUSALS)
def test_an_exit_is_refused_by_sanity_then_quantity_then_duplicate(
    code: Reason, change: Changes, held: Decimal, duplicate: bool
) -> None:
    assert check_exit(sell(**change), held, duplicate=duplicate) is code


def test_a_short_is_covered_up_to_its_size_and_by_no_sale() -> None:
    cover = sell(side=BUY)
    assert isinstance(check_exit(cover, D(-1), duplicate=False), Approved)
    assert check_exit(cover, D("-0.99"), duplicate=False) is Reason.EXCEEDS_POSITION
    assert check_exit(cover, D(1), duplicate=False) is Reason.EXCEEDS_POSITION
    assert check_exit(sell(), D(-1), duplicate=False) is Reason.EXCEEDS_POSITION


@pytest.mark.parametrize(
    ("direction", "kind", "sides"),
    [
        ("long", "cash", {BUY}),
        ("long", "covered", {BUY}),
        ("both", "cash", {BUY}),
        ("both", "covered", {BUY, SELL}),
        ("short", "covered", {SELL}),
        ("short", "cash", set()),
    ],
)
def test_entries_have_the_sides_that_direction_and_account_allow(
    direction: str, kind: str, sides: set[Side]
) -> None:
    chosen = settings(trading__direction=f'"{direction}"', account__kind=f'"{kind}"')
    assert Limits.of(chosen).entry_sides == sides


def test_an_exit_of_the_whole_position_passes_whatever_the_limits() -> None:
    intent = sell(quantity=D("1E+15"), price=D("1E+15"))
    verdict = check_exit(intent, D("1E+15"), duplicate=False)
    assert isinstance(verdict, Approved) and verdict.intent is intent


def test_an_entry_cannot_pass_as_an_exit() -> None:
    with pytest.raises(ValueError, match="check_entry"):
        check_exit(buy(), D(10), duplicate=False)


@pytest.mark.parametrize(
    "forge",
    [lambda: Approved(buy(), object()), lambda: Approved(buy(), None), lambda: Approved(buy(), Approved)],
)
def test_approved_made_outside_the_checks_raises(forge: Callable[[], Approved]) -> None:
    with pytest.raises(TypeError, match="only the risk checks"):
        forge()


def test_check_entry_repeated_uses_up_no_order_rate() -> None:
    at: RiskContext = risk_context()
    for _ in range(1000):
        assert isinstance(check_entry(buy(), at, limits()), Approved)


def test_limits_are_those_of_the_settings() -> None:
    wanted = settings(
        risk__min_order_quantity=1,
        risk__max_order_quantity=2,
        risk__min_order_notional=3,
        risk__max_order_notional=4,
        risk__price_band_bps=5,
        risk__max_position_notional=6,
        risk__max_exposure_notional=7,
        risk__max_daily_loss_pct=8,
        risk__max_orders_per_minute=9,
        risk__stale_after_ms=10,
        execution__min_order_interval_ms=0.5,
        execution__cooldown_ms=12,
    )
    numbers = (D(1), D(2), D(3), D(4), D(5), D(6), D(7), D(8), 9, 10_000_000, 500_000, 12_000_000, D(10))
    assert Limits.of(wanted) == Limits(*numbers)


def test_order_rate_allows_burst_of_limit_and_then_blocks_for_a_minute() -> None:
    throttler = limits(orders_per_minute=6).rate()
    for _ in range(6):
        assert throttler.has_room(NOW_NS)
        throttler.record(NOW_NS)
    assert not throttler.has_room(NOW_NS + 60 * NS_PER_S - 1)
    assert throttler.has_room(NOW_NS + 60 * NS_PER_S)


def test_only_a_sell_reduces() -> None:
    assert sell().reduce_only
    assert not buy().reduce_only
