"""How amounts and figures stand in a prompt."""

from decimal import Decimal

from autohedge.tools.untrusted import cleaned

NAME_LIMIT = 40


def format_money(value: Decimal) -> str:
    """Money: two decimals from 1 on, up to eight below."""
    if abs(value) >= 1:
        return f"{value:.2f}"
    return format_decimal(Decimal(f"{value:.8f}"))


def format_decimal(value: Decimal) -> str:
    """All digits of a number, without an exponent or trailing zeros."""
    text = f"{value:f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("-0", "") else text


def format_price(value: float) -> str:
    """A price with up to eight decimals."""
    return format_decimal(Decimal(f"{value:.8f}"))


def format_setting(value: float) -> str:
    """A setting such as 25.0 without a needless fraction."""
    return format_decimal(Decimal(repr(value)))


def clean_name(text: str) -> str:
    """A symbol or a code as one short word; symbols can come from files."""
    return cleaned(text, NAME_LIMIT)
