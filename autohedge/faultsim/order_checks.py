"""Invariants 12, 13 and 16: what is reserved, known and cancelled of the working orders.

Reserved money is what working orders need, every working order is known to its instrument, and no entry rests
without a cancel request while the account is halted.
"""

from autohedge.config import Settings
from autohedge.core.events import SubmitOrder
from autohedge.core.money import ZERO, add, multiply, subtract
from autohedge.core.orders import BUY
from autohedge.engine.engine import Engine
from autohedge.exchanges.simulated import SimulatedVenue
from autohedge.execution.orders import Order
from autohedge.faultsim.question_checks import InvariantViolation
from autohedge.faultsim.recorded_account import RecordedAccount
from autohedge.faultsim.recorded_funds import RecordedFunds


class OrderChecker:
    """Compares the engine's working orders with those of the record and of the venue.

    Every method raises InvariantViolation.
    """

    def __init__(self, settings: Settings, account: RecordedAccount, venue: SimulatedVenue) -> None:
        self._account, self._funds = account, RecordedFunds(account, settings.account.fee_bps_max)
        self._venue = venue

    def step(self, engine: Engine, *, lines_lost: bool) -> None:
        """Checks the working orders after a step; with `lines_lost` the record may lack requests."""
        self._ended(engine)
        self._reserved(engine)
        if not lines_lost:  # a replace whose line is lost is not known until the venue answers
            self._resting()
        self._known(engine)
        self._halted()

    def on_exit(self, command: SubmitOrder) -> None:
        """Invariant 13: an exit that leaves, and those on their way, close no more than is held."""
        symbol, held, buys = command.symbol, self._account.held[command.symbol], command.side is BUY
        closing = self._account.closing(symbol, buys=buys)
        if closing > (held.copy_negate() if buys else held):
            raise InvariantViolation(
                f"13: exits on their way {command.side} {closing} {symbol}, {held} is held"
            )

    def _ended(self, engine: Engine) -> None:
        """Ends the orders that are proven absent; checks that no other order ended without a report."""
        account = self._account
        for order_id in account.working.keys() - engine.orders.working.keys():
            if order_id not in account.may_be_absent:
                raise InvariantViolation(f"12: order {order_id} has ended, nothing recorded says so")
            account.drop_absent(order_id)
        account.may_be_absent.clear()

    def _reserved(self, engine: Engine) -> None:
        """Invariant 12: what is reserved is what the working entries may still need."""
        needed = ZERO
        for order in self._account.working.values():
            if order.enters:
                needed = add(needed, self._funds.needed(order))
        if engine.orders.reserved != needed:
            raise InvariantViolation(
                f"12: {engine.orders.reserved} is reserved, working orders need {needed}"
            )

    def _resting(self) -> None:
        """Checks that the reservation of a resting entry covers the version that the venue has."""
        for order_id in self._venue.resting:
            order = self._account.working.get(order_id)
            if order is None or not order.enters:
                continue
            live = self._venue.status(order_id)
            left = multiply(subtract(live.quantity, live.filled), live.limit or ZERO)
            # Fills whose reports are under way make the reservation larger than what the venue needs.
            if left > order.open_notional():
                raise InvariantViolation(
                    f"12: {order.open_notional()} is reserved for order {order_id}, the venue may need {left}"
                )

    def _halted(self) -> None:
        """Invariant 16: while halted, every working entry that may rest has a cancel request."""
        account = self._account
        if not account.halted or account.now_ns <= account.quiet_until_ns:
            return
        for order in account.working.values():
            if order.enters and order.may_rest and not order.cancel_requested:
                raise InvariantViolation(
                    f"16: entry {order.order_id} may rest while halted, without a cancel"
                )

    def _known(self, engine: Engine) -> None:
        """Invariant 13: the order manager finds every working order by its instrument."""
        for order in engine.orders.working.values():
            if not any(each is order for each in _listed(engine, order)):
                raise InvariantViolation(
                    f"13: order {order.id} works, {order.intent.symbol} does not know it"
                )


def _listed(engine: Engine, order: Order) -> tuple[Order, ...]:
    """The working orders of an order's instrument and purpose, as the order manager answers them."""
    lane = order.intent.lane
    return engine.orders.exits_of(lane) if order.intent.reduce_only else engine.orders.entries_of(lane)
