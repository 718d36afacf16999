"""Nested tables of settings: merges, flattens and builds them."""

from collections.abc import Iterable, Mapping
from typing import Any


def merge(layers: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Merges nested tables key by key; later layers override earlier ones."""
    merged: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            old = merged.get(key)
            both = isinstance(value, dict) and isinstance(old, dict)
            merged[key] = merge([old or {}, value]) if both else value
    return merged


def flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Returns the values of nested tables by their full names; an empty table is a value."""
    values: dict[str, Any] = {}
    for name, value in table.items():
        if isinstance(value, dict) and value:
            values |= flat(value, f"{prefix}{name}.")
        else:
            values[prefix + name] = value
    return values


def nested(keys: Iterable[str], value: Any) -> dict[str, Any]:
    """Returns the tables that hold one value under these keys, outermost first."""
    for key in reversed(list(keys)):
        value = {key: value}
    table: dict[str, Any] = value
    return table
