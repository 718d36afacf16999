"""The dealer: turns wishes to trade into orders that passed every check.

Entries whole or in parts, new limits for those that rest, and exits; when to wish is the strategy's
and the exits' business, what became of an order the office's.
"""

from collections.abc import Callable
from decimal import Decimal

import msgspec
import numpy as np

from autohedge.config import Settings
from autohedge.core.agenda import Agenda
from autohedge.core.clock import next_midnight_ns
from autohedge.core.events import Proposal
from autohedge.core.money import ZERO, add, multiply, printed, subtract
from autohedge.core.orders import BUY, IOC, LIMIT, MARKET, SELL, Intent, OrderState, TimeInForce
from autohedge.core.reasons import Reason
from autohedge.engine.desk import Desk
from autohedge.engine.office import Office
from autohedge.execution.inquiry import NS_PER_S, Matter
from autohedge.execution.schedule import Slices, Twap
from autohedge.execution.sizing import entry_limit, lowered, quantity_for, share_of
from autohedge.kernels.lane import Lanes, marked
from autohedge.risk import Approved, Book, Limits, check_entry, check_exit
from autohedge.risk.state import Cause

FLATTEN = "flatten"
ENTRY = Reason.ENTRY
ENTERS = ENTRY.label
CARRIED_THROUGH = frozenset({Reason.EXIT_SIGNAL.label, Reason.TIME_STOP.label, FLATTEN})
RESTS = frozenset({OrderState.OPEN, OrderState.PARTIAL})


