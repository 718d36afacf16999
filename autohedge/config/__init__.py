"""One typed settings object: read once, checked once, frozen.

Sources, strongest first: overrides of the command line, `AUTOHEDGE__SECTION__KEY` in the
environment or `.env`, the file named by `--config` or `./config.toml`, the shipped `config.toml`.
"""

import difflib
import os
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from dotenv import dotenv_values
from pydantic import BaseModel, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from pydantic_settings.exceptions import SettingsError

from autohedge.config.sections import (
    LLM,
    Agents,
    Crossover,
    Execution,
    Exits,
    Hybrid,
    InstrumentRules,
    Journal,
    Momentum,
    Reconciliation,
    Redis,
    Risk,
    Section,
    Simulated,
    Sizing,
    Strategy,
    Synthetic,
    Tools,
    Trading,
)
from autohedge.core import aliases
from autohedge.core.errors import Misconfigured
from autohedge.core.instruments import Instrument

PREFIX = "AUTOHEDGE__"
KEY_NAMES = ("AUTOHEDGE_LLM_API_KEY", "OPENAI_API_KEY")

OVERRIDABLE: dict[str, type[Section]] = {
    "momentum": Momentum,
    "crossover": Crossover,
    "exits": Exits,
    "sizing": Sizing,
}


class Settings(BaseSettings):
    """The resolved settings of one run; every default stands in the shipped `config.toml`."""

    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        env_prefix=PREFIX,
        env_nested_delimiter="__",
    )

    seed: Annotated[int, Field(ge=0, lt=2**63)]
    chatter_level: Literal["auto", "low", "normal", "verbose"]
    trading: Trading
    hybrid: Hybrid
    llm: LLM
    agents: Agents
    redis: Redis
    tools: Tools
    strategy: Strategy
    momentum: Momentum
    crossover: Crossover
    exits: Exits
    sizing: Sizing
    execution: Execution
    reconciliation: Reconciliation
    risk: Risk
    simulated: Simulated
    journal: Journal
    synthetic: Synthetic
    instruments: dict[str, InstrumentRules] = {}
    symbol_overrides: dict[str, dict[str, dict[str, Any]]] = {}

    @model_validator(mode="before")
    @classmethod
    def _sort_overrides(cls, values: dict[str, Any]) -> dict[str, Any]:
        overrides = values.get("symbol_overrides", {})
        if not all(isinstance(table, dict) for table in (overrides, *_values(overrides))):
            msg = 'symbol_overrides holds one table per symbol: [symbol_overrides."BTC/USD"]'
            raise ValueError(msg)
        nested = {symbol: _by_section(symbol, keys) for symbol, keys in overrides.items()}
        return values | {"symbol_overrides": nested}

    @model_validator(mode="after")
    def _overrides_are_valid(self) -> "Settings":
        for symbol in self.symbol_overrides:
            try:
                self.for_symbol(symbol)
            except ValidationError as error:
                msg = f'symbol_overrides."{symbol}": {_one_line(error)}'
                raise ValueError(msg) from None
        return self

    def for_symbol(self, symbol: str) -> "Settings":
        """These settings with the symbol's overrides laid over them."""
        changes = self.symbol_overrides.get(symbol, {})
        sections = {
            name: OVERRIDABLE[name].model_validate(getattr(self, name).model_dump() | keys)
            for name, keys in changes.items()
        }
        return self.model_copy(update=sections)

    @property
    def trader(self) -> str:
        """Who wishes to buy: the strategy by its name, or the agents."""
        return "agents" if self.trading.mode == "llm" else self.strategy.name

    def instrument(self, symbol: str) -> Instrument:
        """The instrument with its configured rules, or the defaults."""
        rules = self.instruments.get(symbol, InstrumentRules())
        return Instrument(symbol, rules.tick, rules.lot, rules.min_notional)


def _values(table: Any) -> Iterable[Any]:
    return table.values() if isinstance(table, dict) else ()


