"""Settings in variables of the environment or `.env`, and the variables that look like one but are none."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from autohedge.config import legacy_env
from autohedge.config.environment import DOTENV, PREFIX, environments
from autohedge.config.renamed_keys import RENAMED, with_new_names
from autohedge.config.secrets import SECRET_NAMES
from autohedge.config.settings import Settings, closest_setting, setting_names
from autohedge.config.tables import merge, nested
from autohedge.config.value_limits import require_bounds, too_deep, too_large
from autohedge.core.errors import Misconfigured
from autohedge.core.text import closest, one_line

OWN = "AUTOHEDGE_"
# Read by other modules from the environment only, or by the tests.
PROCESS_NAMES = ("AUTOHEDGE_CACHE_DIR", "AUTOHEDGE_REQUIRE_MODEL", "AUTOHEDGE_REQUIRE_SHARED")
SHOWN_CHARS = 120
# Names of other programs are at most this like one of an earlier system; what has its prefix is meant as one.
ALIKE, ALIKE_WITH_PREFIX, ALIKE_PREFIX = 0.9, 0.75, 0.85
LEGACY_PREFIXES = ("HFT_", "HYBRID_")


@dataclass(frozen=True, slots=True)
class EnvironmentSetting:
    """A setting that a variable gives: the source, the name, and the value as nested tables.

    `old_names` has the old name behind each new one, as in `RenamedTable`.
    """

    origin: str
    name: str
    table: dict[str, Any]
    old_names: dict[str, str]

    @property
    def place(self) -> str:
        """The variable as messages name it."""
        return _place(self.name, self.origin)

    @property
    def is_alias(self) -> bool:
        """Whether the name is that of an earlier system or version."""
        return bool(self.old_names) or self.name in legacy_env.SETTINGS


def given_variables() -> list[EnvironmentSetting]:
    """Returns the settings that variables give, the weaker first: names of earlier systems before our own.

    Raises Misconfigured for a name that is no setting, for a list or table that is not JSON, and for a setting
    under its old and its new name.
    """
    aliased = [each for origin, names in environments() for each in _aliased(origin, names)]
    return aliased + [each for origin, names in environments() for each in _own(origin, names)]


def _own(origin: str, names: Mapping[str, str | None]) -> list[EnvironmentSetting]:
    """The settings that variables of our own give in one source."""
    tables = {
        name: _parsed(origin, name, value) for name, value in names.items() if name.upper().startswith(PREFIX)
    }
    with_new_names(merge(tables.values()), origin)  # refuses old and new names in two variables
    return [
        EnvironmentSetting(origin, name, *with_new_names(table, origin)) for name, table in tables.items()
    ]


def require_known_variables(key_name: str) -> None:
    """Refuses variables that are meant for AutoHedge and that nothing reads; `key_name` is that of `llm.key`.

    Raises Misconfigured with the name that was probably meant.
    """
    for origin, names in environments():
        for name, value in names.items():
            if name != key_name and (problem := _unread(name, value, origin)):
                raise Misconfigured(f"{_place(name, origin)} {problem}")


def variable_of(key: str) -> str:
    """Returns the variable that gives a setting."""
    return PREFIX + key.upper().replace(".", "__")


def _aliased(origin: str, names: Mapping[str, str | None]) -> Iterator[EnvironmentSetting]:
    for name, key in legacy_env.SETTINGS.items():
        if value := names.get(name):
            yield EnvironmentSetting(origin, name, nested(key.split("."), value), {})


def _parsed(origin: str, name: str, value: str | None) -> dict[str, Any]:
    place = _place(name, origin)
    if value is None:
        raise Misconfigured(f"{place} has no value; write {name}=value")
    keys, kind = _target(name[len(PREFIX) :].split("__"), place)
    table = nested(keys, _value(kind, value, place))
    require_bounds(table, place)
    return table


def _target(parts: list[str], place: str) -> tuple[list[str], Any]:
    """Returns the keys that the parts of a name stand for, and the type of the setting.

    The type is None in a table that takes any key. Raises Misconfigured for an unknown setting.
    """
    kind: Any = Settings
    keys: list[str] = []
    for part in parts:
        # Only symbols and models have capitals.
        keys.append(part if keys in (["instruments"], ["models"], ["symbol_overrides"]) else part.lower())
        if ".".join(keys) in RENAMED:
            return keys, None
        fields = kind.model_fields if _is_section(kind) else {}
        if fields and keys[-1] not in fields:
            raise Misconfigured(f"{place}: {_unknown_text(keys, parts)}")
        kind = fields[keys[-1]].annotation if fields else None
    return keys, kind


def _unknown_text(keys: list[str], parts: list[str]) -> str:
    unknown = f"unknown setting {'.'.join(keys)}"
    whole = closest_setting(".".join(parts)) or closest_setting(".".join(keys))
    return f"{unknown}; did you mean {whole}? Write {variable_of(whole)}" if whole else unknown


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _is_compound(kind: Any) -> bool:
    """Returns whether the values of a type are lists or tables."""
    if _is_section(kind) or get_origin(kind) in (dict, tuple):
        return True
    return any(_is_compound(inner) for inner in get_args(kind))


def _value(kind: Any, text: str, place: str) -> Any:
    if not _is_compound(kind):
        return text
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        raise Misconfigured(f"{place}: write {_right_form(kind, text)}") from None
    except RecursionError:
        raise too_deep(place) from None
    except ValueError:  # Python's limit of the digits of a number
        raise too_large(place) from None


def _right_form(kind: Any, text: str) -> str:
    if get_origin(kind) is not tuple:
        return 'a JSON object, such as {"NAME": 5}'
    items = [item.strip(" \t\"'") for item in text.strip("[]() ").split(",")]
    listed = json.dumps([item for item in items if item], separators=(",", ":"), ensure_ascii=False)
    return f"a JSON list, {one_line(listed, SHOWN_CHARS)}"


def _place(name: str, origin: str) -> str:
    shown = one_line(name, SHOWN_CHARS)
    return f"{shown} in {origin}" if origin == DOTENV else shown


def _unread(name: str, value: str | None, origin: str) -> str:
    """Returns why a variable that is meant for AutoHedge has no effect; empty for any other."""
    if name.upper().startswith(PREFIX) or name in SECRET_NAMES:
        return ""
    if name in PROCESS_NAMES:
        return "is read from the environment only; export it there" if origin == DOTENV else ""
    if name.upper().startswith(OWN):
        return f"is not read; {_meant(name[len(OWN) :]) or 'settings are AUTOHEDGE__SECTION__KEY'}"
    if _has_wrong_prefix(name):
        return f"is not read; {_meant(name.partition('__')[2]) or 'settings are AUTOHEDGE__SECTION__KEY'}"
    return _unread_alias(name) if value else ""


def _meant(rest: str) -> str:
    """Returns "did you mean …?" with the variable that a name without its prefix stands for."""
    # llm.key is the name of a variable; who writes AUTOHEDGE_LLM_KEY means the key itself.
    settings = {key: variable_of(name) for key, name in setting_names().items() if name != "llm.key"}
    own = {known[len(OWN) :]: known for known in (*SECRET_NAMES, *PROCESS_NAMES) if known.startswith(OWN)}
    found = closest(rest, settings | own)
    return f"did you mean {found}?" if found else ""


def _has_wrong_prefix(name: str) -> bool:
    prefix, separator, _ = name.partition("__")
    return bool(separator) and bool(closest(prefix, {PREFIX: PREFIX}, ALIKE_PREFIX))


def _unread_alias(name: str) -> str:
    if name in legacy_env.SETTINGS or name in legacy_env.UNUSED:
        return ""
    alike = ALIKE_WITH_PREFIX if name.upper().startswith(LEGACY_PREFIXES) else ALIKE
    meant = closest(name, {known: known for known in legacy_env.SETTINGS}, alike)
    return f"is not read; did you mean {meant}?" if meant else ""
