"""The events about the agents: questions and decisions, and what they change at gates and orders."""

from typing import Literal

import msgspec

from autohedge.core.event_base import Input, Output
from autohedge.core.ids import (
    DEFAULT_ACCOUNT,
    DEFAULT_STRATEGY,
    DEFAULT_VENUE,
    AccountId,
    StrategyId,
    VenueId,
)
from autohedge.core.snapshots import DeliberationKind, Direction
from autohedge.core.spend import Spend


class Proposal(msgspec.Struct, frozen=True, gc=False):
    """The agents' parameters for an entry; it can only narrow what sizing, limits and exits allow.

    `size_pct` is a percentage of what sizing allows, `offset_bps` how far the limit lies below the one that the
    settings give (above it for a short); the exits are in bps of the mid.
    """

    size_pct: int
    take_profit_bps: int
    stop_loss_bps: int
    offset_bps: int
    time_in_force: Literal["ioc", "gtc"]


class Decision(Input, frozen=True, gc=False, omit_defaults=True):
    """The result of deliberation `number`, requested at `asked_ns` and known from `at_ns` on.

    `keep` has no effect. The `code` of an abstention gives the cause, the `code` of a `no_trade` the agent
    that refused. `calls` are the hashes of the transcript's lines. `source` is what answered: a model, the
    rules, `bypass` where no agent was asked, or `cache`; a cached verdict was requested at `decided_ns`.
    `agreement_pct` is the share of samples that agreed, `unsupported` the figures in the thesis that the
    snapshot does not support, and the key levels that are far from the market, such as `key level 0.46`.
    `spend` is what the calls of models cost.
    """

    at_ns: int
    number: int
    kind: DeliberationKind
    symbol: str
    asked_ns: int
    verdict: Literal["trade", "no_trade", "keep", "abstain", "lesson"]
    code: str = ""
    direction: Literal["long", "short", "exit", ""] = ""
    confidence_pct: int = 0
    source: str = ""
    calls: tuple[str, ...] = ()
    proposal: Proposal | None = None
    decided_ns: int = 0
    agreement_pct: int = 100
    unsupported: tuple[str, ...] = ()
    spend: Spend | None = None


class PromptsChanged(Input, frozen=True, gc=False):
    """The user edited prompts: `prompts` maps the agents concerned to their new files in the run's folder.

    Requests made after this are rendered from the new files, those made before from the old ones, whenever
    they are answered.
    """

    at_ns: int
    prompts: dict[str, str]


class DeliberationRequested(Output, frozen=True, gc=False, omit_defaults=True):
    """A request to the agents; `snapshot` is the hash of the snapshot that it is about."""

    at_ns: int
    number: int
    kind: DeliberationKind
    symbol: str
    snapshot: str
    venue: VenueId = DEFAULT_VENUE
    account: AccountId = DEFAULT_ACCOUNT
    strategy: StrategyId = DEFAULT_STRATEGY


class GateChanged(Output, frozen=True, gc=False, omit_defaults=True):
    """The new state of a symbol's entry gate; an open gate closes by itself at `valid_until_ns`.

    An open gate admits entries in its `direction`.
    """

    at_ns: int
    symbol: str
    state: Literal["open", "closed", "cooldown", "expired"]
    why: str
    valid_until_ns: int
    venue: VenueId = DEFAULT_VENUE
    account: AccountId = DEFAULT_ACCOUNT
    strategy: StrategyId = DEFAULT_STRATEGY
    direction: Direction = "long"


class ProposalResolved(Output, frozen=True, gc=False, omit_defaults=True):
    """The outcome of the agents' proposal `number`: `code` is `entry`, the exit's code, or the refusal."""

    at_ns: int
    number: int
    symbol: str
    code: str
    venue: VenueId = DEFAULT_VENUE
    account: AccountId = DEFAULT_ACCOUNT
    strategy: StrategyId = DEFAULT_STRATEGY


class CooldownChanged(Output, frozen=True, gc=False, omit_defaults=True):
    """No deliberation about a symbol for this many `quotes`, and `why`; 0 quotes end the cooldown."""

    at_ns: int
    symbol: str
    quotes: int
    why: str
    venue: VenueId = DEFAULT_VENUE
    account: AccountId = DEFAULT_ACCOUNT
    strategy: StrategyId = DEFAULT_STRATEGY
