"""One planted bug for each invariant that only this invariant notices."""

from decimal import Decimal
from typing import NamedTuple

import numpy as np
import pytest

from autohedge.core.events import AnyInput, OperatorCommand, OrderReplaced, VenueOrderStatus
from autohedge.core.money import add, divide, multiply
from autohedge.core.orders import LEAVE, Intent, OrderState, Side
from autohedge.engine.deliberations.coordinator import DeliberationCoordinator
from autohedge.engine.deliberations.gates import EntryGates
from autohedge.engine.engine import Engine
from autohedge.execution.ledger import Ledger, Position
from autohedge.execution.manager import ExecutionManager
from autohedge.execution.orders import Order, OrderManager
from autohedge.execution.portfolio import Portfolio, PositionChange
from autohedge.execution.stats import RunStats
from autohedge.execution.tracking import OrderTracker
from autohedge.gateway.admission import RequestAdmission
from autohedge.risk import checks
from autohedge.risk.state import ReduceCause, TradingState
from tests.faultsim.mutants.planted_bugs import Plant
from tests.faultsim.mutants.reverted_mends import (
    adopted_entry_rests_for_ever,
    only_the_first_nonce_known,
    slices_go_on_after_an_exit,
)


def reservation_outlives_replace(patch: pytest.MonkeyPatch) -> None:
    """A replaced order keeps the money of its dearest version reserved."""
    original = OrderManager._on_replaced

    def on_replaced(self: OrderManager, order: Order, answer: OrderReplaced) -> None:
        before = (order.intent.worst_price, order.intent.quantity)
        original(self, order, answer)
        order.pending_replace = before

    patch.setattr(OrderManager, "_on_replaced", on_replaced)


def adopted_exit_unknown_to_its_instrument(patch: pytest.MonkeyPatch) -> None:
    """An adopted exit works, but its instrument does not know that one is on its way."""
    original = OrderManager.adopt

    def adopt(self: OrderManager, found: VenueOrderStatus, intent: Intent, at_ns: int) -> Order:
        known = dict(self._exits)
        order = original(self, found, intent, at_ns)
        self._exits.clear()
        self._exits.update(known)
        return order

    patch.setattr(OrderManager, "adopt", adopt)


def exposure_unlimited(patch: pytest.MonkeyPatch) -> None:
    """The exposure over all symbols is not limited."""
    remaining = tuple(check for check in checks.ENTRY_CHECKS if check[1] is not checks._max_exposure)
    patch.setattr(checks, "ENTRY_CHECKS", remaining)


def stop_lost_with_partial_exit(patch: pytest.MonkeyPatch) -> None:
    """What a partial exit leaves has no stop."""
    original = ExecutionManager._set_exit_levels

    def set_exit_levels(self: ExecutionManager, order: Order, now_ns: int) -> None:
        original(self, order, now_ns)
        if order.intent.purpose is LEAVE:
            self.instruments[order.intent.lane].stop_loss = -np.inf

    patch.setattr(ExecutionManager, "_set_exit_levels", set_exit_levels)


def halt_overlooks_unanswered_entries(patch: pytest.MonkeyPatch) -> None:
    """A halt cancels only the entries that the venue has answered."""
    original = ExecutionManager.cancel

    def cancel(self: ExecutionManager, order: Order | None, reason: str, now_ns: int) -> None:
        if order is None or order.state is not OrderState.SUBMITTED or reason != "entries halted":
            original(self, order, reason, now_ns)

    patch.setattr(ExecutionManager, "cancel", cancel)


def partial_exit_realizes_proceeds(patch: pytest.MonkeyPatch) -> None:
    """A partial exit takes only half of its share of the cost, so that it seems to gain."""
    original = Ledger._close

    def close(self: Ledger, position: Position, side: Side, quantity: Decimal, notional: Decimal) -> Decimal:
        size = position.quantity.copy_abs()
        kept = divide(multiply(position.cost, quantity), multiply(size, Decimal(2)))
        realized = original(self, position, side, quantity, notional)
        if quantity < size:
            position.cost, self.realized = add(position.cost, kept), add(self.realized, kept)
            position.realized, realized = add(position.realized, kept), add(realized, kept)
        return realized

    patch.setattr(Ledger, "_close", close)


def second_fill_not_counted(patch: pytest.MonkeyPatch) -> None:
    """The results count one fill for each order."""
    original = RunStats.record_fill

    def record_fill(self: RunStats, order: Order, change: PositionChange) -> None:
        if len(order.trades) == 1:
            original(self, order, change)

    patch.setattr(RunStats, "record_fill", record_fill)


