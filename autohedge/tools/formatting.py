"""Formats of amounts, prices and names in prompts."""

from decimal import Decimal

from autohedge.tools.untrusted import cleaned

NAME_LIMIT = 40


def format_money(value: Decimal) -> str:
    """Formats money: two decimals from 1 upwards, up to eight below."""
    if abs(value) >= 1:
        return f"{value:.2f}"
    return format_decimal(Decimal(f"{value:.8f}"))


def format_decimal(value: Decimal) -> str:
    """Formats all digits of a number, without an exponent or trailing zeros."""
    text = f"{value:f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("-0", "") else text


def format_price(value: float) -> str:
    """Formats a price with up to eight decimals."""
    return format_decimal(Decimal(f"{value:.8f}"))


def format_setting(value: float) -> str:
    """Formats a setting such as 25.0 without a zero fraction."""
    # `repr` is the shortest text of a float; `Decimal(value)` would show its binary error.
    return format_decimal(Decimal(repr(value)))


def clean_name(text: str) -> str:
    """Returns a symbol or a code as short clean text; symbols can come from untrusted files."""
    return cleaned(text, NAME_LIMIT)
