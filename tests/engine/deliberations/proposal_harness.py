"""A harness for an engine in llm mode, and helpers that select from its outputs."""

from decimal import Decimal
from typing import Any

import msgspec

from autohedge.core.events import (
    DeliberationRequested,
    Event,
    Proposal,
    ProposalResolved,
    SubmitOrder,
)
from autohedge.core.results import DeliberationFigures
from autohedge.core.units import NS_PER_S
from tests.engine import harness
from tests.engine.harness import START_NS
from tests.run_harness import Quotes

COOLDOWN, DEADLINE_S = 3, 30
FLAT = [(START_NS + i * NS_PER_S, 99.9, 100.0) for i in range(400)]
MID, ALL = 99.95, Decimal(10)
OVERRIDES: dict[str, Any] = {
    "trading__mode": "llm",
    "llm__min_interval_s": 0,
    "llm__no_trade_cooldown_quotes": COOLDOWN,
    "hybrid__deadline_s": DEADLINE_S,
    "hybrid__learn_every_trades": 0,
    "momentum__warmup_count": 0,
    "sizing__target_balance_pct": 10,
    "sizing__max_order_amount": 1_000,
    "execution__cancel_after_s": 300,
    "instruments__X__lot": 0.1,
}
WHOLE = Proposal(size_pct=100, take_profit_bps=150, stop_loss_bps=50, offset_bps=0, time_in_force="ioc")


class ProposalHarness(harness.EngineHarness):
    """An engine in llm mode, in which agents propose entries."""

    def __init__(self, quotes: Quotes = FLAT, **changes: Any) -> None:
        super().__init__(OVERRIDES | changes, quotes)

    def propose(self, question: DeliberationRequested | None = None, **changes: Any) -> list[Event]:
        proposal = msgspec.structs.replace(WHOLE, **changes)
        return self.decide("trade", question, proposal=proposal)

    def buy(self, **changes: Any) -> SubmitOrder:
        """Proposes an entry and fills its order."""
        order = only_order(self.propose(**changes))
        self.fill(order)
        return order

    @property
    def resolutions(self) -> dict[str, int]:
        return self.figures.proposals or {}

    @property
    def figures(self) -> DeliberationFigures:
        assert self.engine.deliberations
        return self.engine.deliberations.result()


def only_order(events: list[Event]) -> SubmitOrder:
    """The only order among the outputs."""
    order: SubmitOrder
    (order,) = events_of(SubmitOrder, events)
    return order


def events_of(kind: type, events: list[Event]) -> list[Any]:
    """The outputs of one type."""
    return [event for event in events if isinstance(event, kind)]


def resolution_codes(events: list[Event]) -> list[str]:
    """The codes in which proposals ended."""
    return [event.code for event in events_of(ProposalResolved, events)]
