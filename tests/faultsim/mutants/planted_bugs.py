"""Fifteen real-world bugs, planted one at a time: the scenarios must catch each of them."""

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from autohedge.config import Settings, changes_between
from autohedge.core.events import (
    AccountState,
    AnyInput,
    CancelOrder,
    Decision,
    ExecutionReport,
    RequestThrottled,
    RequestUnknown,
    Restarted,
    SettingsChanged,
    TradingCommand,
)
from autohedge.core.ids import client_order_id
from autohedge.core.money import ZERO
from autohedge.core.orders import OrderState
from autohedge.engine.deliberations import proposals
from autohedge.engine.deliberations.gates import EntryGates
from autohedge.engine.deliberations.scheduler import DeliberationScheduler
from autohedge.engine.engine import Engine
from autohedge.execution import entry_request
from autohedge.execution.instrument_state import InstrumentState
from autohedge.execution.ledger import Ledger
from autohedge.execution.manager import ExecutionManager
from autohedge.execution.orders import BookEffect, Order, OrderManager
from autohedge.execution.reconciliation import IsIdle, Reconciliation, Subject
from autohedge.risk import checks
from autohedge.risk.state import ReduceCause
from autohedge.runtime.virtual import VirtualRuntime

Plant = Callable[[pytest.MonkeyPatch], None]


def lost_fill_dedup(patch: pytest.MonkeyPatch) -> None:
    """A fill that is reported twice is booked twice."""
    original = OrderManager._on_fill

    def on_fill(self: OrderManager, order: Order, report: ExecutionReport) -> BookEffect:
        order.trades.pop(report.trade_id or "", None)
        return original(self, order, report)

    patch.setattr(OrderManager, "_on_fill", on_fill)


def unknown_treated_as_rejected(patch: pytest.MonkeyPatch) -> None:
    """A lost answer is treated as a rejection."""

    def on_unknown(self: OrderManager, order: Order, answer: RequestUnknown | RequestThrottled) -> None:
        if answer.about == "submit" and order.state is OrderState.SUBMITTED:
            order.state = OrderState.REJECTED

    patch.setattr(OrderManager, "_on_unknown", on_unknown)


def id_per_attempt(patch: pytest.MonkeyPatch) -> None:
    """A resubmitted order gets a new id."""

    def resubmit(self: ExecutionManager, order_id: str, now_ns: int) -> None:
        order = self.orders.working.get(order_id)
        if order and order.command and order.state is OrderState.SUBMITTED:
            self._emit(msgspec.structs.replace(order.command, order_id=client_order_id(order_id, now_ns)))

    patch.setattr(ExecutionManager, "resubmit", resubmit)


def cancel_synthesised(patch: pytest.MonkeyPatch) -> None:
    """An order is treated as canceled once its cancel is requested."""

    def cancel(self: OrderManager, order: Order, reason: str, at_ns: int) -> None:
        self._emit(CancelOrder(at_ns, order.id, reason))
        order.state = OrderState.CANCELED
        self._release(order)

    patch.setattr(OrderManager, "cancel", cancel)


def exit_resent(patch: pytest.MonkeyPatch) -> None:
    """A second exit is sent while the state of the first is unknown."""
    original = OrderManager.exits_of

    def exits_of(self: OrderManager, lane: int) -> tuple[Order, ...]:
        return tuple(order for order in original(self, lane) if order.state is not OrderState.UNKNOWN)

    patch.setattr(OrderManager, "exits_of", exits_of)


def reservation_dropped(patch: pytest.MonkeyPatch) -> None:
    """An order in an unknown state reserves no money."""
    original = Order.open_notional

    def open_notional(self: Order) -> Decimal:
        return ZERO if self.state is OrderState.UNKNOWN else original(self)

    patch.setattr(Order, "open_notional", open_notional)


def fills_applied_by_arrival(patch: pytest.MonkeyPatch) -> None:
    """A fill that is older than the last known one is ignored."""
    original = OrderManager._on_fill

    def on_fill(self: OrderManager, order: Order, report: ExecutionReport) -> BookEffect:
        newest = max((int(trade[1:]) for trade in order.trades), default=0)
        if int((report.trade_id or "t0")[1:]) < newest:
            return BookEffect.NONE
        return original(self, order, report)

    patch.setattr(OrderManager, "_on_fill", on_fill)


def reconciliation_not_idempotent(patch: pytest.MonkeyPatch) -> None:
    """Each reconciliation pass adopts the same difference again."""

    def confirmed_differences(
        self: Reconciliation, account: AccountState, ledger: Ledger, rests: IsIdle
    ) -> Iterator[tuple[Subject, Decimal]]:
        for symbol, quantity in account.positions.items():
            subject = Subject("position", symbol)
            if quantity != ledger.position(symbol).quantity and rests(subject, account.asked_ns):
                yield subject, quantity

    patch.setattr(Reconciliation, "confirmed_differences", confirmed_differences)


