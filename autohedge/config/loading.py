"""Resolves settings from all sources, strongest first.

The sources are `--set` on the command line, `AUTOHEDGE__SECTION__KEY` in the environment or `.env`, the file
named by `--config` or `./config.toml`, and the shipped `config.toml`.
"""

import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from autohedge.config import legacy_env
from autohedge.config.environment import environments
from autohedge.config.renamed_keys import RENAMED, with_new_names
from autohedge.config.settings import Settings, applies_at, describe_error
from autohedge.config.tables import flat, merge
from autohedge.config.value_limits import require_bounds, too_deep, too_large
from autohedge.config.variables import given_variables, require_known_variables
from autohedge.core.errors import Misconfigured
from autohedge.core.text import decode_text, one_line

SHOWN_CHARS = 80
DEFAULT_FILE = Path("config.toml")


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


def load(path: Path | None = None, overrides: Iterable[str] = ()) -> Settings:
    """Resolves the settings from all sources.

    Raises Misconfigured, with a one-line message, for an unknown key, a value out of range or a broken file.
    """
    sources = _sources(path, overrides)
    values = merge(source.table for source in sources)
    llm = values.get("llm")
    require_known_variables(str(llm.get("key")) if isinstance(llm, dict) else "")
    return _validated(values, sources)


@dataclass(frozen=True, slots=True)
class _Source:
    """The settings of one source: a file, a variable, or all `--set`.

    `old_names` has the old name behind each new one, `variable` is how messages name a variable.
    """

    origin: str
    table: dict[str, Any]
    old_names: Mapping[str, str]
    variable: str = ""

    def name_of(self, place: str) -> str:
        """What the source wrote to set `place`: a variable or an old name; empty for `place` itself."""
        return self.variable or self.old_names.get(place, "")

    def origin_of(self, key: str) -> str:
        """The origin of a setting, with its old name if a file or `--set` used it."""
        old = "" if self.variable else self.old_names.get(key, "")
        return f"{self.origin}: {old}" if old else self.origin


def _sources(path: Path | None, overrides: Iterable[str]) -> list[_Source]:
    """Returns all sources, the weakest first."""
    user = path or DEFAULT_FILE
    sources = [_Source("default", read_toml(shipped_file()), {})]
    if path or user.is_file():
        sources.append(_Source(str(user), *with_new_names(read_toml(user), str(user))))
    for variable in given_variables():
        named = f"{variable.origin}: {variable.name}" if variable.is_alias else variable.origin
        sources.append(_Source(named, variable.table, variable.old_names, variable.place))
    above = merge(parse_override(text) for text in overrides)
    sources.append(_Source("--set", *with_new_names(above, "--set")))
    return sources


@dataclass(frozen=True, slots=True)
class SettingOrigin:
    """One setting: its full name, its value, and the source of the value."""

    key: str
    value: Any
    origin: str

    @property
    def applies(self) -> str:
        """When a change during a run takes effect."""
        return applies_at(self.key).replace("_", " ")


def with_origins(path: Path | None = None, overrides: Iterable[str] = ()) -> list[SettingOrigin]:
    """Returns every setting with its origin: default, a file, `.env`, the environment or `--set`.

    The origin names the old name of a setting, if the source used it. Raises what `load` raises.
    """
    wanted = list(overrides)
    values = flat(to_plain(load(path, wanted)))
    origins = {key: source.origin_of(key) for source in _sources(path, wanted) for key in flat(source.table)}
    return [SettingOrigin(key, value, origins.get(key, "default")) for key, value in values.items()]


def old_names(path: Path | None = None, overrides: Iterable[str] = ()) -> list[str]:
    """Returns a line for each setting that a source gives under its old name, with the new one."""
    return [
        f"{source.origin}: {old} is now {' and '.join(RENAMED[old])}"
        for source in _sources(path, overrides)
        for old in dict.fromkeys(source.old_names.values())
    ]


def unused_names() -> list[str]:
    """Returns the variables of earlier systems that are set but not used."""
    return sorted({name for _, names in environments() for name in names if name in legacy_env.UNUSED})


def from_plain(values: Mapping[str, Any]) -> Settings:
    """Returns the settings that a run recorded, without today's environment and files.

    Raises Misconfigured if they are not valid.
    """
    return _validated(values)


def to_plain(settings: Settings) -> dict[str, Any]:
    """Returns all settings as plain values that JSON can hold and `from_plain` reads."""
    return settings.model_dump(mode="json")


def _validated(values: Mapping[str, Any], sources: Sequence[_Source] = ()) -> Settings:
    """Validates nested tables. An error names the variable that it is about, or the old name."""
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        text = describe_error(error)
        # An error about overrides of symbols has its place in the text.
        place = ".".join(map(str, error.errors()[0]["loc"])) or text.partition(".")[0]
        named = [source.name_of(place) for source in _owners(sources, place)]
        raise Misconfigured(": ".join([*filter(None, named), text][-2:])) from None


def _owners(sources: Sequence[_Source], place: str) -> Iterator[_Source]:
    """Yields the sources whose values of a setting or of a section are in force, the strongest last."""
    owner = {key: source for source in sources for key in flat(source.table)}
    for source in sources:
        if any(owner[key] is source and _overlap(key, place) for key in flat(source.table)):
            yield source


def _overlap(key: str, place: str) -> bool:
    """Returns whether one of two names is the other, or a table around it."""
    return f"{place}.".startswith(f"{key}.") or f"{key}.".startswith(f"{place}.")
