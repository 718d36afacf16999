"""Tests that figures are formatted alike: no exponents, two decimals of money, one precision per price."""

from decimal import Decimal

import pytest

from autohedge.audit.figures import duration, money, percent, price, price_places, quantity, short_id
from autohedge.core.orders import BUY, ENTER
from autohedge.core.units import NS_PER_S
from autohedge.records.round_trips import TrackedOrder, TripFill

ORDER = TrackedOrder("f" * 32, "X", BUY, ENTER, 1, Decimal(1), Decimal("94992.2"), "entry")


@pytest.mark.parametrize(
    ("amount", "expected"),
    [
        ("0", "0.00"),
        ("0E-7", "0.00"),
        ("-0.0049", "0.00"),
        ("-0.2452", "-0.25"),
        ("1234567.8", "+1,234,567.80"),
    ],
)
def test_money_has_two_decimals_and_separators(amount: str, expected: str) -> None:
    assert money(Decimal(amount)) == expected
    assert money(Decimal(amount), signed=False) == expected.removeprefix("+")


def test_quantity_has_no_exponent_and_keeps_its_digits() -> None:
    assert [quantity(Decimal(each)) for each in ("0E-7", "1E-7", "0.268380", "12E+2")] == [
        "0",
        "0.0000001",
        "0.268380",
        "1,200",
    ]


def test_prices_of_orders_share_the_finest_precision() -> None:
    fill = TripFill(1, "t", Decimal(1), Decimal("94992.25"), Decimal(0), Decimal(0))
    filled = TrackedOrder("g" * 32, "X", BUY, ENTER, 1, Decimal(1), None, "entry", fills=[fill])
    assert (price_places([]), price_places([ORDER]), price_places([ORDER, filled])) == (None, 1, 2)
    assert price(Decimal(94990), 1) == "94,990.0" and price(95393.63636, 1) == "95,393.6"
    assert price(Decimal("1E+2"), None) == "100" and price(95393.63636, None) == "95,393.63636"


def test_durations_percentages_and_ids_are_short() -> None:
    spans = [duration(seconds * NS_PER_S) for seconds in (0, 59, 1761, 7140, 266_400)]
    assert spans == ["0 s", "59 s", "29 min 21 s", "1 h 59 min", "3 d 2 h"]
    assert [percent(share) for share in (0.0, 0.001, 0.386)] == ["0 %", "under 1 %", "39 %"]
    assert percent(-0.0298, 2, signed=True) == "-2.98 %"
    assert short_id("07cbb31bc26f1fd57abb7c6e29823ecd") == "07cbb31b" and short_id("a\x1bb") == "a b"
