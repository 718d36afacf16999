"""Money, prices, quantities, times and ids as text, formatted alike on every surface."""

from collections.abc import Iterable
from decimal import Decimal

from autohedge.core.clock import format_utc
from autohedge.core.units import CENTS, NS_PER_S
from autohedge.llm.errors import one_line
from autohedge.records.round_trips import TrackedOrder

ID_CHARS = 8
# Where no price of a symbol is known exactly, a float is shown with as many digits as are surely its own.
FLOAT_DIGITS = 10


def money(amount: Decimal, *, signed: bool = True) -> str:
    """Returns an amount with two decimals and thousands separators: `+1,234.50`."""
    rounded = amount.quantize(CENTS)
    # A rounded zero keeps its sign in Decimal; "-0.00" would read as a loss.
    return f"{rounded:{'+' if signed else ''},}" if rounded else "0.00"


def quantity(amount: Decimal) -> str:
    """Returns a quantity with the digits that were recorded, never with an exponent."""
    return f"{amount:,f}" if amount else "0"


def price(value: Decimal | float, places: int | None) -> str:
    """Returns a price with `places` decimals; without them a Decimal as recorded, a float to ten digits."""
    if places is not None:
        return f"{value:,.{places}f}"
    return f"{value:,f}" if isinstance(value, Decimal) else f"{value:,.{FLOAT_DIGITS}g}"


def price_places(orders: Iterable[TrackedOrder]) -> int | None:
    """Returns the decimals of the finest price in these orders and their fills; None if there is no price."""
    prices = (each for order in orders for each in (order.limit, *(fill.price for fill in order.fills)))
    return max((_decimals(each) for each in prices if each is not None), default=None)


def _decimals(value: Decimal) -> int:
    exponent = value.as_tuple().exponent
    return max(-exponent, 0) if isinstance(exponent, int) else 0


def count(number: int, noun: str) -> str:
    """Returns a number with its noun: `1 round trip`, `1,200 round trips`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def percent(share: float, places: int = 0, *, signed: bool = False) -> str:
    """Returns a share as a percentage: `31 %`; one that is not zero never reads as zero."""
    text = f"{100 * share:{'+' if signed else ''}.{places}f} %"
    return "under 1 %" if not places and 0 < share < 0.005 else text


def short_id(identifier: str) -> str:
    """Returns the first characters of an id, enough to find it in the record."""
    return one_line(identifier)[:ID_CHARS]


def utc_text(ts_ns: int) -> str:
    """Returns a tape time to the millisecond: `2025-01-02 00:24:10.445 UTC`."""
    return f"{format_utc(ts_ns)} UTC"


def day_text(ts_ns: int) -> str:
    """Returns the day of a tape time: `2025-01-02 UTC`."""
    return f"{format_utc(ts_ns)[:10]} UTC"


def clock_text(ts_ns: int, *, with_day: bool = False) -> str:
    """Returns a tape time to the second, UTC: `00:24:10`, with its day `01-02 00:24:10`."""
    return format_utc(ts_ns)[5 if with_day else 11 : 19]


def duration(span_ns: int) -> str:
    """Returns a duration in its two largest units: `29 min 21 s`, `6 h 12 min`."""
    seconds = span_ns // NS_PER_S
    units = ((seconds // 86_400, "d"), (seconds // 3600 % 24, "h"), (seconds // 60 % 60, "min"))
    parts = [f"{amount} {unit}" for amount, unit in (*units, (seconds % 60, "s"))]
    first = next((place for place, part in enumerate(parts) if not part.startswith("0 ")), len(parts) - 1)
    return " ".join(parts[first : first + 2])
