"""Bugs in the direction of positions, planted by a monkeypatch that the simulation must catch."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from autohedge.core.money import ZERO, add, divide, multiply, subtract
from autohedge.core.orders import BUY, SELL, Intent, Side, closable
from autohedge.engine.deliberations.gates import EntryGates
from autohedge.engine.kernel_publisher import KernelPublisher
from autohedge.engine.trade_actions import TradeActions
from autohedge.execution.entry_request import LONG, EntryRequest
from autohedge.execution.instrument_state import InstrumentState
from autohedge.execution.ledger import Ledger
from autohedge.execution.manager import ExecutionManager
from autohedge.execution.orders import Order, OrderManager
from autohedge.execution.portfolio import Portfolio
from autohedge.risk import checks
from tests.faultsim.mutants.planted_bugs import Plant


def exit_known_by_its_side(patch: pytest.MonkeyPatch) -> None:
    """An order that sells is taken for an exit, and one that buys for an entry."""

    def orders_like(self: OrderManager, intent: Intent) -> Any:
        return self._exits if intent.side is SELL else self._entries

    patch.setattr(OrderManager, "_orders_like", orders_like)


def levels_set_by_purchases(patch: pytest.MonkeyPatch) -> None:
    """The purchase that covers a part of a short sets the exit levels, as one that enters does."""
    original = ExecutionManager._set_exit_levels

    def set_exit_levels(self: ExecutionManager, order: Order, now_ns: int) -> None:
        original(self, order, now_ns)
        intent = order.intent
        if intent.side is BUY:
            levels = intent.take_profit, intent.stop_loss, intent.trail_from
            self.instruments[intent.lane].set_exit_levels(*levels)

    patch.setattr(ExecutionManager, "_set_exit_levels", set_exit_levels)


def stop_of_a_short_below(patch: pytest.MonkeyPatch) -> None:
    """The stop of a short is as far below its reference as that of a long."""
    original = InstrumentState.exit_levels

    def exit_levels(
        self: InstrumentState, reference: float, entry: EntryRequest = LONG
    ) -> tuple[float, float, float]:
        take_profit, stop_loss, trail_from = original(self, reference, entry)
        return take_profit, stop_loss if entry.side is BUY else 2 * reference - stop_loss, trail_from

    patch.setattr(InstrumentState, "exit_levels", exit_levels)


def levels_of_a_long_for_a_short(patch: pytest.MonkeyPatch) -> None:
    """Exit levels do not depend on the side of an entry."""
    original = InstrumentState.exit_levels

    def exit_levels(
        self: InstrumentState, reference: float, entry: EntryRequest = LONG
    ) -> tuple[float, float, float]:
        return original(self, reference, replace(entry, side=BUY))

    patch.setattr(InstrumentState, "exit_levels", exit_levels)


def trail_of_a_short_below(patch: pytest.MonkeyPatch) -> None:
    """The trailing stop of a short keeps the same share of the price as that of a long."""
    original = KernelPublisher._publish_lane

    def publish_lane(self: KernelPublisher, lane: int) -> None:
        original(self, lane)
        self._trail_keep[lane] = 1.0 - self._instruments[lane].terms.trail_distance

    patch.setattr(KernelPublisher, "_publish_lane", publish_lane)


def proceeds_of_a_short_paid(patch: pytest.MonkeyPatch) -> None:
    """The sale that opens a short is paid for, as a purchase is."""
    original = Ledger.book_fill

    def book_fill(
        self: Ledger, symbol: str, side: Side, quantity: Decimal, price: Decimal, *fee: Any
    ) -> Decimal:
        opens = side is SELL and self.position(symbol).quantity <= ZERO
        realized = original(self, symbol, side, quantity, price, *fee)
        if opens:
            book = self._book(self.quote_currency(symbol))
            book.cash = subtract(book.cash, multiply(Decimal(2), multiply(quantity, price)))
        return realized

    patch.setattr(Ledger, "book_fill", book_fill)


def fee_of_a_short_refunded(patch: pytest.MonkeyPatch) -> None:
    """The fee of the sale that opens a short is added to the cash."""
    original = Ledger.book_fill

    def book_fill(
        self: Ledger, symbol: str, side: Side, quantity: Decimal, price: Decimal, fee: Decimal, *paid: Any
    ) -> Decimal:
        opens = side is SELL and self.position(symbol).quantity <= ZERO
        return original(self, symbol, side, quantity, price, -fee if opens else fee, *paid)

    patch.setattr(Ledger, "book_fill", book_fill)


def covered_by_longs_alone(patch: pytest.MonkeyPatch) -> None:
    """A covered account counts only its longs: shorts use up none of the equity."""
    original = Portfolio.buying_power

    def buying_power(self: Portfolio, reserved: Decimal) -> Decimal:
        net, gross = self.holdings_value()
        shorts = divide(subtract(gross, net), Decimal(2))
        return add(original(self, reserved), shorts if self.covered else ZERO)

    patch.setattr(Portfolio, "buying_power", buying_power)


def shorts_in_a_cash_account(patch: pytest.MonkeyPatch) -> None:
    """An entry may have any direction."""
    directions = {checks._no_long, checks._no_short}
    remaining = tuple(check for check in checks.ENTRY_CHECKS if check[1] not in directions)
    patch.setattr(checks, "ENTRY_CHECKS", remaining)


def gate_admits_both_directions(patch: pytest.MonkeyPatch) -> None:
    """An open gate admits entries against the direction of its verdict."""
    patch.setattr(EntryGates, "admits", lambda *_: True)


def entry_rests_against_a_proposal(patch: pytest.MonkeyPatch) -> None:
    """A proposal for the other side leaves the entry that rests."""

    def turns(self: TradeActions, lane: int, side: Side, *_: Any) -> bool:
        return closable(self._portfolio.position(lane).quantity, side) > ZERO

    patch.setattr(TradeActions, "turns", turns)


DIRECTION_BUGS: tuple[Plant, ...] = (
    exit_known_by_its_side,
    levels_set_by_purchases,
    stop_of_a_short_below,
    levels_of_a_long_for_a_short,
    trail_of_a_short_below,
    proceeds_of_a_short_paid,
    fee_of_a_short_refunded,
    covered_by_longs_alone,
    shorts_in_a_cash_account,
    gate_admits_both_directions,
    entry_rests_against_a_proposal,
)
