"""The sections of the settings, one class each, with the bounds of every value."""

import re
from datetime import datetime
from decimal import Decimal
from enum import StrEnum, auto, unique
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from autohedge.config.extra_body import checked_extra_body
from autohedge.core.instruments import DEFAULT_LOT, InstrumentKind
from autohedge.core.timestamps import TIMESTAMP_HELP, parse_timestamp_ns

Finite = Annotated[float, Field(allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
# max_digits keeps exact products of settings within the 120 digits of core/money.py.
Money = Annotated[Decimal, Field(ge=0, allow_inf_nan=False, max_digits=30)]
Percent = Annotated[Decimal, Field(gt=0, le=100, max_digits=20)]
FeeBps = Annotated[Decimal, Field(ge=0, lt=10_000, max_digits=20)]
Step = Annotated[Decimal, Field(gt=0, max_digits=20)]
Amount = Annotated[Decimal, Field(gt=0, max_digits=30)]
Currency = Annotated[str, AfterValidator(str.upper), Field(pattern=r"^[A-Za-z0-9]{0,12}$")]
CurrencyName = Annotated[str, AfterValidator(str.upper), Field(pattern=r"^[A-Za-z0-9]{1,12}$")]
# 1e8 s are three years: as nanoseconds, added to any time of the tape, they stay below 2**63.
Seconds = Annotated[float, Field(ge=1e-6, le=1e8)]
Pause = Annotated[float, Field(ge=0, le=1e8)]
Distance = Annotated[float, Field(ge=0, lt=10_000, allow_inf_nan=False)]
WholeBps = Annotated[int, Field(ge=1, lt=10_000)]
Latency = Annotated[float, Field(ge=0, le=3_600_000)]
AnswerTokens = Annotated[int, Field(ge=0, le=1_000_000)]
Reasoning = Literal["auto", "off", "low", "medium", "high"]
# TOML writes seconds as a number, Go's durations as text.
KeepAlive = Annotated[
    str,
    BeforeValidator(lambda value: str(value) if type(value) is int else value),
    Field(pattern=r"^(-?[0-9]{1,9}|-?([0-9]{1,9}(\.[0-9]{1,9})?(ms|s|m|h))+)?$"),
]
ExtraBody = Annotated[dict[str, Any], AfterValidator(checked_extra_body)]


def _timestamp(given: object) -> object:
    """Nanoseconds since 1970 of a time; TOML has a type for times."""
    at_ns = parse_timestamp_ns(given.isoformat() if isinstance(given, datetime) else given)
    if at_ns is None:
        raise ValueError(f"write a time as {TIMESTAMP_HELP}")
    return at_ns


Timestamp = Annotated[int, BeforeValidator(_timestamp)]

# Capitals with short words between underscores: keys have lower-case letters, hyphens or long words.
_VARIABLE = re.compile(r"[A-Z][A-Z0-9]{0,15}(_[A-Z0-9]{1,16})*")


@unique
class Applies(StrEnum):
    """When a setting that is changed during a run takes effect.

    LIVE: at once. NEXT_ENTRY: with a symbol's next entry, while an open position keeps what it was entered with.
    RESTART: not in a run that is on. What the agents' process reads is RESTART.
    """

    LIVE = auto()
    NEXT_ENTRY = auto()
    RESTART = auto()


class Section(BaseModel):
    """One section of the settings: unknown keys are errors, values are immutable.

    `applies` holds for all fields but those that declare another one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    applies: ClassVar[Applies]


class TradingSettings(Section):
    """The mode of the run, and the directions of its positions."""

    applies: ClassVar = Applies.RESTART
    mode: Literal["hft", "hybrid", "llm"]
    direction: Literal["long", "short", "both"]
    live: bool


class StrategySettings(Section):
    """The strategy, by name or as `file.py:Class` or `module:Class`."""

    applies: ClassVar = Applies.RESTART
    name: str
    params: dict[str, Any]


class HybridSettings(Section):
    """The entry gate of each symbol, which verdicts of the model open and close."""

    applies: ClassVar = Applies.RESTART
    gate_refresh_quotes: Annotated[int, Field(ge=1, le=2**31), Applies.LIVE]
    no_trade_cooldown_quotes: Annotated[int, Field(ge=0, le=2**31), Applies.LIVE]
    min_refresh_s: Annotated[Pause, Applies.LIVE]
    verdict_ttl_s: Seconds
    deadline_s: Seconds
    learn_every_trades: Annotated[int, Field(ge=0, le=20)]
    starts_open: bool
    cache_verdicts: bool


# Providers that answer by themselves: no server can be down, and no call takes long.
NO_MODELS = frozenset({"rules", "scripted", "chaos"})
# Providers whose answers no model gave: they have no price and know nothing of the world.
FORMULAS = frozenset({"rules", "chaos"})


class LLMSettings(Section):
    """The model and its limits; the API key comes from the environment or `.env` only."""

    applies: ClassVar = Applies.RESTART
    provider: Literal["auto", "openai", "ollama", "rules", "scripted", "chaos"]
    base_url: str
    key: str = ""
    script: str
    model: str
    queue_size: Annotated[int, Field(ge=1, le=1_000_000)]
    max_concurrent: Annotated[int, Field(ge=1, le=10_000)]
    timeout_s: Seconds
    retries: Annotated[int, Field(ge=0, le=10)]
    breaker_failures: Annotated[int, Field(ge=1, le=10_000)]
    breaker_pause_s: Seconds
    max_wait_s: Pause = 300.0
    tolerate_failures: bool = False
    context_tokens: Annotated[int, Field(ge=512, le=100_000_000)]
    max_calls: Annotated[int, Field(ge=0, le=2**53)]
    max_tokens: Annotated[int, Field(ge=0, le=2**53)]
    latency: Literal["fixed", "measured"]
    virtual_latency_s: Pause
    no_trade_cooldown_quotes: Annotated[int, Field(ge=0, le=2**31), Applies.LIVE]
    min_interval_s: Annotated[Pause, Applies.LIVE]
    expected_processes: Annotated[int, Field(ge=1, le=10_000)]
    # With defaults here too, because the settings of earlier runs lack them.
    max_answer_tokens: AnswerTokens = 0
    reasoning: Reasoning = "auto"
    keep_alive: KeepAlive = ""
    extra_body: ExtraBody = {}
    max_cost_usd: Money = Decimal(0)

    # Checks the whole section: the message about a single field would show its value, which may be a key.
    @model_validator(mode="after")
    def _key_is_a_name(self) -> "LLMSettings":
        if self.key and not _VARIABLE.fullmatch(self.key):
            msg = (
                "key is the name of an environment variable in capitals, such as OPENAI_API_KEY;"
                " put the key itself into that variable"
            )
            raise ValueError(msg)
        return self


class AgentSettings(Section):
    """Settings of one agent that override `llm` and the front matter of its prompt."""

    applies: ClassVar = Applies.RESTART
    model: str
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    timeout_s: Seconds | None = None
    max_answer_tokens: AnswerTokens | None = None
    reasoning: Reasoning | None = None
    keep_alive: KeepAlive | None = None
    extra_body: ExtraBody | None = None


class DirectorSettings(AgentSettings):
    """The Director, whose verdict may be sampled several times."""

    applies: ClassVar = Applies.RESTART
    samples: Annotated[int, Field(ge=1, le=15)]
    min_confidence_pct: Annotated[int, Field(ge=0, le=100)]


class RiskAgentSettings(AgentSettings):
    """The Risk agent, and the bounds of the exits that it may ask for, in bps of the mid."""

    applies: ClassVar = Applies.RESTART
    least_stop_loss_bps: WholeBps
    most_stop_loss_bps: WholeBps
    least_take_profit_bps: WholeBps
    most_take_profit_bps: WholeBps
    least_reward_to_risk: Positive

    @model_validator(mode="after")
    def _bounds_in_order(self) -> "RiskAgentSettings":
        for what in ("stop_loss", "take_profit"):
            least, most = getattr(self, f"least_{what}_bps"), getattr(self, f"most_{what}_bps")
            if least > most:
                msg = f"least_{what}_bps ({least}) exceeds most_{what}_bps ({most})"
                raise ValueError(msg)
        return self


class ExecutionAgentSettings(AgentSettings):
    """The Execution agent, and how far below the limit of `execution` it may place an entry."""

    applies: ClassVar = Applies.RESTART
    most_offset_bps: Annotated[int, Field(ge=0, le=1000)]


class AgentsSettings(Section):
    """One table per agent."""

    applies: ClassVar = Applies.RESTART
    director: DirectorSettings
    quant: AgentSettings
    risk: RiskAgentSettings
    execution: ExecutionAgentSettings
    learning: AgentSettings


class RedisSettings(Section):
    """The Redis server that processes share; its password comes from the environment or `.env` only."""

    applies: ClassVar = Applies.RESTART
    url: str
    lease_s: Annotated[float, Field(ge=0.2, le=3600)]
    timeout_s: Annotated[float, Field(ge=0.01, le=60)]

    @model_validator(mode="after")
    def _address_without_secrets(self) -> "RedisSettings":
        # Checks the whole table, because the error of a single field would show its value and so a password.
        if self.url and (wrong := _wrong_address(self.url)):
            msg = f"url {wrong}"
            raise ValueError(msg)
        return self


def _wrong_address(url: str) -> str:
    """Returns what is wrong with the address of a Redis server, without the address; empty if it is valid."""
    if any(each in url for each in "@?#"):
        return "must hold no user, password or query, for settings are recorded: set AUTOHEDGE_REDIS_PASSWORD"
    try:
        parts = urlsplit(url)
        host, port, path = parts.hostname, parts.port, parts.path
    except ValueError:
        return "is not an address: write redis://HOST:PORT/DATABASE"
    if parts.scheme == "unix":
        return "" if path.startswith("/") and not host else "must be unix:///PATH for a socket"
    if parts.scheme not in {"redis", "rediss"} or not host or port == 0:
        return "must be redis://HOST:PORT/DATABASE, rediss:// for TLS, or unix:///PATH"
    number = path.removeprefix("/")
    return "" if not number or number.isdecimal() else "must end in a database number, or have no path"


class ToolsSettings(Section):
    """What the prompts show of a snapshot."""

    applies: ClassVar = Applies.RESTART
    table_rows: Annotated[int, Field(ge=1, le=50)]
    bars: dict[str, Annotated[int, Field(ge=1, le=500)]]
    headlines: str
    headlines_shown: Annotated[int, Field(ge=0, le=50)]
    lessons_shown: Annotated[int, Field(ge=0, le=50)]


class MomentumSettings(Section):
    """Parameters of the momentum strategy."""

    applies: ClassVar = Applies.RESTART
    evaluate_every_quotes: Annotated[int, Field(ge=1, le=2**31), Applies.LIVE]
    lookback: Annotated[int, Field(ge=1, le=1023)]  # the ring buffer of the kernel has 1024 places
    min_edge_bps: Annotated[Finite, Applies.LIVE]
    max_spread_bps: Annotated[NotNegative, Applies.LIVE]
    warmup_count: Annotated[int, Field(ge=0, le=2**31)]
    min_volume_ratio: NotNegative
    use_vwap_filter: bool


class CrossoverSettings(Section):
    """Parameters of the moving-average crossover."""

    applies: ClassVar = Applies.RESTART
    fast: Annotated[int, Field(ge=1, le=1023)]
    slow: Annotated[int, Field(ge=2, le=1023)]  # as for lookback
    bar_s: Seconds

    @model_validator(mode="after")
    def _fast_is_faster(self) -> "CrossoverSettings":
        if self.fast >= self.slow:
            msg = f"fast ({self.fast}) must be less than slow ({self.slow})"
            raise ValueError(msg)
        return self


class BarsSettings(Section):
    """The bars that a strategy reads, and how they are made if the tape has none of that length."""

    applies: ClassVar = Applies.RESTART
    every: str = ""
    source: Literal["auto", "trades", "quotes", "bars"] = "auto"
    fill: Literal["none", "carry"] = "none"
    session: str = ""
    skip_partial: bool = True
    delay_ms: Latency = 0.0


class ExitsSettings(Section):
    """Exit levels of a position, in bps of the mid at its entry signal, and its longest holding time."""

    applies: ClassVar = Applies.NEXT_ENTRY
    take_profit_bps: Positive
    stop_loss_bps: Positive
    max_hold_s: Pause
    trailing_activation_bps: NotNegative
    trailing_distance_bps: Distance

    @model_validator(mode="after")
    def _a_trail_has_its_distance(self) -> "ExitsSettings":
        if self.trailing_activation_bps and not self.trailing_distance_bps:
            activation = self.trailing_activation_bps
            msg = f"trailing_activation_bps ({activation}) needs a trailing_distance_bps above 0"
            raise ValueError(msg)
        return self


class SizingSettings(Section):
    """How much money goes into one order."""

    applies: ClassVar = Applies.NEXT_ENTRY
    target_balance_pct: Percent
    min_order_amount: Money
    max_order_amount: Money

    @model_validator(mode="after")
    def _bounds_in_order(self) -> "SizingSettings":
        if self.min_order_amount > self.max_order_amount:
            least, most = self.min_order_amount, self.max_order_amount
            msg = f"min_order_amount ({least}) exceeds max_order_amount ({most})"
            raise ValueError(msg)
        return self


class ExecutionSettings(Section):
    """How entries are priced, how long they rest, how often they are sent, and when orders are queried."""

    applies: ClassVar = Applies.NEXT_ENTRY
    time_in_force: Literal["ioc", "gtc"]
    cancel_after_s: Seconds
    aggression_bps: NotNegative | None = None
    min_order_interval_ms: Annotated[Latency, Applies.LIVE]
    cooldown_ms: Annotated[Latency, Applies.LIVE]
    limit_order_expiration_days: Annotated[int, Field(ge=1, le=3650)]
    reprice_after_s: Pause
    twap_slices: Annotated[int, Field(ge=1, le=1000)]
    twap_s: Pause
    ack_timeout_s: Annotated[Seconds, Applies.LIVE]
    query_backoff_s: Annotated[Seconds, Applies.LIVE]
    query_backoff_max_s: Annotated[Seconds, Applies.LIVE]
    visibility_lag_s: Annotated[Pause, Applies.RESTART]
    audit_s: Annotated[Seconds, Applies.LIVE]

    @model_validator(mode="after")
    def _slices_have_time(self) -> "ExecutionSettings":
        if (self.twap_slices > 1) is not (self.twap_s > 0):
            given = f"twap_slices ({self.twap_slices}) and twap_s ({self.twap_s})"
            msg = f"{given} must be 1 and 0, or both greater"
            raise ValueError(msg)
        return self


class ReconciliationSettings(Section):
    """The comparison of the ledger with the venue."""

    applies: ClassVar = Applies.RESTART
    every_s: Pause
    fill_overlap_s: Pause
    external: Literal["adopt", "alert", "halt"]


class RiskSettings(Section):
    """Hard limits, which no model can change."""

    applies: ClassVar = Applies.LIVE
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


class AccountSettings(Section):
    """The account: its money at the start, its fees, and whether it may sell short."""

    applies: ClassVar = Applies.RESTART
    initial_cash: Amount
    maker_bps: FeeBps
    taker_bps: FeeBps
    kind: Literal["cash", "covered"]
    currency: Currency
    balances: dict[CurrencyName, Amount]

    @property
    def fee_bps_max(self) -> Decimal:
        """The larger fee, which is reserved for an order that may rest or fill on arrival."""
        return max(self.maker_bps, self.taker_bps)


class SimulatedSettings(Section):
    """The simulated venue."""

    applies: ClassVar = Applies.RESTART
    order_latency_ms: Latency
    response_latency_ms: Latency
    latency_jitter_ms: Latency
    partial_fills: bool
    fee_currency: Currency


class JournalSettings(Section):
    """The durability of the record of a run in real time."""

    applies: ClassVar = Applies.RESTART
    durability: Literal["process", "power"]


class SyntheticSettings(Section):
    """The market of a run without a tape."""

    applies: ClassVar = Applies.RESTART
    symbols: Annotated[tuple[str, ...], Field(min_length=1)]
    hours: Annotated[float, Field(gt=0, le=24 * 366)]
    quotes_per_s: Annotated[float, Field(gt=0, le=10_000)]
    bad_quote_rate: Annotated[float, Field(ge=0, le=1)]


class InstrumentRules(Section):
    """What an instrument is, and the rules that a venue sets for prices and quantities.

    `base` and `quote` follow from a symbol such as BTC/USD, `settlement` is the quote currency, if they are unset.
    """

    applies: ClassVar = Applies.RESTART
    tick: Step | None = None
    lot: Step = DEFAULT_LOT
    min_notional: Money = Decimal(0)
    min_quantity: Money = Decimal(0)
    significant_figures: Annotated[int, Field(ge=1, le=20)] | None = None
    kind: InstrumentKind = InstrumentKind.SPOT
    base: Currency | None = None
    quote: Currency | None = None
    settlement: Currency | None = None
    multiplier: Step = Decimal(1)
    expiry: Timestamp | None = None
    payout_min: Money | None = None
    payout_max: Money | None = None
    max_leverage: Annotated[Decimal, Field(ge=1, max_digits=20)] = Decimal(1)

    @model_validator(mode="after")
    def _payouts_in_order(self) -> "InstrumentRules":
        least, most = self.payout_min, self.payout_max
        if (least is None) is not (most is None) or (
            least is not None and most is not None and least >= most
        ):
            raise ValueError(
                f"payout_min ({least}) and payout_max ({most}) must both be set, the first below"
            )
        return self
