"""Bounds of what a source of settings may hold, before the settings are validated."""

from collections.abc import Iterable
from typing import Any

from autohedge.core.errors import Misconfigured

# Deeper tables and longer whole numbers are no settings, and steps after this one could not take them.
DEPTH_MOST, NUMBER_BITS_MOST = 32, 128


def require_bounds(table: Any, place: str) -> None:
    """Raises Misconfigured for tables and lists that nest too deep, and for too large numbers."""
    level = [table]
    for _ in range(DEPTH_MOST + 1):
        if any(isinstance(value, int) and value.bit_length() > NUMBER_BITS_MOST for value in level):
            raise too_large(place)
        level = [inner for value in level for inner in _inner(value)]
        if not level:
            return
    raise too_deep(place)


def too_large(place: str) -> Misconfigured:
    """Returns the error for a number that is too large."""
    return Misconfigured(f"{place} holds a number of more than {NUMBER_BITS_MOST} bits; write a smaller one")


def too_deep(place: str) -> Misconfigured:
    """Returns the error for tables and lists that nest too deep."""
    return Misconfigured(f"{place} nests deeper than {DEPTH_MOST} levels; remove some")


def _inner(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()