class Dealer:
    """One account's hand in the market."""

    def __init__(
        self,
        settings: Settings,
        desks: list[Desk],
        lanes: Lanes,
        agenda: Agenda[Matter],
        office: Office,
        new_id: Callable[[], str],
        quote_ns: Callable[[int], int],
    ) -> None:
        self._equity_at_midnight = office.ledger.cash
        self._external_at_midnight = office.ledger.external
        self._desks = desks
        self._lanes = lanes
        self._bid, self._ask = lanes["bid"], lanes["ask"]
        self._agenda = agenda
        self._office = office
        self._held = office.held
        self._new_id = new_id
        self.quote_ns = quote_ns
        self._rate = Limits.of(settings).rate()
        self._time_in_force = TimeInForce(settings.execution.time_in_force)
        self._twap = (settings.execution.twap_slices, round(settings.execution.twap_s * NS_PER_S))
        self._reprice_ns = round(settings.execution.reprice_after_s * NS_PER_S)

    def enter(self, lane: int, quote_ns: int, now_ns: int, proposal: Proposal | None = None) -> Reason:
        """Size, price and check an entry, at most as large and dear as `proposal`; return the code that it ends in."""
        desk = self._desks[lane]
        buying_power = subtract(self._office.ledger.cash, self._office.orders.reserved)
        notional = desk.sizing.notional(buying_power)
        if proposal and notional:
            notional = share_of(notional, proposal.size_pct)
            if notional < desk.sizing.least:
                return Reason.MIN_NOTIONAL
        intent = self._entry_intent(desk, lane, notional, proposal)
        slices = self._sliced(intent, desk, now_ns)
        if slices:
            intent = msgspec.structs.replace(intent, quantity=slices.take(now_ns))
        verdict = check_entry(intent, self._book(lane, quote_ns, buying_power, now_ns), desk.limits)
        if not isinstance(verdict, Approved):
            self._refused(verdict, now_ns)
            short = verdict is Reason.ZERO_QUANTITY and notional is None
            return Reason.BUYING_POWER if short else verdict
        desk.last_entry_ns = now_ns
        desk.leaving, desk.proposal = "", proposal
        self.plan(lane, slices)
        self._submit(verdict, now_ns)
        return ENTRY

    def _refused(self, code: Reason, now_ns: int) -> None:
        """Some refusals hold for a while: the account then reduces until that is over."""
        if code is Reason.ORDER_RATE and self._office.state.reduce(Cause.ORDER_RATE):
            self._agenda.put(("relieve", Cause.ORDER_RATE), self._rate.frees_ns(now_ns))
        elif code is Reason.DAILY_LOSS and self._office.state.reduce(Cause.DAILY_LOSS):
            self._agenda.put(("relieve", Cause.DAILY_LOSS), next_midnight_ns(now_ns - 1))

    def _sliced(self, intent: Intent, desk: Desk, now_ns: int) -> Twap | None:
        """How an entry is cut into parts; None if it goes out whole."""
        parts, over_ns = self._twap
        if parts == 1 or not intent.quantity:
            return None
        return Twap.of(intent.quantity, parts, over_ns, desk.instrument.lot, now_ns)

    def plan(self, lane: int, slices: Slices | None) -> None:
        """Put the next part of an entry on the agenda."""
        desk = self._desks[lane]
        if slices is desk.slices is None:
            return
        desk.slices = slices
        if slices and slices.next_ns is not None:
            self._agenda.put(("slice", lane), slices.next_ns)
        else:
            self._agenda.drop(("slice", lane))

    def next_slice(self, lane: int, now_ns: int) -> None:
        """Send the next part of an entry, at today's price, through all checks."""
        desk = self._desks[lane]
        if desk.slices is None or desk.leaving or self._office.orders.exit(lane):
            self.plan(lane, None)
        elif self._office.orders.entry(lane):
            self._agenda.put(("slice", lane), now_ns + desk.slices.every_ns)
        else:
            intent = self._entry_intent(desk, lane, None, desk.proposal)
            intent = msgspec.structs.replace(intent, quantity=desk.slices.take(now_ns))
            buying_power = subtract(self._office.ledger.cash, self._office.orders.reserved)
            verdict = check_entry(
                intent, self._book(lane, self.quote_ns(lane), buying_power, now_ns), desk.limits
            )
            self.plan(lane, desk.slices)
            if isinstance(verdict, Approved):
                self._submit(verdict, now_ns)
            else:
                self._office.tally.slice_refusals[verdict.label] += 1

    def _entry_intent(
        self, desk: Desk, lane: int, notional: Decimal | None, proposal: Proposal | None
    ) -> Intent:
        """An entry at today's prices; a lower limit that the agents ask for does not make it larger."""
        bid, ask = float(self._bid[lane]), float(self._ask[lane])
        take_profit, stop_loss, trail_from = desk.guards((bid + ask) / 2.0, proposal)
        most = entry_limit(bid, ask, desk.aggression_bps, desk.instrument)
        quantity = quantity_for(notional, most, desk.instrument.lot) if notional and most else ZERO
        limit, time_in_force = most, self._time_in_force
        if proposal:
            limit = lowered(most, proposal.offset_bps, bid, desk.instrument)
            time_in_force = TimeInForce(proposal.time_in_force)
        return Intent(
            lane=lane,
            symbol=desk.instrument.symbol,
            side=BUY,
            order_type=LIMIT,
            time_in_force=time_in_force,
            quantity=quantity,
            price=limit,
            limit=limit,
            reason=ENTERS,
            take_profit=take_profit,
            stop_loss=stop_loss,
            trail_from=trail_from,
        )

    def leave(self, lane: int, reason: str, now_ns: int) -> None:
        """Sell the whole position; a refusal is counted apart and the row keeps its code."""
        desk = self._desks[lane]
        desk.leaving = reason if reason in CARRIED_THROUGH else ""
        self.plan(lane, None)
        held = self._office.ledger.position(desk.instrument.symbol).quantity
        bid = self.mark(lane)
        intent = Intent(
            lane=lane,
            symbol=desk.instrument.symbol,
            side=SELL,
            order_type=MARKET,
            time_in_force=IOC,
            quantity=held,
            price=bid,
            limit=None,
            reason=reason,
            take_profit=np.inf,
            stop_loss=-np.inf,
        )
        verdict = check_exit(intent, held, duplicate=self._office.orders.exit(lane) is not None)
        if isinstance(verdict, Approved) and multiply(held, bid) < desk.instrument.min_notional:
            desk.dust, desk.leaving = True, ""
            verdict = Reason.DUST
        if not isinstance(verdict, Approved):
            self._office.tally.refuse_exit(verdict)
            return
        self._office.cancel(self._office.orders.entry(lane), "the position is being closed", now_ns)
        self._submit(verdict, now_ns)

    def _book(self, lane: int, quote_ns: int, buying_power: Decimal, now_ns: int) -> Book:
        """What the checks may know at this moment."""
        desk = self._desks[lane]
        bid, ask = float(self._bid[lane]), float(self._ask[lane])
        net, gross = self.holdings()
        held_here = printed(abs(self._held[lane]) * bid) if self._held[lane] else ZERO
        return Book(
            now_ns=now_ns,
            quote_ns=quote_ns,
            mid=printed((bid + ask) / 2.0),
            halted=self._office.state.halted,
            buying_power=buying_power,
            position_notional=add(held_here, self._office.orders.reserved_in(lane)),
            exposure=add(gross, self._office.orders.reserved),
            equity=add(self._office.ledger.cash, net),
            equity_at_midnight=self._day_began_with(),
            last_entry_ns=desk.last_entry_ns,
            last_exit_ns=desk.last_exit_ns,
            duplicate=self._office.orders.exit(lane) is not None,
            rate=self._rate,
            reducing=bool(self._office.state.causes),
        )

    def _submit(self, approved: Approved, now_ns: int) -> None:
        self._rate.take(now_ns)
        self._office.submit(approved, self._new_id(), now_ns)

    def reprice(self, order_id: str, now_ns: int) -> None:
        """Give a resting entry today's limit, if the checks would let it in at that."""
        order = self._office.orders.working.get(order_id)
        if order is None or order.intent.side is SELL or order.asked_back:
            return
        self._agenda.put(("reprice", order_id), now_ns + self._reprice_ns)
        lane, desk = order.intent.lane, self._desks[order.intent.lane]
        limit = self._entry_intent(desk, lane, None, desk.proposal).price
        if order.state not in RESTS or limit == order.intent.limit:
            return
        wish = msgspec.structs.replace(order.intent, quantity=order.remaining, price=limit, limit=limit)
        buying_power = add(subtract(self._office.ledger.cash, self._office.orders.reserved), order.reserved)
        book = self._book(lane, self.quote_ns(lane), buying_power, now_ns)
        book = msgspec.structs.replace(
            book,
            position_notional=subtract(book.position_notional, order.reserved),
            exposure=subtract(book.exposure, order.reserved),
            last_entry_ns=None,
        )
        if isinstance(check_entry(wish, book, desk.limits), Approved):
            self._rate.take(now_ns)
            self._office.replace(order, limit, now_ns)

    def spread_bps(self, lane: int) -> float:
        """A lane's last valid spread; infinite before the first."""
        bid, ask = float(self._bid[lane]), float(self._ask[lane])
        return (ask - bid) / ((bid + ask) / 2.0) * 10_000.0 if bid > 0.0 else np.inf

    def mark(self, lane: int) -> Decimal:
        """A lane's last valid bid; zero before the first."""
        bid = float(self._bid[lane])
        return printed(bid) if bid > 0.0 else ZERO

    def equity(self) -> Decimal:
        """Cash and holdings at the last bids, for limits."""
        return add(self._office.ledger.cash, self.holdings()[0])

    def midnight(self) -> None:
        """A new day begins: its loss is measured from here."""
        self._equity_at_midnight = self.equity()
        self._external_at_midnight = self._office.ledger.external

    def _day_began_with(self) -> Decimal:
        """Equity at midnight, with what was put in or taken out since: neither is gain or loss."""
        external = self._office.ledger.external
        if external == self._external_at_midnight:
            return self._equity_at_midnight
        return add(self._equity_at_midnight, subtract(external, self._external_at_midnight))

    def holdings(self) -> tuple[Decimal, Decimal]:
        """Worth of all positions at the last bids, shorts as debts and as exposure, for limits: not the books."""
        if not self._office.holding:
            return ZERO, ZERO
        net, gross = marked(self._lanes, self._held)
        worth = printed(net)
        return worth, worth if gross == net else printed(gross)