def crash_point_skipped(patch: pytest.MonkeyPatch) -> None:
    """An order is sent before its line is in the journal."""

    def dispatch_log(self: Any) -> None:
        while self._engine.log:
            entry = self._engine.log.popleft()
            if isinstance(entry.event, TradingCommand):
                self._gateway.send(entry.event, self._engine.now_ns)
            self._recorder.append(entry)
        while self._engine.questions:
            self.decisions.request(*self._engine.questions.popleft())

    patch.setattr(VirtualRuntime, "_dispatch_log", dispatch_log)


def stale_book_traded(patch: pytest.MonkeyPatch) -> None:
    """The age of the quote is not checked."""
    remaining = tuple(check for check in checks.ENTRY_CHECKS if check[1] is not checks._stale)
    patch.setattr(checks, "ENTRY_CHECKS", remaining)


def late_verdict_accepted(patch: pytest.MonkeyPatch) -> None:
    """A verdict is accepted after its deadline."""
    _accept_late(patch, "gate")


def _accept_late(patch: pytest.MonkeyPatch, kind: str) -> None:
    original = DeliberationScheduler.match

    def match(self: DeliberationScheduler, decision: Decision) -> int:
        lane = self._lane_of.get(decision.symbol, -1)
        if decision.kind == kind and lane >= 0 and not self.states[lane].pending_id:
            self.states[lane].pending_id = decision.number
        return original(self, decision)

    patch.setattr(DeliberationScheduler, "match", match)


def gate_outlives_verdict(patch: pytest.MonkeyPatch) -> None:
    """The gate stays open after its verdict has expired."""

    def expire(self: EntryGates, lane: int, _: int) -> None:
        self._scheduler.states[lane].due = True

    patch.setattr(EntryGates, "expire", expire)


def late_proposal_accepted(patch: pytest.MonkeyPatch) -> None:
    """A proposal is carried out after its deadline."""
    _accept_late(patch, "trade")


def risk_size_ignored(patch: pytest.MonkeyPatch) -> None:
    """The share of the size that Risk allows is ignored."""
    patch.setattr(entry_request, "scaled", lambda notional, _: notional)


def bounds_unchecked(patch: pytest.MonkeyPatch) -> None:
    """Exits and limit offset of a proposal are not checked against the bounds."""
    patch.setattr(proposals, "within_limits", lambda proposal, _: 0 < proposal.size_pct <= 100)


def request_done_twice(patch: pytest.MonkeyPatch) -> None:
    """A command is carried out again when its request is repeated."""
    patch.setattr(Engine, "was_done", lambda *_: False)


def requests_forgotten_at_restart(patch: pytest.MonkeyPatch) -> None:
    """A command is carried out again when its request is repeated after a restart."""
    original = Engine._on_restarted

    def on_restarted(self: Engine, restarted: Restarted) -> None:
        original(self, restarted)
        self._done_requests.clear()

    patch.setattr(Engine, "_on_restarted", on_restarted)


def pause_ends_with_restart(patch: pytest.MonkeyPatch) -> None:
    """A restart ends a pause."""
    original = Engine._on_restarted

    def on_restarted(self: Engine, restarted: Restarted) -> None:
        original(self, restarted)
        self.state.clear(ReduceCause.PAUSED)

    patch.setattr(Engine, "_on_restarted", on_restarted)


def setting_applied_without_its_input(patch: pytest.MonkeyPatch) -> None:
    """A change of the settings reaches the engine, and is not recorded."""
    original = VirtualRuntime.inject

    def inject(self: VirtualRuntime, event: AnyInput) -> None:
        if isinstance(event, SettingsChanged):
            self._engine.parameters.change(event.changes, event.at_ns)
            self.drain()
        else:
            original(self, event)

    patch.setattr(VirtualRuntime, "inject", inject)


def change_reaches_the_open_position(patch: pytest.MonkeyPatch) -> None:
    """Changed settings of entries hold at once for orders that rest and slices that are left."""
    original = InstrumentState.update

    def update(self: InstrumentState, settings: Settings) -> None:
        original(self, settings)
        self.terms = self.next_terms

    patch.setattr(InstrumentState, "update", update)


def changed_settings_forgotten_at_restart(patch: pytest.MonkeyPatch) -> None:
    """A restart goes on with the settings of the start."""
    original_changed, original_restarted = Engine._on_settings_changed, Engine._on_restarted

    def on_changed(self: Engine, changed: SettingsChanged) -> None:
        self.__dict__.setdefault("first", self.parameters.settings)
        original_changed(self, changed)

    def on_restarted(self: Engine, restarted: Restarted) -> None:
        if first := self.__dict__.get("first"):
            self.parameters.change(changes_between(self.parameters.settings, first), self.now_ns)
        original_restarted(self, restarted)

    patch.setattr(Engine, "_on_settings_changed", on_changed)
    patch.setattr(Engine, "_on_restarted", on_restarted)


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
    late_verdict_accepted,
    gate_outlives_verdict,
    late_proposal_accepted,
    risk_size_ignored,
    bounds_unchecked,
    request_done_twice,
    requests_forgotten_at_restart,
    pause_ends_with_restart,
    setting_applied_without_its_input,
    change_reaches_the_open_position,
    changed_settings_forgotten_at_restart,
)
