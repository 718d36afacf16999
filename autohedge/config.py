"""One typed settings object: read once, checked once, frozen.

Sources, strongest first: overrides of the command line, `AUTOHEDGE__SECTION__KEY` in the
environment or `.env`, the file named by `--config` or `./config.toml`, the shipped `config.toml`.
"""

import difflib
import os
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

from dotenv import dotenv_values
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from pydantic_settings.exceptions import SettingsError

from autohedge.core import aliases
from autohedge.core.errors import Misconfigured
from autohedge.core.instruments import DEFAULT_LOT, Instrument

PREFIX = "AUTOHEDGE__"
KEY_NAMES = ("AUTOHEDGE_LLM_API_KEY", "OPENAI_API_KEY")

Finite = Annotated[float, Field(allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Money = Annotated[Decimal, Field(ge=0, allow_inf_nan=False, max_digits=30)]
Percent = Annotated[Decimal, Field(gt=0, le=100, max_digits=20)]
Step = Annotated[Decimal, Field(gt=0, max_digits=20)]
Seconds = Annotated[float, Field(ge=1e-6, le=1e8)]
Pause = Annotated[float, Field(ge=0, le=1e8)]
Distance = Annotated[float, Field(ge=0, lt=10_000, allow_inf_nan=False)]
Latency = Annotated[float, Field(ge=0, le=3_600_000)]


class Section(BaseModel):
    """One table of the settings: unknown keys are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Trading(Section):
    """What kind of run this is."""

    mode: Literal["hft", "hybrid"]
    live: bool


class Strategy(Section):
    """Which strategy trades, by name or as `file.py:Class` or `module:Class`."""

    name: str
    params: dict[str, Any]


class Hybrid(Section):
    """The gate that a model's verdict opens, per symbol."""

    gate_refresh_quotes: Annotated[int, Field(ge=1, le=2**31)]
    no_trade_cooldown_quotes: Annotated[int, Field(ge=0, le=2**31)]
    min_refresh_s: Pause
    verdict_ttl_s: Seconds
    deadline_s: Seconds
    learn_every_trades: Annotated[int, Field(ge=0, le=20)]
    starts_open: bool


class LLM(Section):
    """Which model answers, and how it is asked; its key comes from the environment alone."""

    provider: Literal["auto", "openai", "ollama", "rules", "scripted", "chaos"]
    base_url: str
    script: str
    model: str
    queue_size: Annotated[int, Field(ge=1, le=1_000_000)]
    max_concurrent: Annotated[int, Field(ge=1, le=10_000)]
    timeout_s: Seconds
    retries: Annotated[int, Field(ge=0, le=10)]
    breaker_failures: Annotated[int, Field(ge=1, le=10_000)]
    breaker_pause_s: Seconds
    context_tokens: Annotated[int, Field(ge=512, le=100_000_000)]
    max_calls: Annotated[int, Field(ge=0, le=2**53)]
    max_tokens: Annotated[int, Field(ge=0, le=2**53)]
    latency: Literal["fixed", "measured"]
    virtual_latency_s: Pause


class Tools(Section):
    """What agents are shown of a snapshot."""

    table_rows: Annotated[int, Field(ge=1, le=50)]
    headlines: str
    headlines_shown: Annotated[int, Field(ge=0, le=50)]
    lessons_shown: Annotated[int, Field(ge=0, le=50)]


class Momentum(Section):
    """Parameters of the momentum kernel."""

    evaluate_every_quotes: Annotated[int, Field(ge=1, le=2**31)]
    lookback: Annotated[int, Field(ge=1, le=1023)]
    min_edge_bps: Finite
    max_spread_bps: NotNegative
    warmup_count: Annotated[int, Field(ge=0, le=2**31)]
    min_volume_ratio: NotNegative
    use_vwap_filter: bool


class Crossover(Section):
    """Parameters of the moving-average crossover."""

    fast: Annotated[int, Field(ge=1, le=1023)]
    slow: Annotated[int, Field(ge=2, le=1023)]
    bar_s: Seconds

    @model_validator(mode="after")
    def _fast_is_faster(self) -> "Crossover":
        if self.fast >= self.slow:
            msg = f"fast ({self.fast}) must be less than slow ({self.slow})"
            raise ValueError(msg)
        return self


class Exits(Section):
    """Where a position is closed, in bps of the mid at its entry signal."""

    take_profit_bps: Positive
    stop_loss_bps: Positive
    max_hold_s: Pause
    trailing_activation_bps: NotNegative
    trailing_distance_bps: Distance

    @model_validator(mode="after")
    def _a_trail_has_its_distance(self) -> "Exits":
        if self.trailing_activation_bps and not self.trailing_distance_bps:
            msg = f"trailing_activation_bps ({self.trailing_activation_bps}) needs a trailing_distance_bps above 0"
            raise ValueError(msg)
        return self


class Sizing(Section):
    """How much money goes into one order."""

    target_balance_pct: Percent
    min_order_amount: Money
    max_order_amount: Money

    @model_validator(mode="after")
    def _bounds_in_order(self) -> "Sizing":
        if self.min_order_amount > self.max_order_amount:
            msg = f"min_order_amount ({self.min_order_amount}) exceeds max_order_amount ({self.max_order_amount})"
            raise ValueError(msg)
        return self


class Execution(Section):
    """How entries are priced, how long they rest, how often they may come."""

    time_in_force: Literal["ioc", "gtc"]
    cancel_after_s: Seconds
    aggression_bps: NotNegative | None = None
    min_order_interval_ms: Latency
    cooldown_ms: Latency
    limit_order_expiration_days: Annotated[int, Field(ge=1, le=3650)]
    reprice_after_s: Pause
    twap_slices: Annotated[int, Field(ge=1, le=1000)]
    twap_s: Pause
    ack_timeout_s: Seconds
    query_backoff_s: Seconds
    query_backoff_max_s: Seconds
    visibility_lag_s: Pause
    audit_s: Seconds

    @model_validator(mode="after")
    def _slices_have_time(self) -> "Execution":
        if (self.twap_slices > 1) is not (self.twap_s > 0):
            msg = f"twap_slices ({self.twap_slices}) and twap_s ({self.twap_s}) belong together: 1 and 0, or more and more"
            raise ValueError(msg)
        return self


class Reconciliation(Section):
    """Our books against the venue's."""

    every_s: Pause
    fill_overlap_s: Pause
    external: Literal["adopt", "alert", "halt"]


class Risk(Section):
    """Hard limits, outside any model."""

    min_order_quantity: Money
    max_order_quantity: Money
    min_order_notional: Money
    max_order_notional: Money
    price_band_bps: Annotated[Decimal, Field(gt=0, max_digits=20)]
    max_position_notional: Money
    max_exposure_notional: Money
    max_daily_loss_pct: Percent
    max_orders_per_minute: Annotated[int, Field(ge=1, le=10_000_000)]
    stale_after_ms: Annotated[float, Field(gt=0, le=1e10)]
    max_errors_per_minute: Annotated[int, Field(ge=1, le=10_000_000)]
    unknown_halt_s: Seconds
    silent_feed_s: Pause
    max_lag_ms: Annotated[float, Field(gt=0, le=1e10)]


class Simulated(Section):
    """The simulated venue."""

    initial_cash: Annotated[Decimal, Field(gt=0, max_digits=30)]
    fee_bps: Annotated[Decimal, Field(ge=0, lt=10_000, max_digits=20)]
    order_latency_ms: Latency
    response_latency_ms: Latency
    latency_jitter_ms: Latency
    partial_fills: bool


class Journal(Section):
    """How safe the record of a run on a clock is."""

    durability: Literal["process", "power"]


class Synthetic(Section):
    """The market of a run without a tape."""

    symbols: Annotated[tuple[str, ...], Field(min_length=1)]
    hours: Annotated[float, Field(gt=0, le=24 * 366)]
    quotes_per_s: Annotated[float, Field(gt=0, le=10_000)]
    bad_quote_rate: Annotated[float, Field(ge=0, le=1)]


class InstrumentRules(Section):
    """What a venue demands of prices and quantities."""

    tick: Step | None = None
    lot: Step = DEFAULT_LOT
    min_notional: Money = Decimal(0)


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
    here = Path(__file__).parent
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


def secrets() -> Secrets:
    """The keys in the environment or, weaker, in `.env`; our own name goes before OPENAI_API_KEY.

    Raises Misconfigured for a key that no request could carry.
    """
    given = (names.get(name) for _, names in reversed(_surroundings()) for name in KEY_NAMES)
    key = next((value.strip() for value in given if value and value.strip()), "")
    if not (key.isascii() and key.isprintable()):
        raise Misconfigured(
            f"{KEY_NAMES[0]} or {KEY_NAMES[1]} holds characters that no key has; copy it again"
        )
    return Secrets(SecretStr(key) if key else None)


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
