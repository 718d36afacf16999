"""Fifteen bugs that others made, planted one at a time: the fault histories must catch each."""

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from autohedge.core.events import (
    Account,
    CancelOrder,
    Decision,
    Deliberate,
    Report,
    Request,
    Throttled,
    Unknown,
)
from autohedge.core.ids import derive
from autohedge.core.money import ZERO
from autohedge.core.orders import OrderState
from autohedge.engine import dealer, proposals
from autohedge.engine.gate import Gates
from autohedge.engine.office import Office
from autohedge.engine.proposals import Proposals
from autohedge.engine.virtual import VirtualRuntime
from autohedge.execution.ledger import Ledger
from autohedge.execution.orders import News, Order, OrderManager
from autohedge.execution.reconciliation import Reconciliation
from autohedge.risk import checks

Plant = Callable[[pytest.MonkeyPatch], None]


def lost_fill_dedup(patch: pytest.MonkeyPatch) -> None:
    """A fill that is told twice is booked twice."""
    original = OrderManager._fill

    def fill(self: OrderManager, order: Order, report: Report) -> News:
        order.trades.pop(report.trade_id or "", None)
        return original(self, order, report)

    patch.setattr(OrderManager, "_fill", fill)


def unknown_treated_as_rejected(patch: pytest.MonkeyPatch) -> None:
    """Silence is taken for a refusal."""

    def unanswered(self: OrderManager, order: Order, answer: Unknown | Throttled) -> None:
        if answer.about == "submit" and order.state is OrderState.SUBMITTED:
            order.state = OrderState.REJECTED

    patch.setattr(OrderManager, "_unanswered", unanswered)


def id_per_attempt(patch: pytest.MonkeyPatch) -> None:
    """What is sent again gets a new id."""

    def resend(self: Office, order_id: str, now_ns: int) -> None:
        order = self.orders.working.get(order_id)
        if order and order.sent and order.state is OrderState.SUBMITTED:
            self._emit(msgspec.structs.replace(order.sent, order_id=derive(order_id, now_ns)))

    patch.setattr(Office, "resend", resend)


def cancel_synthesised(patch: pytest.MonkeyPatch) -> None:
    """An order that was asked back is taken for canceled."""

    def cancel(self: OrderManager, order: Order, reason: str, at_ns: int) -> None:
        self._emit(CancelOrder(at_ns, order.id, reason))
        order.state = OrderState.CANCELED
        self._settle(order)

    patch.setattr(OrderManager, "cancel", cancel)


def exit_resent(patch: pytest.MonkeyPatch) -> None:
    """A second exit goes out while the fate of the first is unknown."""
    original = OrderManager.exit

    def exit_(self: OrderManager, lane: int) -> Order | None:
        order = original(self, lane)
        return None if order and order.state is OrderState.UNKNOWN else order

    patch.setattr(OrderManager, "exit", exit_)


def reservation_dropped(patch: pytest.MonkeyPatch) -> None:
    """An order of unknown fate reserves nothing."""
    original = Order.may_spend

    def may_spend(self: Order) -> Decimal:
        return ZERO if self.state is OrderState.UNKNOWN else original(self)

    patch.setattr(Order, "may_spend", may_spend)


def fills_applied_by_arrival(patch: pytest.MonkeyPatch) -> None:
    """A fill that is older than the last one known is taken for old news."""
    original = OrderManager._fill

    def fill(self: OrderManager, order: Order, report: Report) -> News:
        newest = max((int(trade[1:]) for trade in order.trades), default=0)
        if int((report.trade_id or "t0")[1:]) < newest:
            return News.NONE
        return original(self, order, report)

    patch.setattr(OrderManager, "_fill", fill)


def reconciliation_not_idempotent(patch: pytest.MonkeyPatch) -> None:
    """Each pass takes the same difference over once more."""

    def unexplained(
        self: Reconciliation, account: Account, ledger: Ledger, rests: Callable[[str, int], bool]
    ) -> Iterator[tuple[str, Decimal]]:
        for symbol, quantity in account.positions.items():
            if quantity != ledger.position(symbol).quantity and rests(symbol, account.asked_ns):
                yield symbol, quantity

    patch.setattr(Reconciliation, "unexplained", unexplained)


def crash_point_skipped(patch: pytest.MonkeyPatch) -> None:
    """An order leaves before its line is in the journal."""

    def carry_out(self: Any) -> None:
        while self._engine.log:
            entry = self._engine.log.popleft()
            if isinstance(entry.event, Request):
                self._venue.send(entry.event, self._engine.now_ns)
            elif isinstance(entry.event, Deliberate):
                self._ask(entry.event)
            self._recorder.append(entry)

    patch.setattr(VirtualRuntime, "_carry_out", carry_out)


def stale_book_traded(patch: pytest.MonkeyPatch) -> None:
    """Nobody asks how old the quote is."""
    kept = tuple(check for check in checks.ENTRY_CHECKS if check[1] is not checks._stale)
    patch.setattr(checks, "ENTRY_CHECKS", kept)


def late_verdict_heeded(patch: pytest.MonkeyPatch) -> None:
    """An answer is believed though its deadline has passed."""
    original = Gates.decided

    def decided(self: Gates, decision: Decision, now_ns: int) -> None:
        lane = self._lane_of.get(decision.symbol, -1)
        if lane >= 0 and not self.gates[lane].waits_for:
            self.gates[lane].waits_for = decision.number
        original(self, decision, now_ns)

    patch.setattr(Gates, "decided", decided)


def gate_outlives_verdict(patch: pytest.MonkeyPatch) -> None:
    """A verdict that ends is asked for anew, and the gate stays open meanwhile."""

    def expire(self: Gates, lane: int, now_ns: int) -> None:
        self.gates[lane].ripe = True
        self._try(lane, now_ns)

    patch.setattr(Gates, "_expire", expire)


def late_proposal_heeded(patch: pytest.MonkeyPatch) -> None:
    """A proposal is carried out though its deadline has passed."""
    original = Proposals.decided

    def decided(self: Proposals, decision: Decision, now_ns: int) -> None:
        lane = self._lane_of.get(decision.symbol, -1)
        if lane >= 0 and not self._lanes[lane].waits_for:
            self._lanes[lane].waits_for = decision.number
        original(self, decision, now_ns)

    patch.setattr(Proposals, "decided", decided)


def risk_size_ignored(patch: pytest.MonkeyPatch) -> None:
    """Whatever share of the size Risk leaves, all of it is bought."""
    patch.setattr(dealer, "share_of", lambda notional, _: notional)


def bounds_unchecked(patch: pytest.MonkeyPatch) -> None:
    """A proposal is believed whatever its exits and its limit are."""
    patch.setattr(proposals, "within", lambda proposal, _: 0 < proposal.size_pct <= 100)


PLANTED: tuple[Plant, ...] = (
    lost_fill_dedup,
    unknown_treated_as_rejected,
    id_per_attempt,
    cancel_synthesised,
    exit_resent,
    reservation_dropped,
    fills_applied_by_arrival,
    reconciliation_not_idempotent,
    crash_point_skipped,
    stale_book_traded,
    late_verdict_heeded,
    gate_outlives_verdict,
    late_proposal_heeded,
    risk_size_ignored,
    bounds_unchecked,
)
