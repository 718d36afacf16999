"""The settings of one run as one typed, immutable object."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, Field, ValidationError, model_validator

from autohedge.config.model_settings import ModelSettings
from autohedge.config.renamed_keys import RENAMED
from autohedge.config.sections import (
    NO_MODELS,
    AccountSettings,
    AgentSettings,
    AgentsSettings,
    Applies,
    BarsSettings,
    CrossoverSettings,
    ExecutionSettings,
    ExitsSettings,
    HybridSettings,
    InstrumentRules,
    JournalSettings,
    LLMSettings,
    MomentumSettings,
    ReconciliationSettings,
    RedisSettings,
    RiskSettings,
    Section,
    SimulatedSettings,
    SizingSettings,
    StrategySettings,
    SyntheticSettings,
    ToolsSettings,
    TradingSettings,
)
from autohedge.core.instruments import Instrument, split_symbol
from autohedge.core.orders import BUY, SELL, Side
from autohedge.core.text import closest, did_you_mean, one_line

OVERRIDABLE: dict[str, type[Section]] = {
    "momentum": MomentumSettings,
    "crossover": CrossoverSettings,
    "exits": ExitsSettings,
    "sizing": SizingSettings,
}

# Settings of [llm] that each agent can override.
ANSWER_SETTINGS = ("max_answer_tokens", "reasoning", "keep_alive", "extra_body")
SHOWN_CHARS = 80
OVERRIDES = "symbol_overrides."


class Settings(Section):
    """The resolved settings of one run; all defaults are in the shipped `config.toml`."""

    applies: ClassVar = Applies.RESTART
    seed: Annotated[int, Field(ge=0, lt=2**63)]
    chatter_level: Literal["auto", "low", "normal", "verbose"]
    trading: TradingSettings
    hybrid: HybridSettings
    llm: LLMSettings
    agents: AgentsSettings
    redis: RedisSettings
    tools: ToolsSettings
    strategy: StrategySettings
    momentum: MomentumSettings
    crossover: CrossoverSettings
    bars: BarsSettings = BarsSettings()
    exits: ExitsSettings
    sizing: SizingSettings
    execution: ExecutionSettings
    reconciliation: ReconciliationSettings
    risk: RiskSettings
    account: AccountSettings
    simulated: SimulatedSettings
    journal: JournalSettings
    synthetic: SyntheticSettings
    models: dict[str, ModelSettings] = Field(default_factory=dict)
    instruments: dict[str, InstrumentRules] = Field(default_factory=dict)
    symbol_overrides: Annotated[dict[str, dict[str, dict[str, Any]]], Applies.NEXT_ENTRY] = Field(
        default_factory=dict
    )

    @model_validator(mode="before")
    @classmethod
    def _sort_overrides(cls, values: dict[str, Any]) -> dict[str, Any]:
        overrides = values.get("symbol_overrides", {})
        if not all(isinstance(table, dict) for table in (overrides, *_values(overrides))):
            msg = 'symbol_overrides needs one table per symbol, such as [symbol_overrides."BTC/USD"]'
            raise ValueError(msg)
        nested = {symbol: _by_section(symbol, keys) for symbol, keys in overrides.items()}
        return values | {"symbol_overrides": nested}

    # Overrides stay raw tables until `for_symbol` applies them, so pydantic does not check them by itself.
    @model_validator(mode="after")
    def _overrides_are_valid(self) -> "Settings":
        for symbol in self.symbol_overrides:
            try:
                self.for_symbol(symbol)
            except ValidationError as error:
                msg = f'symbol_overrides."{symbol}": {describe_error(error)}'
                raise ValueError(msg) from None
        return self

    @model_validator(mode="after")
    def _instruments_can_be_traded(self) -> "Settings":
        for symbol in self.instruments:
            if unsupported := self.instrument(symbol).unsupported:
                raise ValueError(f'instruments."{symbol}": {unsupported} is not supported yet; remove it')
        return self

    @model_validator(mode="after")
    def _cost_limit_has_prices(self) -> "Settings":
        if not self.llm.max_cost_usd or self.llm.provider in NO_MODELS:
            return self
        for name in self.model_names:
            if not (model := self.models.get(name)) or not model.has_prices:
                named = f'set price_in and price_out in [models."{name}"]' if name else "name it in llm.model"
                raise ValueError(f"llm.max_cost_usd needs the price of each model that agents ask: {named}")
        return self

    def for_symbol(self, symbol: str) -> "Settings":
        """Returns these settings with the symbol's overrides applied."""
        changes = self.symbol_overrides.get(symbol, {})
        sections = {
            name: OVERRIDABLE[name].model_validate(getattr(self, name).model_dump() | keys)
            for name, keys in changes.items()
        }
        return self.model_copy(update=sections)

    @property
    def resolved_agents(self) -> AgentsSettings:
        """The agents' settings, with what is unset about their answers taken from `llm`."""
        shared = {name: getattr(self.llm, name) for name in ANSWER_SETTINGS}
        return self.agents.model_copy(update={name: _filled(agent, shared) for name, agent in self.agents})

    @property
    def model_names(self) -> tuple[str, ...]:
        """The models that the agents name; an empty name is the model that the server offers."""
        return tuple(dict.fromkeys(agent.model or self.llm.model for _, agent in self.agents))

    @property
    def entry_sides(self) -> frozenset[Side]:
        """The sides that an entry may have, by `trading.direction`; a cash account cannot sell short."""
        short = self.trading.direction != "long" and self.account.kind == "covered"
        long = self.trading.direction != "short"
        return frozenset(side for side, allowed in ((BUY, long), (SELL, short)) if allowed)

    @property
    def trader_name(self) -> str:
        """What decides on entries: the name of the strategy, or `agents` in llm mode."""
        return "agents" if self.trading.mode == "llm" else self.strategy.name

    def instrument(self, symbol: str) -> Instrument:
        """Returns the instrument with its configured rules, or the defaults."""
        rules, pair = self.instruments.get(symbol, InstrumentRules()), split_symbol(symbol)
        quote = pair.quote if rules.quote is None else rules.quote
        return Instrument(
            symbol=symbol,
            tick=rules.tick,
            lot=rules.lot,
            min_notional=rules.min_notional,
            kind=rules.kind,
            base=pair.base if rules.base is None else rules.base,
            quote=quote,
            settlement=quote if rules.settlement is None else rules.settlement,
            significant_figures=rules.significant_figures,
            min_quantity=rules.min_quantity,
            multiplier=rules.multiplier,
            expiry_ns=rules.expiry,
            payout_min=rules.payout_min,
            payout_max=rules.payout_max,
            max_leverage=rules.max_leverage,
        )


