"""Mends of faults that the simulation once missed or found, each reverted by a patch."""

from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Decimal

import pytest

from autohedge.core.events import AnyOutput, CancelOrder, ExecutionReport, OrderReplaced, Restarted
from autohedge.core.money import ZERO
from autohedge.engine.engine import Engine
from autohedge.engine.trade_actions import TradeActions
from autohedge.execution.applied import Applied
from autohedge.execution.lost_orders import LostOrderIds
from autohedge.execution.manager import ExecutionManager
from autohedge.execution.orders import Order, OrderManager
from autohedge.execution.reconciler import Adopt, Lost
from autohedge.execution.reconciliation import Reconciliation
from autohedge.execution.tracking import OrderTracker
from autohedge.risk.state import ReduceCause

Revert = Callable[[pytest.MonkeyPatch], None]
CANCELS_MAX = 10


def second_exit_forgotten(patch: pytest.MonkeyPatch) -> None:
    """A lane knows one working order per purpose: one that is adopted beside it is forgotten."""

    def add(self: OrderManager, order: Order) -> None:
        self.working[order.id] = order
        orders, lane = self._orders_like(order.intent), order.intent.lane
        if order.command or not orders.get(lane):
            orders[lane] = (order,)
        self._reserve(order)

    patch.setattr(OrderManager, "_add", add)


def cancels_given_up(patch: pytest.MonkeyPatch) -> None:
    """An order whose cancel was not answered ten times is not cancelled any more."""
    original = OrderTracker.query

    def query(self: OrderTracker, order: Order, now_ns: int) -> None:
        emit, cancels = self._emit, self.__dict__.setdefault("cancels", Counter[str]())

        def emit_at_most(event: AnyOutput) -> None:
            cancels[order.id] += isinstance(event, CancelOrder)
            if not isinstance(event, CancelOrder) or cancels[order.id] <= CANCELS_MAX:
                emit(event)

        self._emit = emit_at_most
        try:
            original(self, order, now_ns)
        finally:
            self._emit = emit

    patch.setattr(OrderTracker, "query", query)


def flat_account_not_reconciled(patch: pytest.MonkeyPatch) -> None:
    """No pass is planned while nothing works and nothing is held."""
    original = Reconciliation._pause_ns

    def pause_ns(self: Reconciliation, *, at_stake: bool) -> int | None:
        return original(self, at_stake=at_stake) if at_stake or self._seen or self._moving else None

    patch.setattr(Reconciliation, "_pause_ns", pause_ns)


def replace_answered_by_an_earlier_answer(patch: pytest.MonkeyPatch) -> None:
    """A repeated answer to an earlier replace releases what the pending one reserves."""
    original = OrderManager._on_replaced

    def on_replaced(self: OrderManager, order: Order, answer: OrderReplaced) -> None:
        order.pending_replace = None
        original(self, order, answer)

    patch.setattr(OrderManager, "_on_replaced", on_replaced)


def replace_reserved_after_the_end(patch: pytest.MonkeyPatch) -> None:
    """An order that ends while a replace is pending keeps its money."""
    original = OrderManager._release

    def release(self: OrderManager, order: Order) -> None:
        if not order.working and order.pending_replace:
            self._finish(order)
        else:
            original(self, order)

    patch.setattr(OrderManager, "_release", release)


def exits_not_armed_again(patch: pytest.MonkeyPatch) -> None:
    """After a partial exit the rest of the position has no stop and no target."""
    original = ExecutionManager._set_exit_levels

    def set_exit_levels(self: ExecutionManager, order: Order, now_ns: int) -> None:
        original(self, order, now_ns)
        if order.intent.reduce_only:
            lane = order.intent.lane
            self.instruments[lane].set_exit_levels(float("inf"), float("-inf"), float("inf"))

    patch.setattr(ExecutionManager, "_set_exit_levels", set_exit_levels)


def day_begins_with_restart(patch: pytest.MonkeyPatch) -> None:
    """A restart measures the daily loss from the equity of that moment."""
    original = Engine._on_restarted

    def on_restarted(self: Engine, restarted: Restarted) -> None:
        original(self, restarted)
        self.portfolio.start_day()

    patch.setattr(Engine, "_on_restarted", on_restarted)


def daily_loss_forgotten_at_restart(patch: pytest.MonkeyPatch) -> None:
    """A restart ends the refusal of entries after a daily loss."""
    original = Engine._on_restarted

    def on_restarted(self: Engine, restarted: Restarted) -> None:
        original(self, restarted)
        self.state.clear(ReduceCause.DAILY_LOSS)

    patch.setattr(Engine, "_on_restarted", on_restarted)


def second_exit_beside_a_partial_one(patch: pytest.MonkeyPatch) -> None:
    """An exit that is partly filled does not keep the next one from being sent."""
    original = OrderManager.exits_of

    def exits_of(self: OrderManager, lane: int) -> tuple[Order, ...]:
        return tuple(order for order in original(self, lane) if order.executed == ZERO)

    patch.setattr(OrderManager, "exits_of", exits_of)


def slices_go_on_after_an_exit(patch: pytest.MonkeyPatch) -> None:
    """The rest of a sliced entry is bought although its position was sold."""
    original = TradeActions.exit_now

    def exit_now(self: TradeActions, lane: int, reason: str, now_ns: int) -> None:
        cancel_slices = self._execution.cancel_slices
        self._execution.cancel_slices = lambda _: None  # type: ignore[assignment, method-assign]
        try:
            original(self, lane, reason, now_ns)
        finally:
            self._execution.cancel_slices = cancel_slices  # type: ignore[method-assign]

    patch.setattr(TradeActions, "exit_now", exit_now)


def adopted_entry_rests_for_ever(patch: pytest.MonkeyPatch) -> None:
    """An adopted entry of the run gets no end of its rest, and a halt leaves it alone."""
    original = ExecutionManager._adopt

    def adopt(self: ExecutionManager, finding: Lost | Adopt, now_ns: int) -> Iterator[Applied]:
        yield from original(self, finding, now_ns)
        self._timers.cancel(("cancel", finding.found.order_id))

    patch.setattr(ExecutionManager, "_adopt", adopt)


def only_the_first_nonce_known(patch: pytest.MonkeyPatch) -> None:
    """Orders that were lost in a later crash than the first are taken for somebody else's."""
    original = LostOrderIds.add

    def add(self: LostOrderIds, nonce: str, first_seq: int, rows: int) -> None:
        if not self._added and not len(self._prefixes):
            original(self, nonce, first_seq, rows)

    patch.setattr(LostOrderIds, "add", add)


def smaller_end_counts(patch: pytest.MonkeyPatch) -> None:
    """Of two reported ends the one with fewer fills counts."""
    original = OrderManager._on_end

    def on_end(self: OrderManager, order: Order, report: ExecutionReport) -> None:
        known = order.reported_end[1] if order.reported_end else None
        original(self, order, report)
        if known is not None and order.reported_end:
            order.reported_end = (order.reported_end[0], min(known, report.filled or Decimal(0)))

    patch.setattr(OrderManager, "_on_end", on_end)


REVERTED: tuple[Revert, ...] = (
    second_exit_forgotten,
    cancels_given_up,
    flat_account_not_reconciled,
    replace_answered_by_an_earlier_answer,
    replace_reserved_after_the_end,
    exits_not_armed_again,
    day_begins_with_restart,
    daily_loss_forgotten_at_restart,
    second_exit_beside_a_partial_one,
    slices_go_on_after_an_exit,
    adopted_entry_rests_for_ever,
    only_the_first_nonce_known,
    smaller_end_counts,
)
