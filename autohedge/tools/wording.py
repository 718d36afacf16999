"""How amounts and figures stand in a prompt."""

from decimal import Decimal

from autohedge.tools.untrusted import cleaned

NAME_LIMIT = 40


def amount(value: Decimal) -> str:
    """Money: two decimals from 1 on, up to eight below."""
    if abs(value) >= 1:
        return f"{value:.2f}"
    return plain(Decimal(f"{value:.8f}"))


def plain(value: Decimal) -> str:
    """All digits of a number, without an exponent or trailing zeros."""
    text = f"{value:f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("-0", "") else text


def price(value: float) -> str:
    """A price with up to eight decimals."""
    return plain(Decimal(f"{value:.8f}"))


def figure(value: float) -> str:
    """A setting such as 25.0 without a needless fraction."""
    return plain(Decimal(repr(value)))


def name(text: str) -> str:
    """A symbol or a code as one short word; symbols can come from files."""
    return cleaned(text, NAME_LIMIT)
