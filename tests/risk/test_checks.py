"""Pre-trade checks: each code by one violation, at its exact edge, in one fixed order."""

from collections.abc import Callable
from decimal import Decimal
from itertools import combinations
from typing import Any

import pytest

from autohedge.core.orders import OrderType
from autohedge.core.reasons import Reason
from autohedge.risk import Approved, Book, Limits, check_entry, check_exit
from autohedge.risk.checks import ENTRY_CHECKS
from tests.risk.wishes import NOW_NS, SECOND_NS, book, buy, exhausted, limits, sell
from tests.support import settings

D = Decimal
Changes = dict[str, Any]
NOTHING: Changes = {}

# In the order of the checks: what to change in the intent, the book and the limits.
VIOLATIONS: list[tuple[Reason, Changes, Changes, Changes]] = [
    (Reason.NOT_FINITE, {"price": D("NaN")}, NOTHING, NOTHING),
    (Reason.HALTED, NOTHING, {"halted": True}, NOTHING),
    (Reason.STALE, NOTHING, {"quote_ns": NOW_NS - 5 * SECOND_NS - 1}, NOTHING),
    (Reason.RATE_LIMITED, NOTHING, {"last_entry_ns": NOW_NS - 2 * SECOND_NS + 1}, NOTHING),
    (Reason.COOLING_DOWN, NOTHING, {"last_exit_ns": NOW_NS - 3 * SECOND_NS + 1}, NOTHING),
    (Reason.DUPLICATE, NOTHING, {"duplicate": True}, NOTHING),
    (Reason.ZERO_QUANTITY, {"quantity": D(0)}, NOTHING, NOTHING),
    (Reason.MIN_QUANTITY, NOTHING, NOTHING, {"min_quantity": D("1.000001")}),
    (Reason.MAX_QUANTITY, NOTHING, NOTHING, {"max_quantity": D("0.999999")}),
    (Reason.MIN_NOTIONAL, NOTHING, NOTHING, {"min_notional": D("100.000001")}),
    (Reason.MAX_NOTIONAL, NOTHING, NOTHING, {"max_notional": D("99.999999")}),
    (Reason.PRICE_BAND, NOTHING, {"mid": D(90)}, NOTHING),
    (Reason.BUYING_POWER, NOTHING, {"buying_power": D("99.999999")}, NOTHING),
    (Reason.MAX_POSITION, NOTHING, {"position_notional": D("400.000001")}, NOTHING),
    (Reason.MAX_EXPOSURE, NOTHING, {"exposure": D("900.000001")}, NOTHING),
    (Reason.DAILY_LOSS, NOTHING, {"equity": D(9500)}, NOTHING),
    (Reason.ORDER_RATE, NOTHING, {"rate": exhausted()}, NOTHING),
    (Reason.REDUCING, NOTHING, {"reducing": True}, NOTHING),
]

# The last value that each check lets pass.
EDGES: list[tuple[Reason, Changes, Changes, Changes]] = [
    (Reason.STALE, NOTHING, {"quote_ns": NOW_NS - 5 * SECOND_NS}, NOTHING),
    (Reason.RATE_LIMITED, NOTHING, {"last_entry_ns": NOW_NS - 2 * SECOND_NS}, NOTHING),
    (Reason.COOLING_DOWN, NOTHING, {"last_exit_ns": NOW_NS - 3 * SECOND_NS}, NOTHING),
    (Reason.MIN_QUANTITY, NOTHING, NOTHING, {"min_quantity": D(1)}),
    (Reason.MAX_QUANTITY, NOTHING, NOTHING, {"max_quantity": D(1)}),
    (Reason.MIN_NOTIONAL, NOTHING, NOTHING, {"min_notional": D(100)}),
    (Reason.MAX_NOTIONAL, NOTHING, NOTHING, {"max_notional": D(100)}),
    (Reason.PRICE_BAND, {"price": D(101), "limit": D(101)}, NOTHING, NOTHING),
    (Reason.PRICE_BAND, {"price": D(99), "limit": D(99)}, NOTHING, NOTHING),
    (Reason.BUYING_POWER, NOTHING, {"buying_power": D(100)}, NOTHING),
    (Reason.MAX_POSITION, NOTHING, {"position_notional": D(400)}, NOTHING),
    (Reason.MAX_EXPOSURE, NOTHING, {"exposure": D(900)}, NOTHING),
    (Reason.DAILY_LOSS, NOTHING, {"equity": D("9500.000001")}, NOTHING),
    (Reason.DAILY_LOSS, NOTHING, {"equity": D(0), "equity_at_midnight": D(0)}, NOTHING),
]


