"""Resolves settings from all sources, strongest first.

The sources are `--set` on the command line, `AUTOHEDGE__SECTION__KEY` in the environment or `.env`, the file
named by `--config` or `./config.toml`, and the shipped `config.toml`.
"""

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from autohedge.config import legacy_env
from autohedge.config.environment import environments
from autohedge.config.settings import Settings, describe_error
from autohedge.config.value_limits import require_bounds, too_deep, too_large
from autohedge.config.variables import EnvironmentSetting, given_variables, require_known_variables
from autohedge.core.errors import Misconfigured
from autohedge.core.text import decode_text, one_line

SHOWN_CHARS = 80


def shipped_file() -> Path:
    """Returns the path of the `config.toml` with every default: in the wheel, or at the top of a checkout."""
    here = Path(__file__).parent.parent
    inside = here / "config.toml"
    return inside if inside.is_file() else here.parent / "config.toml"


def read_toml(path: Path) -> dict[str, Any]:
    """Reads a settings file as nested tables.

    Raises Misconfigured for a file that is missing, unreadable or not TOML.
    """
    try:
        text = decode_text(path.read_bytes(), path)
    except FileNotFoundError:
        msg = f"there is no settings file {path}; omit --config to use the defaults"
        raise Misconfigured(msg) from None
    except OSError as error:
        msg = f"cannot read {path}: {error.strerror}"
        raise Misconfigured(msg) from None
    try:
        return _parse_toml(text, str(path))
    except tomllib.TOMLDecodeError as error:
        msg = f"{path} is not valid TOML: {error}"
        raise Misconfigured(msg) from None


def parse_override(text: str) -> dict[str, Any]:
    """Parses one `section.key=value` into a nested table; a value that is not TOML is taken as text.

    Raises Misconfigured if there is no key, or if neither form can be parsed.
    """
    key, equals, value = text.partition("=")
    shown = f"--set {one_line(text, SHOWN_CHARS)}"
    if not equals or not key.strip():
        msg = f"{shown}: write section.key=value, for example momentum.min_edge_bps=10"
        raise Misconfigured(msg)
    # First as TOML, then as a quoted string, so that text needs no quotes in the shell.
    for written in (value, f"'{value.strip()}'"):
        try:
            return _parse_toml(f"{key} = {written}", shown)
        except tomllib.TOMLDecodeError:
            continue
    msg = f"{shown}: cannot be parsed; write section.key=value, for example momentum.min_edge_bps=10"
    raise Misconfigured(msg)


def _parse_toml(text: str, place: str) -> dict[str, Any]:
    """Parses TOML. Raises TOMLDecodeError if it is none, Misconfigured if it exceeds the bounds."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise
    except RecursionError:
        raise too_deep(place) from None
    except ValueError:  # Python's limit of the digits of a number
        raise too_large(place) from None
    require_bounds(table, place)
    return table


def merge(layers: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Merges nested tables key by key; later layers override earlier ones."""
    merged: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            old = merged.get(key)
            both = isinstance(value, dict) and isinstance(old, dict)
            merged[key] = merge([old or {}, value]) if both else value
    return merged


def load(path: Path | None = None, overrides: Iterable[str] = ()) -> Settings:
    """Resolves the settings from all sources.

    Raises Misconfigured, with a one-line message, for an unknown key, a value out of range or a broken file.
    """
    user = path or Path("config.toml")
    files = [read_toml(shipped_file())]
    if path or user.is_file():
        files.append(read_toml(user))
    given = given_variables()
    above = merge(parse_override(text) for text in overrides)
    values = merge([*files, *(variable.table for variable in given), above])
    llm = values.get("llm")
    require_known_variables(str(llm.get("key")) if isinstance(llm, dict) else "")
    overridden = _flat(above)
    return _validated(values, [variable for variable in given if variable.key not in overridden])


@dataclass(frozen=True, slots=True)
class SettingOrigin:
    """One setting: its full name, its value, and the source of the value."""

    key: str
    value: Any
    origin: str


def with_origins(path: Path | None = None, overrides: Iterable[str] = ()) -> list[SettingOrigin]:
    """Returns every setting with its origin: default, a file, `.env`, the environment or `--set`.

    Raises what `load` raises.
    """
    wanted = list(overrides)
    values = _flat(to_plain(load(path, wanted)))
    user = path or Path("config.toml")
    origins = dict.fromkeys(_flat(read_toml(user)), str(user)) if user.is_file() else {}
    for variable in given_variables():
        named = f"{variable.origin}: {variable.name}" if variable.is_alias else variable.origin
        origins |= dict.fromkeys(_flat(variable.table), named)
    origins |= dict.fromkeys(_flat(merge(parse_override(text) for text in wanted)), "--set")
    return [SettingOrigin(key, value, origins.get(key, "default")) for key, value in values.items()]


def unused_names() -> list[str]:
    """Returns the variables of earlier systems that are set but not used."""
    return sorted({name for _, names in environments() for name in names if name in legacy_env.UNUSED})


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in table.items():
        if isinstance(value, dict) and value:
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def from_plain(values: Mapping[str, Any]) -> Settings:
    """Returns the settings that a run recorded, without today's environment and files.

    Raises Misconfigured if they are not valid.
    """
    return _validated(values)


def to_plain(settings: Settings) -> dict[str, Any]:
    """Returns all settings as plain values that JSON can hold and `from_plain` reads."""
    return settings.model_dump(mode="json")


def _validated(values: Mapping[str, Any], given: Sequence[EnvironmentSetting] = ()) -> Settings:
    """Validates nested tables. An error names the one of the given variables that it is about."""
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        text = describe_error(error)
        # An error about overrides of symbols has its place in the text.
        place = ".".join(map(str, error.errors()[0]["loc"])) or text.partition(".")[0]
        about = [variable for variable in given if _overlap(variable.key, place)]
        raise Misconfigured(f"{about[-1].place}: {text}" if about else text) from None


def _overlap(key: str, place: str) -> bool:
    """Returns whether one of two names is the other, or a table around it."""
    return f"{place}.".startswith(f"{key}.") or f"{key}.".startswith(f"{place}.")