def _values(table: Any) -> Iterable[Any]:
    return table.values() if isinstance(table, dict) else ()


def _by_section(symbol: str, keys: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Sorts a symbol's overrides into sections; a key without a section goes to the one that has it."""
    nested: dict[str, dict[str, Any]] = {}
    for key, value in keys.items():
        if key in OVERRIDABLE and isinstance(value, dict):
            nested.setdefault(key, {}).update(value)
            continue
        home = next((name for name, cls in OVERRIDABLE.items() if key in cls.model_fields), None)
        if home is None:
            known = [*OVERRIDABLE, *(f for cls in OVERRIDABLE.values() for f in cls.model_fields)]
            msg = f'symbol_overrides."{symbol}".{key} cannot be set per symbol{_hint(key, known)}'
            raise ValueError(msg)
        nested.setdefault(home, {})[key] = value
    return nested


def _filled(agent: AgentSettings, shared: Mapping[str, Any]) -> AgentSettings:
    unset = {name: value for name, value in shared.items() if getattr(agent, name) is None}
    return agent.model_copy(update=unset)


def describe_error(error: ValidationError) -> str:
    """Returns a validation error as one line: the setting, what is wrong with it, and the given value."""
    details = error.errors(include_url=False)
    first = details[0]
    more = f" (and {len(details) - 1} more)" if len(details) > 1 else ""
    place = one_line(".".join(str(part) for part in first["loc"]), SHOWN_CHARS)
    if first["type"] == "extra_forbidden":
        return f"unknown setting {place}{_meant(place)}{more}"
    message = first["msg"].removeprefix("Value error, ")
    # A whole table is not shown: it is long, and the table of redis may hold a password.
    shown = first["loc"] and not isinstance(first["input"], dict)
    given = f", got {one_line(repr(first['input']), SHOWN_CHARS)}" if shown else ""
    return f"{place}: {message}{given}{more}" if place else f"{message}{more}"


def _meant(wrong: str) -> str:
    table, _, last = wrong.rpartition(".")
    if table.startswith("instruments."):
        meant = closest(last, {name: f"{table}.{name}" for name in InstrumentRules.model_fields})
    elif table.startswith("models."):
        meant = closest(last, {name: f"{table}.{name}" for name in ModelSettings.model_fields})
    else:
        meant = closest_setting(wrong)
    return f"; did you mean {meant}?" if meant else ""


def closest_setting(wrong: str) -> str:
    """Returns the full name of the setting that a wrong name is closest to; empty if none is close."""
    return closest(wrong, setting_names())


def setting_names() -> dict[str, str]:
    """Returns the full name of every setting by itself, by its last part, and by its old name."""
    keys = _all_keys(Settings)
    by_last_part = {key.rpartition(".")[2]: key for key in reversed(keys)}
    by_last_part |= {name: new[-1] for old, new in RENAMED.items() for name in (old, old.rpartition(".")[2])}
    return {key: key for key in keys} | {
        last: by_last_part[last] for last in by_last_part if last not in keys
    }


def applies_at(name: str) -> Applies:
    """Returns when a change of a setting takes effect. Raises KeyError for a name that no setting has."""
    if name.startswith(OVERRIDES):
        *_, section, key = name.rsplit(".", 2)
        name = f"{section}.{key}"
    model: type[Section] = Settings
    for part in name.split("."):
        field = model.model_fields[part]
        declared = next((each for each in field.metadata if isinstance(each, Applies)), model.applies)
        if not (isinstance(field.annotation, type) and issubclass(field.annotation, Section)):
            return declared
        model = field.annotation
    return model.applies


def _all_keys(model: type[BaseModel], prefix: str = "") -> list[str]:
    keys = []
    for name, field in model.model_fields.items():
        keys.append(prefix + name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            keys += _all_keys(field.annotation, f"{prefix}{name}.")
    return keys


def _hint(wrong: str, known: Iterable[str]) -> str:
    question = did_you_mean(wrong, known)
    return f"; {question}" if question else ""
