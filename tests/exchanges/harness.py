"""A simulated venue on a few quotes, driven by hand."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np

from autohedge.core.accounts import OpeningAccount
from autohedge.core.clock import NEVER
from autohedge.core.events import ExecutionReport, SubmitOrder, VenueEvent
from autohedge.core.orders import OrderType, Purpose, Side, TimeInForce
from autohedge.exchanges.simulated import FaultScript, SimulatedVenue, VenueModel, no_faults
from autohedge.market import Rows

MS = 1_000_000
NAN = float("nan")
INSTANT = VenueModel(
    Decimal(10), Decimal(10), 0, 0, 0, partial_fills=False, account=OpeningAccount(Decimal(10_000))
)
Book = tuple[int, float, float]


def rows_of(books: Sequence[Book], sizes: Sequence[float] | None = None) -> Rows:
    """Rows from (ts in ms, bid, ask), with the same size on both sides."""
    ts, bid, ask = zip(*books, strict=True)
    shown = None if sizes is None else np.array(sizes, dtype=np.float64)
    return Rows.of(np.array(ts) * MS, np.array(bid), np.array(ask), sizes=(shown, shown))


@dataclass
class VenueHarness:
    """A venue and its tape, advanced row by row."""

    venue: SimulatedVenue
    rows: Rows

    @property
    def next_touch(self) -> int | None:
        """The first row that fills a resting order."""
        touch = self.venue.first_touch(len(self.rows))
        return touch if touch < len(self.rows) else None

    def advance_to(self, row: int) -> None:
        """Advances through `row` and fills resting orders where rows touch them."""
        while (touch := self.venue.first_touch(row + 1)) <= row:
            self.venue.on_position(touch + 1)
            self.venue.fill_resting(touch)
        self.venue.on_position(row + 1)

    def drain(self) -> list[VenueEvent]:
        """All answers that have arrived."""
        answers = []
        while (answer := self.venue.poll()) is not None:
            answers.append(answer)
        return answers

    def drain_all(self) -> list[VenueEvent]:
        """All answers, including those in transit."""
        while self.venue.next_due_ns < NEVER:
            self.venue.advance()
        return self.drain()


def venue_harness(
    books: Sequence[Book],
    sizes: Sequence[float] | None = None,
    *,
    lot: str = "0.000001",
    nonce: str = "",
    faults: FaultScript = no_faults,
    **model_changes: Any,
) -> VenueHarness:
    """A venue positioned after the first row."""
    rows = rows_of(books, sizes)
    venue = SimulatedVenue(
        replace(INSTANT, **model_changes), {"X": Decimal(lot)}, rows, nonce=nonce, faults=faults
    )
    made = VenueHarness(venue, rows)
    made.advance_to(0)
    return made


def order(**changes: Any) -> SubmitOrder:
    """A buy of one unit, limit 101, immediate or cancel."""
    plain = SubmitOrder(
        at_ns=0,
        order_id="a",
        symbol="X",
        side=Side.BUY,
        purpose=Purpose.ENTER,
        order_type=OrderType.LIMIT,
        time_in_force=TimeInForce.IOC,
        limit=Decimal(101),
        quantity=Decimal(1),
        reason="entry",
        take_profit=None,
        stop_loss=None,
    )
    return msgspec.structs.replace(plain, **changes)


def market_sell(**changes: Any) -> SubmitOrder:
    """A market sell of one unit."""
    return order(
        **(
            {"side": Side.SELL, "purpose": Purpose.LEAVE, "order_type": OrderType.MARKET, "limit": None}
            | changes
        )
    )


def resting(**changes: Any) -> SubmitOrder:
    """The same buy, good till cancelled."""
    return order(**({"time_in_force": TimeInForce.GTC} | changes))


def fills(answers: Sequence[VenueEvent]) -> list[tuple[str, str]]:
    """Quantity and price of each fill."""
    reports = [a for a in answers if isinstance(a, ExecutionReport) and a.kind == "fill"]
    return [(str(report.quantity), str(report.price)) for report in reports]


def kinds(answers: Sequence[VenueEvent]) -> list[str]:
    """The kind of each answer: its report kind or its event tag."""
    return [a.kind if isinstance(a, ExecutionReport) else str(a.__struct_config__.tag) for a in answers]
