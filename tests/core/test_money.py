"""Exact arithmetic: what never rounds, what rounds once, and in which direction."""

from collections.abc import Callable
from decimal import Decimal, Inexact
from fractions import Fraction
from math import floor

import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from autohedge.core.money import (
    add,
    bps_of,
    ceil_to,
    divide,
    divide_floor,
    floor_to,
    multiply,
    subtract,
    tick_of,
    to_decimal,
)


def _decimals(digits: int = 30, *, least: int = 0) -> st.SearchStrategy[Decimal]:
    numbers = st.integers(least, 10**digits)
    return st.builds(lambda n, places: Decimal(n).scaleb(-places), numbers, st.integers(0, 20))


steps = st.sampled_from([Decimal(s) for s in ("1", "0.01", "0.000001", "0.5", "0.25", "5", "1E+2", "0.3")])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (61800.2, "61800.2"),
        (0.1 + 0.2, "0.30000000000000004"),
        (1e-07, "1E-7"),
        (100, "100.0"),
        (5e22, "5E+22"),
    ],
)
def test_to_decimal_equals_printed_float(value: float, text: str) -> None:
    assert str(to_decimal(value)) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_to_decimal_has_fewest_digits_that_restore_the_float(value: float) -> None:
    text = to_decimal(value)
    assert float(text) == value
    digits = len(text.normalize().as_tuple().digits)
    assert digits <= 17
    assert digits == 1 or float(f"{value:.{digits - 2}e}") != value


@given(_decimals(), _decimals())
def test_sums_differences_and_products_are_exact(a: Decimal, b: Decimal) -> None:
    assert Fraction(add(a, b)) == Fraction(a) + Fraction(b)
    assert Fraction(subtract(a, b)) == Fraction(a) - Fraction(b)
    assert Fraction(multiply(a, b)) == Fraction(a) * Fraction(b)


@pytest.mark.parametrize(
    "calculate",
    [
        lambda: multiply(Decimal(10**70 + 1), Decimal(10**70 + 1)),
        lambda: add(Decimal("1E+70"), Decimal("1E-70")),
        lambda: subtract(Decimal("1E+70"), Decimal("1E-70")),
    ],
)
def test_inexact_arithmetic_raises_instead_of_rounding(calculate: Callable[[], Decimal]) -> None:
    with pytest.raises(Inexact):
        calculate()


@given(_decimals(), steps)
def test_floor_is_the_greatest_multiple_that_is_not_above(value: Decimal, step: Decimal) -> None:
    down = Fraction(floor_to(value, step))
    assert down == floor(Fraction(value) / Fraction(step)) * Fraction(step)


@given(_decimals(), steps)
def test_ceiling_is_the_least_multiple_that_is_not_below(value: Decimal, step: Decimal) -> None:
    up = Fraction(ceil_to(value, step))
    assert up == -floor(-Fraction(value) / Fraction(step)) * Fraction(step)


@given(_decimals(digits=12), steps)
def test_floor_and_ceiling_mirror_each_other_below_zero(value: Decimal, step: Decimal) -> None:
    assert floor_to(-value, step) == -ceil_to(value, step)
    assert ceil_to(-value, step) == -floor_to(value, step)


def test_a_long_negative_number_is_not_rounded_before_it_is_floored() -> None:
    value = Decimal("-1.0000000000000000000000000000001")
    assert floor_to(value, Decimal(1)) == -2
    assert ceil_to(value, Decimal(1)) == -1


@given(_decimals(digits=20), _decimals(digits=20, least=1), steps)
def test_a_quantity_is_rounded_down_once(numerator: Decimal, denominator: Decimal, step: Decimal) -> None:
    exact = Fraction(numerator) / Fraction(denominator)
    expected = floor(exact / Fraction(step)) * Fraction(step)
    assert Fraction(divide_floor(numerator, denominator, step)) == expected


def test_rounding_to_the_lot_does_not_round_up_first() -> None:
    almost_one = Decimal("0.9999999999999999999999999999999999999999")
    assert divide_floor(almost_one, Decimal(1), Decimal(1)) == 0


def test_a_quotient_is_rounded_to_28_digits() -> None:
    assert divide(Decimal(2), Decimal(3)) == Decimal("0." + "6" * 27 + "7")


@budget(max_examples=50)
@given(_decimals(digits=20), _decimals(digits=20, least=1))
def test_a_quotient_is_off_by_less_than_its_last_digit(numerator: Decimal, denominator: Decimal) -> None:
    exact = Fraction(numerator) / Fraction(denominator)
    assert abs(Fraction(divide(numerator, denominator)) - exact) <= exact / 10**27


def test_basis_points_are_exact() -> None:
    assert bps_of(Decimal("61.18019818"), Decimal("12.5")) == Decimal("0.0764752477250")


@pytest.mark.parametrize(
    ("price", "increment"), [("61800.2", "0.1"), ("61800", "1"), ("1E+22", "1"), ("0.00012", "0.00001")]
)
def test_the_increment_is_that_of_the_last_printed_digit(price: str, increment: str) -> None:
    assert tick_of(Decimal(price)) == Decimal(increment)
