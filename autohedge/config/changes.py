"""Settings that change during a run: what differs, when it applies, and the settings after it."""

from collections.abc import Mapping
from typing import Any

from autohedge.config.loading import from_plain, to_plain
from autohedge.config.sections import Applies
from autohedge.config.settings import OVERRIDES, Settings, applies_at
from autohedge.config.tables import flat
from autohedge.core.errors import Misconfigured


def changes_between(old: Settings, new: Settings) -> dict[str, Any]:
    """Returns the new plain value of each setting that differs, by its full name; None where it has none.

    Overrides of a symbol are `symbol_overrides.SYMBOL.SECTION.KEY`; None ends one.
    """
    before, after = _values(old), _values(new)
    names = dict.fromkeys((*before, *after))
    return {name: after.get(name) for name in names if before.get(name) != after.get(name)}


def with_changes(settings: Settings, changes: Mapping[str, Any]) -> Settings:
    """Returns the settings with these changes, none of which needs a restart.

    Raises Misconfigured if one does, or if the new settings are not valid.
    """
    if fixed := restarts_needed(changes):
        raise Misconfigured(f"{', '.join(fixed)} cannot change during a run; start a new one")
    plain = to_plain(settings)
    for name, value in changes.items():
        _set(plain, name, value)
    return from_plain(plain)


def describe_changes(changes: Mapping[str, Any]) -> str:
    """Returns changes as one line: `risk.max_lag_ms = 50.0, exits.stop_loss_bps = 9.0 (next entry)`."""
    return ", ".join(f"{name} {_described(value)}{_when(name)}" for name, value in changes.items())


def _described(value: Any) -> str:
    return "has no value" if value is None else f"= {value}"


def _when(name: str) -> str:
    return " (next entry)" if applies_at(name) is Applies.NEXT_ENTRY else ""


def restarts_needed(changes: Mapping[str, Any]) -> list[str]:
    """Returns the names among the changes that a running run cannot take over, or that no setting has."""
    return [name for name in changes if not _can_change(name)]


def _can_change(name: str) -> bool:
    try:
        return applies_at(name) is not Applies.RESTART
    except KeyError:
        return False


def _values(settings: Settings) -> dict[str, Any]:
    """Returns every setting that has a value, by its full name; an empty table is no value."""
    values = flat(to_plain(settings))
    return {name: value for name, value in values.items() if value is not None and value != {}}


def _set(plain: dict[str, Any], name: str, value: Any) -> None:
    if not name.startswith(OVERRIDES):
        *sections, key = name.split(".")
        for section in sections:
            plain = plain[section]
        plain[key] = value
        return
    symbol, section, key = name.removeprefix(OVERRIDES).rsplit(".", 2)
    overrides = plain["symbol_overrides"]
    sections = overrides.get(symbol, {})
    keys = {each: old for each, old in sections.get(section, {}).items() if each != key}
    sections = sections | {section: keys if value is None else keys | {key: value}}
    plain["symbol_overrides"] = _without_empty(overrides | {symbol: _without_empty(sections)})


def _without_empty(tables: dict[str, Any]) -> dict[str, Any]:
    return {name: table for name, table in tables.items() if table}
