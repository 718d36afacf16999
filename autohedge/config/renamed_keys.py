"""Settings under their old names, which stay valid for one version.

Each source takes the new names before it is merged with the others. So a stronger source wins, whichever name
it uses.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from autohedge.config.tables import merge, nested
from autohedge.core.errors import Misconfigured

RENAMED: dict[str, tuple[str, ...]] = {
    "simulated.initial_cash": ("account.initial_cash",),
    "simulated.fee_bps": ("account.maker_bps", "account.taker_bps"),
}


class RenamedTable(NamedTuple):
    """The tables of a source with new names, and the old name that the source used for each of them."""

    table: dict[str, Any]
    old_names: dict[str, str]


def with_new_names(table: Mapping[str, Any], place: str) -> RenamedTable:
    """Returns the tables of the source at `place` with new names in place of old ones.

    Raises Misconfigured if the source has a setting under both names.
    """
    given = [old for old in RENAMED if _has(table, old)]
    # A section that is no table stays as it is: the error about it is that of any section.
    old_names = {new: old for old in given for new in RENAMED[old] if _has_section(table, new)}
    renamed = dict(table)
    for new, old in old_names.items():
        if _has(table, new):
            raise Misconfigured(f"{place}: {old} is given under its new name {new} too; remove {old}")
        section, key = old.split(".")
        renamed = merge([renamed, nested(new.split("."), table[section][key])])
        renamed[section] = {name: value for name, value in renamed[section].items() if name != key}
    return RenamedTable(renamed, old_names)


def _has_section(table: Mapping[str, Any], name: str) -> bool:
    return isinstance(table.get(name.split(".", maxsplit=1)[0], {}), dict)


def _has(table: Mapping[str, Any], name: str) -> bool:
    section, key = name.split(".")
    values = table.get(section)
    return isinstance(values, dict) and key in values
