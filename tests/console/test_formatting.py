"""Figures are written alike everywhere."""

from decimal import Decimal

import pytest

from autohedge.console.formatting import amount_text, duration_text, quantity_text


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("9997.854", "9,997.85"),
        ("0E-7", "0.00"),
        ("-0.001", "0.00"),
        ("-2.156", "-2.16"),
        ("1e6", "1,000,000.00"),
    ],
)
def test_amount_has_two_decimals_and_no_negative_zero(amount: str, text: str) -> None:
    assert amount_text(Decimal(amount)) == text


@pytest.mark.parametrize(
    ("quantity", "text"),
    [
        ("0.0315870", "0.031587"),
        ("0E-7", "0"),
        ("5E-7", "0.0000005"),
        ("1E+3", "1000"),
        ("-0.50", "-0.5"),
        ("0", "0"),
    ],
)
def test_quantity_is_written_in_full(quantity: str, text: str) -> None:
    assert quantity_text(quantity) == text


@pytest.mark.parametrize(
    ("duration_ns", "text"),
    [
        (0, "0 ns"),
        (1_394_279_788, "1.39 s"),
        (2_500_000, "2.5 ms"),
        (90 * 10**9, "1.5 min"),
        (24 * 3_600 * 10**9, "1 d"),
    ],
)
def test_duration_is_in_its_largest_unit(duration_ns: int, text: str) -> None:
    assert duration_text(duration_ns) == text