def cooldown_ends_with_halt(patch: pytest.MonkeyPatch) -> None:
    """A halt or a restart ends the cooldown after a refusal."""

    def close(self: EntryGates, lane: int, why: str, now_ns: int) -> None:
        self._timers.cancel(("verdict", lane))
        self._transition(lane, "closed", why, now_ns)

    patch.setattr(EntryGates, "close", close)


def ban_forgotten(patch: pytest.MonkeyPatch) -> None:
    """The gateway sends requests although the venue has asked to wait."""
    patch.setattr(RequestAdmission, "hold_until", lambda *_: None)


def late_event_sets_the_time_back(patch: pytest.MonkeyPatch) -> None:
    """The time of the engine is that of the last event."""
    original = Engine.step

    def step(self: Engine, event: AnyInput) -> None:
        original(self, event)
        self.now_ns = getattr(event, "at_ns", self.now_ns)

    patch.setattr(Engine, "step", step)


def lag_does_not_reduce(patch: pytest.MonkeyPatch) -> None:
    """Entries go on while the event loop lags."""
    original = TradingState.reduce

    def reduce(self: TradingState, cause: ReduceCause) -> bool:
        return cause is not ReduceCause.LAG and original(self, cause)

    patch.setattr(TradingState, "reduce", reduce)


def errors_not_counted(patch: pytest.MonkeyPatch) -> None:
    """Any number of errors is accepted."""
    patch.setattr(ExecutionManager, "count_error", lambda *_: False)


def day_never_starts(patch: pytest.MonkeyPatch) -> None:
    """The daily loss is measured from the start of the run."""
    patch.setattr(Portfolio, "start_day", lambda _: None)


def queries_ignore_bans(patch: pytest.MonkeyPatch) -> None:
    """Orders are queried during a ban."""
    original = OrderTracker.query

    def query(self: OrderTracker, order: Order, now_ns: int) -> None:
        until_ns, self.hold_until_ns = self.hold_until_ns, 0
        original(self, order, now_ns)
        self.hold_until_ns = until_ns

    patch.setattr(OrderTracker, "query", query)


def halt_repeats_no_cancel(patch: pytest.MonkeyPatch) -> None:
    """A halt leaves unanswered cancels to their back-off."""
    patch.setattr(OrderTracker, "repeat_cancels", lambda *_: None)


def lost_questions_forgotten(patch: pytest.MonkeyPatch) -> None:
    """After a restart the numbers of questions continue from the record, which may have lost the last ones."""
    original = DeliberationCoordinator.on_restart
    patch.setattr(DeliberationCoordinator, "on_restart", lambda self, _, now_ns: original(self, 0, now_ns))


def pause_cancels_what_rests(patch: pytest.MonkeyPatch) -> None:
    """A pause cancels resting entries, as a halt does."""
    original = Engine._on_operator

    def on_operator(self: Engine, command: OperatorCommand) -> None:
        original(self, command)
        if command.command == "pause":
            self.execution.cancel_entries("paused", self.now_ns)

    patch.setattr(Engine, "_on_operator", on_operator)


class PlantedBug(NamedTuple):
    """A bug, the number of the invariant that notices it, and a seed in which it does."""

    plant: Plant
    number: int
    seed: int


BUGS = (
    PlantedBug(reservation_outlives_replace, 12, 21),
    PlantedBug(adopted_exit_unknown_to_its_instrument, 13, 0),
    PlantedBug(exposure_unlimited, 14, 0),
    PlantedBug(stop_lost_with_partial_exit, 15, 0),
    PlantedBug(halt_overlooks_unanswered_entries, 16, 28),
    PlantedBug(partial_exit_realizes_proceeds, 17, 0),
    PlantedBug(second_fill_not_counted, 18, 0),
    PlantedBug(ban_forgotten, 19, 13),
    PlantedBug(cooldown_ends_with_halt, 20, 7),
    PlantedBug(slices_go_on_after_an_exit, 21, 1),
    PlantedBug(adopted_entry_rests_for_ever, 22, 60),
    PlantedBug(only_the_first_nonce_known, 23, 9),
    PlantedBug(late_event_sets_the_time_back, 24, 0),
    PlantedBug(lag_does_not_reduce, 25, 0),
    PlantedBug(errors_not_counted, 26, 17),
    PlantedBug(day_never_starts, 27, 1),
    PlantedBug(queries_ignore_bans, 28, 1),
    PlantedBug(halt_repeats_no_cancel, 29, 1),
    PlantedBug(lost_questions_forgotten, 30, 2),
    PlantedBug(pause_cancels_what_rests, 31, 1),
)
