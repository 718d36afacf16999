"""Resolves settings from all sources, strongest first.

The sources are `--set` on the command line, `AUTOHEDGE__SECTION__KEY` in the environment or `.env`, the file
named by `--config` or `./config.toml`, and the shipped `config.toml`.
"""

import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dotenv import dotenv_values
from pydantic import ValidationError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    InitSettingsSource,
    PydanticBaseSettingsSource,
)
from pydantic_settings.exceptions import SettingsError

from autohedge.config import legacy_env
from autohedge.config.environment import PREFIX, environments
from autohedge.config.settings import Settings, describe_error
from autohedge.core.errors import Misconfigured
from autohedge.core.text import did_you_mean


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
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        msg = f"there is no settings file {path}; omit --config to use the defaults"
        raise Misconfigured(msg) from None
    except (OSError, UnicodeDecodeError) as error:
        msg = f"cannot read {path}: {error}"
        raise Misconfigured(msg) from None
    except tomllib.TOMLDecodeError as error:
        msg = f"{path} is not valid TOML: {error}"
        raise Misconfigured(msg) from None


def parse_override(text: str) -> dict[str, Any]:
    """Parses one `section.key=value` into a nested table; a value that is not TOML is taken as text.

    Raises Misconfigured if there is no key, or if neither form can be parsed.
    """
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        msg = f"--set {text}: write section.key=value, for example momentum.min_edge_bps=10"
        raise Misconfigured(msg)
    # First as TOML, then as a quoted string, so that text needs no quotes in the shell.
    for written in (value, f"'{value.strip()}'"):
        try:
            return tomllib.loads(f"{key} = {written}")
        except tomllib.TOMLDecodeError:
            continue
    msg = f"--set {text}: cannot be parsed; write section.key=value, for example momentum.min_edge_bps=10"
    raise Misconfigured(msg)


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
    _check_environment()
    below = merge([*files, *_aliased()])
    above = merge(parse_override(text) for text in overrides)
    return _validated(lambda: _settings_class(below, environment=True)(**above))


# pydantic-settings ignores variables of unknown sections, so a misspelt one would have no effect.
def _check_environment() -> None:
    """Refuses a variable with the settings prefix whose section does not exist."""
    for name in (name for _, names in environments() for name in names):
        if not name.upper().startswith(PREFIX):
            continue
        section = name[len(PREFIX) :].partition("__")[0].lower()
        if section not in Settings.model_fields:
            hint = did_you_mean(section, Settings.model_fields)
            unknown = f"{name} in the environment or .env: unknown setting {section}"
            raise Misconfigured(f"{unknown}; {hint}" if hint else unknown)


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
    for origin, names in environments():
        origins |= {
            legacy_env.SETTINGS[name]: f"{origin}: {name}" for name in names if name in legacy_env.SETTINGS
        }
    # A second loop, because AUTOHEDGE__ names in `.env` have priority over legacy names in the environment.
    for origin, names in environments():
        origins |= {_as_key(name): origin for name in names if name.upper().startswith(PREFIX)}
    origins |= dict.fromkeys(_flat(merge(parse_override(text) for text in wanted)), "--set")
    return [SettingOrigin(key, value, origins.get(key, "default")) for key, value in values.items()]


def unused_names() -> list[str]:
    """Returns the variables of earlier systems that are set but not used."""
    return sorted({name for _, names in environments() for name in names if name in legacy_env.UNUSED})


def _aliased() -> Iterator[dict[str, Any]]:
    """Yields the settings given under names of earlier systems, the weaker source first."""
    for _, names in environments():
        for name, key in legacy_env.SETTINGS.items():
            if names.get(name):
                section, _, last = key.rpartition(".")
                yield {section: {last: names[name]}} if section else {last: names[name]}


def _as_key(variable: str) -> str:
    return variable[len(PREFIX) :].lower().replace("__", ".")


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
    return _validated(lambda: _settings_class({}, environment=False)(**values))


def to_plain(settings: Settings) -> dict[str, Any]:
    """Returns all settings as plain values that JSON can hold and `from_plain` reads."""
    return settings.model_dump(mode="json")


class _DotEnv(EnvSettingsSource):
    """The settings in `.env`; other variables in the file are ignored."""

    def _load_env_vars(self) -> Mapping[str, str | None]:
        names = dotenv_values(".env").items()
        return {name.lower(): value for name, value in names if name.upper().startswith(PREFIX)}


def _settings_class(files: dict[str, Any], *, environment: bool) -> type[Settings]:
    """Returns a settings class whose sources are its arguments, then the environment, then `files`."""

    class Sourced(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            around = (env_settings, _DotEnv(settings_cls)) if environment else ()
            return init_settings, *around, InitSettingsSource(settings_cls, files)

    return Sourced


def _validated(make: Callable[[], Settings]) -> Settings:
    try:
        return make()
    except (ValidationError, SettingsError) as error:
        raise Misconfigured(describe_error(error)) from None
