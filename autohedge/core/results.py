"""The result of a run as values: the last line of its journal, and the content of `results.json`.

Amounts of money are decimals, which JSON has as strings. A key that does not apply to a run is left out.
"""

from decimal import Decimal
from typing import Any, Literal

import msgspec

from autohedge.core.ids import (
    DEFAULT_ACCOUNT,
    DEFAULT_STRATEGY,
    DEFAULT_VENUE,
    AccountId,
    StrategyId,
    VenueId,
)
from autohedge.core.orders import OrderState, Side
from autohedge.core.spend import SpendFigures


class Fill(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One fill as reports list it; `realized` is before fees.

    Amounts are in the quote currency of the symbol, the fee in `fee_currency` if that is another one.
    """

    symbol: str
    side: Side
    ts_ns: int
    qty: Decimal
    price: Decimal
    fee: Decimal
    reason: str
    order_id: str
    realized: Decimal
    fee_currency: str | None = None
    venue: VenueId = DEFAULT_VENUE
    account: AccountId = DEFAULT_ACCOUNT
    strategy: StrategyId = DEFAULT_STRATEGY


_decode_fill = msgspec.json.Decoder(Fill).decode


class WorkingOrder(msgspec.Struct, frozen=True, gc=False):
    """An order that still works at the end of a run; `filled` is the filled part of `quantity`."""

    order_id: str
    symbol: str
    side: Side
    quantity: Decimal
    filled: Decimal
    limit: Decimal | None
    state: OrderState


# Keys and their order are the record format, as in `core/events.py`.
class DeliberationFigures(msgspec.Struct, frozen=True, omit_defaults=True):
    """Counts of deliberations, and how they ended.

    `proposals` counts in llm mode what the engine did with proposals and refusals, by code. The fields after
    it belong to hybrid mode: how often gates opened and closed, the entry signals that a gate answered, and
    the state of each symbol's gate. `llm` is what the calls of models cost.
    """

    asked: int
    late: int
    given_up: int
    bypassed: int
    cached: int
    verdicts: dict[str, int]
    abstentions: dict[str, int]
    lessons: int
    proposals: dict[str, int] | None = None
    opened: int | None = None
    closed: int | None = None
    gated_signals: int | None = None
    gates: dict[str, str] | None = None
    llm: SpendFigures | None = None


class TradingFigures(msgspec.Struct, frozen=True, omit_defaults=True):
    """Counts of quotes, fills and orders, and the account.

    `codes` counts quotes by reason code. `open_position` is the sum of the quantities in `open_positions`,
    so it has a meaning for one symbol only. `external` is what reconciliation booked. `longs` and `shorts` count
    the fills of entries by direction; they are None in a run that may only be long and never was short.
    """

    quotes: int
    codes: dict[str, int]
    buys: int
    sells: int
    take_profits: int
    stop_losses: int
    trailing_stops: int
    time_stops: int
    exit_signals: int
    expired: int
    exit_refusals: dict[str, int]
    slice_refusals: dict[str, int]
    winning_exits: int
    open_position: Decimal
    open_positions: dict[str, Decimal]
    open_orders: int
    initial_cash: Decimal
    realized_pnl: Decimal
    unrealized_pnl: Decimal
    fees: Decimal
    external: Decimal
    cash: Decimal
    equity: Decimal
    longs: int | None = None
    shorts: int | None = None


class RunResult(TradingFigures, frozen=True, omit_defaults=True, kw_only=True):
    """The result of a run, or of its part so far; `deliberations` is None in hft mode.

    Of an account in several currencies, all figures are in the reporting `currency`, converted at the last mids,
    so that they add up; `balances` and `fees_by_currency` are the amounts themselves.
    """

    first_ns: int
    last_ns: int
    restarts: int
    state: str
    deliberations: DeliberationFigures | None = None
    currency: str | None = None
    balances: dict[str, Decimal] | None = None
    fees_by_currency: dict[str, Decimal] | None = None


class AgentsSummary(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who answered the deliberations of a run, its calls, and how many workers died on a clock.

    `knowledge_cutoffs` are the dates up to which the models that were asked know the world, where they are set.
    """

    provider: str
    model: str
    server: str
    calls: dict[str, Any]
    worker_deaths: int | None = None
    knowledge_cutoffs: dict[str, str] | None = None


class ProcessFigures(msgspec.Struct, frozen=True):
    """What a report has from the process of a run: its agents, and if it ran on a clock, how that went."""

    agents: AgentsSummary | None = None
    interrupted: bool | None = None
    wakes: int | None = None
    worst_lag_ms: float | None = None


class RunReport(RunResult, frozen=True, omit_defaults=True, kw_only=True):
    """The content of `results.json`: the result, the fills, and what they derive from.

    `bar_exits` is set for bars. `fills` has the JSON of a `Fill` each, `parsed_fills` returns them as values.
    `equity_series` has (time in ns, equity) at every fill and at regular times, see `EquityHistory.series`.
    `interrupted`, `wakes` and `worst_lag_ms` belong to runs on a clock. `run`, `journal_head` and `journal_lines`
    are empty and 0 for a run in memory.
    """

    bar_exits: Literal["close"] | None = None
    mode: str
    strategy: str
    seed: int
    symbols: list[str]
    synthetic: bool
    fills: list[msgspec.Raw]
    equity_series: list[tuple[int, Decimal]]
    working_orders: list[WorkingOrder]
    journal_head: str = ""
    journal_lines: int = 0
    interrupted: bool | None = None
    wakes: int | None = None
    worst_lag_ms: float | None = None
    agents: AgentsSummary | None = None
    run: str = ""

    def parsed_fills(self) -> list[Fill]:
        """Returns the fills as values, in order of arrival."""
        return [_decode_fill(fill) for fill in self.fills]


class RunStatus(RunResult, frozen=True, omit_defaults=True, kw_only=True):
    """The result so far of a running run, whether entries are halted or paused, and how far its clock is."""

    halted: bool
    halt_id: str | None
    paused: bool
    reached_ns: int
