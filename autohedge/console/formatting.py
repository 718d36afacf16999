"""How amounts, quantities and durations are written for people."""

from decimal import Decimal

from autohedge.core.units import CENTS, NS_PER_DAY, NS_PER_HOUR, NS_PER_MINUTE, NS_PER_MS, NS_PER_S

DURATION_UNITS = (
    (NS_PER_DAY, "d"),
    (NS_PER_HOUR, "h"),
    (NS_PER_MINUTE, "min"),
    (NS_PER_S, "s"),
    (NS_PER_MS, "ms"),
)


def amount_text(amount: Decimal) -> str:
    """An amount of money with two decimals and thousands separators: `9,997.85`."""
    return f"{amount.quantize(CENTS) + 0:,}"


def quantity_text(quantity: str | Decimal) -> str:
    """A quantity in full, without an exponent or trailing zeros: `0.031587`, `0`."""
    text = f"{Decimal(quantity):f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def duration_text(duration_ns: int) -> str:
    """A duration in its largest unit: `1.39 s`, `24.0 h`."""
    for unit_ns, unit in DURATION_UNITS:
        if duration_ns >= unit_ns:
            return f"{duration_ns / unit_ns:.3g} {unit}"
    return f"{duration_ns} ns"