def _by_section(symbol: str, keys: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Sort a symbol's overrides into sections; a bare key finds its own."""
    nested: dict[str, dict[str, Any]] = {}
    for key, value in keys.items():
        if key in OVERRIDABLE and isinstance(value, dict):
            nested.setdefault(key, {}).update(value)
            continue
        home = next((name for name, cls in OVERRIDABLE.items() if key in cls.model_fields), None)
        if home is None:
            known = [*OVERRIDABLE, *(f for cls in OVERRIDABLE.values() for f in cls.model_fields)]
            msg = f'symbol_overrides."{symbol}".{key} is no setting of a symbol{_hint(key, known)}'
            raise ValueError(msg)
        nested.setdefault(home, {})[key] = value
    return nested


def shipped_file() -> Path:
    """The `config.toml` with every default: in the wheel, or at the top of a checkout."""
    here = Path(__file__).parent.parent
    inside = here / "config.toml"
    return inside if inside.is_file() else here.parent / "config.toml"


def read_toml(path: Path) -> dict[str, Any]:
    """A settings file as nested tables.

    Raises Misconfigured for a file that is missing, unreadable or not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        msg = f"there is no settings file {path}; leave --config away to use the defaults"
        raise Misconfigured(msg) from None
    except (OSError, UnicodeDecodeError) as error:
        msg = f"cannot read {path}: {error}"
        raise Misconfigured(msg) from None
    except tomllib.TOMLDecodeError as error:
        msg = f"{path} is not valid TOML: {error}"
        raise Misconfigured(msg) from None


def parse_override(text: str) -> dict[str, Any]:
    """One `section.key=value` as a nested table; a bare word is taken as text."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        msg = f"--set {text}: write section.key=value, for example momentum.min_edge_bps=10"
        raise Misconfigured(msg)
    for written in (value, f"'{value.strip()}'"):
        try:
            return tomllib.loads(f"{key} = {written}")
        except tomllib.TOMLDecodeError:
            continue
    msg = f"--set {text}: neither the key nor the value can be read"
    raise Misconfigured(msg)


def merge(layers: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Nested tables laid over each other, later over earlier."""
    merged: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            old = merged.get(key)
            both = isinstance(value, dict) and isinstance(old, dict)
            merged[key] = merge([old or {}, value]) if both else value
    return merged


def load(path: Path | None = None, overrides: Iterable[str] = ()) -> Settings:
    """Resolve the settings from all sources.

    Raises Misconfigured with one line for an unknown key, a value out of range, a broken file.
    """
    user = path or Path("config.toml")
    files = [read_toml(shipped_file())]
    if path or user.is_file():
        files.append(read_toml(user))
    _check_environment()
    below = merge([*files, *_aliased()])
    above = merge(parse_override(text) for text in overrides)
    return _checked(lambda: _sourced(below, environment=True)(**above))


def _check_environment() -> None:
    """Refuse a variable that looks like a setting and names no section."""
    for name in (name for _, names in _surroundings() for name in names):
        if not name.upper().startswith(PREFIX):
            continue
        section = name[len(PREFIX) :].partition("__")[0].lower()
        if section not in Settings.model_fields:
            hint = _hint(section, Settings.model_fields)
            raise Misconfigured(f"{name} in the environment or .env: unknown setting {section}{hint}")


@dataclass(frozen=True, slots=True)
class Resolved:
    """One setting: its full name, its value, and where the value comes from."""

    key: str
    value: Any
    origin: str


def explain(path: Path | None = None, overrides: Iterable[str] = ()) -> list[Resolved]:
    """Every setting with its origin: default, a file, `.env`, the environment or `--set`.

    Raises what `load` raises.
    """
    wanted = list(overrides)
    values = _flat(resolved(load(path, wanted)))
    user = path or Path("config.toml")
    origins = dict.fromkeys(_flat(read_toml(user)), str(user)) if user.is_file() else {}
    for origin, names in _surroundings():
        origins |= {aliases.SETTINGS[name]: f"{origin}: {name}" for name in names if name in aliases.SETTINGS}
    for origin, names in _surroundings():
        origins |= {_as_key(name): origin for name in names if name.upper().startswith(PREFIX)}
    origins |= dict.fromkeys(_flat(merge(parse_override(text) for text in wanted)), "--set")
    return [Resolved(key, value, origins.get(key, "default")) for key, value in values.items()]


def unused_names() -> list[str]:
    """Names of earlier systems that are set, but that nothing reads yet."""
    return sorted({name for _, names in _surroundings() for name in names if name in aliases.UNUSED})


@dataclass(frozen=True, slots=True)
class Secrets:
    """What no settings file holds and no record repeats: its text form hides it."""

    llm_api_key: SecretStr | None
    redis_password: SecretStr | None


def secrets() -> Secrets:
    """The secrets in the environment or, weaker, in `.env`; our own name goes before OPENAI_API_KEY.

    Raises Misconfigured for a secret that no request could carry.
    """
    return Secrets(_secret(*KEY_NAMES), _secret("AUTOHEDGE_REDIS_PASSWORD"))


def _secret(*names: str) -> SecretStr | None:
    """What is given under the first of these names that holds anything."""
    given = (around.get(name) for _, around in reversed(_surroundings()) for name in names)
    text = next((value.strip() for value in given if value and value.strip()), "")
    if not (text.isascii() and text.isprintable()):
        raise Misconfigured(f"{' or '.join(names)} holds characters that no key has; copy it again")
    return SecretStr(text) if text else None


def _surroundings() -> tuple[tuple[str, Mapping[str, str | None]], ...]:
    """`.env` and the environment, weaker first."""
    return (".env", dotenv_values(".env")), ("environment", os.environ)


def _aliased() -> Iterator[dict[str, Any]]:
    """Settings given under the names of earlier systems, weaker first."""
    for _, names in _surroundings():
        for name, key in aliases.SETTINGS.items():
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


def from_resolved(values: Mapping[str, Any]) -> Settings:
    """The settings that a run recorded; nothing of today's environment enters.

    Raises Misconfigured if they are not valid.
    """
    return _checked(lambda: _sourced({}, environment=False)(**values))


def resolved(settings: Settings) -> dict[str, Any]:
    """All settings as plain values that JSON can hold and `from_resolved` reads back."""
    return settings.model_dump(mode="json")


class _DotEnv(EnvSettingsSource):
    """The settings in `.env`; what else stands there is none of our business."""

    def _load_env_vars(self) -> Mapping[str, str | None]:
        names = dotenv_values(".env").items()
        return {name.lower(): value for name, value in names if name.upper().startswith(PREFIX)}


def _sourced(files: dict[str, Any], *, environment: bool) -> type[Settings]:
    """Settings that look, below what they are called with, into the environment and then `files`."""

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


def _checked(make: Callable[[], Settings]) -> Settings:
    try:
        return make()
    except (ValidationError, SettingsError) as error:
        raise Misconfigured(_one_line(error)) from None


def _one_line(error: ValidationError | SettingsError) -> str:
    if isinstance(error, SettingsError):
        return str(error)
    details = error.errors(include_url=False)
    first = details[0]
    more = f" (and {len(details) - 1} more)" if len(details) > 1 else ""
    place = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"unknown setting {place}{_hint(place, _all_names())}{more}"
    message = first["msg"].removeprefix("Value error, ")
    given = f", got {first['input']!r}" if first["loc"] and not isinstance(first["input"], dict) else ""
    return f"{place}: {message}{given}{more}" if place else f"{message}{more}"


def _all_names() -> list[str]:
    """All settings by their full names, and by their last names, as overrides of a symbol use them."""
    keys = _all_keys(Settings)
    return keys + [key.rpartition(".")[2] for key in keys]


def _all_keys(model: type[BaseModel], prefix: str = "") -> list[str]:
    keys = []
    for name, field in model.model_fields.items():
        keys.append(prefix + name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            keys += _all_keys(field.annotation, f"{prefix}{name}.")
    return keys


def _hint(wrong: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(wrong, list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""
