"""An engine in llm mode that is fed by hand, and what is read from what it said."""

from decimal import Decimal
from typing import Any

import msgspec

from autohedge.core.events import (
    Deliberate,
    Disposed,
    Event,
    Proposal,
    SubmitOrder,
)
from tests.engine import desk
from tests.engine.desk import SECOND_NS, START_NS
from tests.support import Quotes

COOLDOWN, DEADLINE_S = 3, 30
FLAT = [(START_NS + i * SECOND_NS, 99.9, 100.0) for i in range(400)]
MID, ALL = 99.95, Decimal(10)
TERMS: dict[str, Any] = {
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


class Desk(desk.Desk):
    """One where agents alone propose."""

    def __init__(self, quotes: Quotes = FLAT, **changes: Any) -> None:
        super().__init__(TERMS | changes, quotes)

    def propose(self, question: Deliberate | None = None, **changes: Any) -> list[Event]:
        proposal = msgspec.structs.replace(WHOLE, **changes)
        return self.decide("trade", question, proposal=proposal)

    def bought(self, **changes: Any) -> SubmitOrder:
        """Enter, and be filled."""
        order = the_order(self.propose(**changes))
        self.filled(order)
        return order

    @property
    def disposed(self) -> dict[str, int]:
        counted: dict[str, int] = self.engine.result()["deliberations"]["disposed"]
        return counted


def the_order(said: list[Event]) -> SubmitOrder:
    """The one order in what was said."""
    order: SubmitOrder
    (order,) = of(SubmitOrder, said)
    return order


def of(kind: type, said: list[Event]) -> list[Any]:
    """What was said of one kind."""
    return [event for event in said if isinstance(event, kind)]


def codes(said: list[Event]) -> list[str]:
    """In what the proposals ended."""
    return [event.code for event in of(Disposed, said)]