def _verdict(intent: Changes, at: Changes, under: Changes) -> Approved | Reason:
    return check_entry(buy(**intent), book(**at), limits(**under))


def test_an_intent_within_all_limits_is_approved_as_it_is() -> None:
    wish = buy()
    verdict = check_entry(wish, book(), limits())
    assert isinstance(verdict, Approved) and verdict.intent is wish


@pytest.mark.parametrize(("code", "intent", "at", "under"), VIOLATIONS)
def test_one_violation_gives_its_own_code(code: Reason, intent: Changes, at: Changes, under: Changes) -> None:
    assert _verdict(intent, at, under) is code


@pytest.mark.parametrize(("code", "intent", "at", "under"), EDGES)
def test_a_value_at_the_limit_passes(code: Reason, intent: Changes, at: Changes, under: Changes) -> None:
    assert isinstance(_verdict(intent, at, under), Approved)


def test_of_two_violations_the_earlier_check_answers() -> None:
    for (code, *first), (later, *second) in combinations(VIOLATIONS, 2):
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
def test_neither_an_entry_nor_an_exit_passes_with_a_number_that_is_none(change: Changes) -> None:
    assert check_entry(buy(**change), book(), limits()) is Reason.NOT_FINITE
    assert check_exit(sell(**change), D(10), duplicate=False) is Reason.NOT_FINITE


@pytest.mark.parametrize("limit", [None, D(0), D(-1), D("NaN"), D("Infinity")])
def test_a_limit_order_needs_a_finite_limit_above_zero(limit: Decimal | None) -> None:
    assert check_entry(buy(limit=limit), book(), limits()) is Reason.NOT_FINITE


def test_a_market_order_needs_no_limit() -> None:
    wish = buy(order_type=OrderType.MARKET, limit=None)
    assert isinstance(check_entry(wish, book(), limits()), Approved)


def test_a_negative_quantity_is_no_quantity() -> None:
    assert check_entry(buy(quantity=D(-1)), book(), limits()) is Reason.ZERO_QUANTITY
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


def test_an_exit_of_the_whole_position_passes_whatever_the_limits() -> None:
    wish = sell(quantity=D("1E+15"), price=D("1E+15"))
    verdict = check_exit(wish, D("1E+15"), duplicate=False)
    assert isinstance(verdict, Approved) and verdict.intent is wish


def test_a_buy_cannot_pass_as_an_exit() -> None:
    with pytest.raises(ValueError, match="check_entry"):
        check_exit(buy(), D(10), duplicate=False)


@pytest.mark.parametrize(
    "forge",
    [lambda: Approved(buy(), object()), lambda: Approved(buy(), None), lambda: Approved(buy(), Approved)],
)
def test_nobody_else_can_approve_an_intent(forge: Callable[[], Approved]) -> None:
    with pytest.raises(TypeError, match="only the risk checks"):
        forge()


def test_asking_the_checks_uses_up_no_order_rate() -> None:
    at: Book = book()
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


def test_the_account_may_send_its_orders_per_minute_at_once_and_then_waits() -> None:
    rate = limits(orders_per_minute=6).rate()
    for _ in range(6):
        assert rate.allows(NOW_NS)
        rate.take(NOW_NS)
    assert not rate.allows(NOW_NS + 60 * SECOND_NS - 1)
    assert rate.allows(NOW_NS + 60 * SECOND_NS)


def test_only_a_sell_reduces() -> None:
    assert sell().reduce_only
    assert not buy().reduce_only
