"""Fault injection for a simulated venue: faults in requests, in answers, and at the venue itself.

`FaultInjector` stands between the runtime and a `MutableVenue` in virtual time, in the place of the gateway and
of the connection. A `FaultSchedule` says which fault happens when. Answers that a dead process had not received
are lost.
"""

import heapq
from collections import deque
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Literal

import msgspec

from autohedge.core.clock import NEVER
from autohedge.core.events import (
    AnyTradingCommand,
    CancelOrder,
    ChangeRejected,
    ConnectionStatus,
    ExecutionReport,
    OrderAccepted,
    OrderNotFound,
    OrderRejected,
    QueryFills,
    QueryOrder,
    SubmitOrder,
    VenueEvent,
)
from autohedge.core.money import ZERO, bps_of, floor_to, multiply, subtract, to_decimal
from autohedge.core.orders import BUY
from autohedge.core.units import NS_PER_S
from autohedge.exchanges.faults import VenueFault
from autohedge.exchanges.simulated import SimulatedVenue
from autohedge.faultsim.strikes import FaultSchedule, Strike
from autohedge.gateway.admission import RequestAdmission
from autohedge.gateway.outcomes import throttled, unknown

F = VenueFault
ON_THE_WAY_THERE = (
    F.TIMEOUT_LOST,
    F.TIMEOUT_ACCEPTED,
    F.ERROR,
    F.THROTTLE,
    F.BAN,
    F.DUPLICATE,
    F.DELAY,
    F.GARBLED,
)
ON_THE_WAY_BACK = (F.DROP, F.DUPLICATE, F.REORDER, F.DELAY)
SPONTANEOUS = (F.DISCONNECT, F.MAINTENANCE, F.EXTERNAL, F.TRANSFER)
DEADLINE_NS = 2 * NS_PER_S  # the gateway's deadline for a request
FORGETS_NS = 4 * NS_PER_S  # how long the venue may not show a new order: less than the visibility lag


class MutableVenue(SimulatedVenue):
    """A simulated venue whose orders and trades can be changed from outside, as faults do."""

    def late_reject(self, order_id: str, now_ns: int) -> bool:
        """Rejects an order that was accepted; returns whether it still rested."""
        if self._resting.pop(order_id, None) is None:
            return False
        self._known[order_id].status = "rejected"
        self._record_and_deliver(OrderRejected(now_ns, order_id, "rejected after all"), at_once=True)
        return True

    def partial_fill(self, order_id: str, now_ns: int) -> bool:
        """Fills half of a resting order at its limit; returns whether that was possible."""
        rest = self._resting.get(order_id)
        if rest is None:
            return False
        part = floor_to(multiply(rest.remaining, Decimal("0.5")), self._lots[rest.order.symbol])
        if part <= ZERO or part >= rest.remaining:
            return False
        rest.remaining = subtract(rest.remaining, part)
        self._fill(rest.order, part, rest.order.limit or ZERO, now_ns, at_once=True)
        return True

    def bust(self, order_id: str, now_ns: int) -> bool:
        """Busts the last fill of an order; returns whether there was one to bust."""
        fills = self.fills(order_id)
        busted = {report.trade_id for report in self._busts(order_id)}
        if not fills or fills[-1].trade_id in busted:
            return False
        fill, order = fills[-1], self._known[order_id].order
        quantity = fill.quantity or ZERO
        signed = quantity if order.side is not BUY else quantity.copy_negate()
        self.account.move(order.symbol, signed, fill.price or ZERO)
        self.account.refund_fee(order.symbol, fill.fee or ZERO, fill.fee_currency)
        self._record_and_deliver(
            ExecutionReport(now_ns, order_id, "bust", now_ns, fill.trade_id), at_once=True
        )
        return True

    def _busts(self, order_id: str) -> list[ExecutionReport]:
        events = self._known[order_id].events
        return [answer for answer in events if isinstance(answer, ExecutionReport) and answer.kind == "bust"]

    def overfill(self, order_id: str, now_ns: int) -> bool:
        """Fills one more lot of a filled order; returns whether it was filled."""
        known = self._known[order_id]
        fills = self.fills(order_id)
        if known.status != "filled" or not fills:
            return False
        self._fill(known.order, self._lots[known.order.symbol], fills[-1].price or ZERO, now_ns, at_once=True)
        return True

    def is_partly_filled(self, order_id: str) -> bool:
        """Whether an order has filled in part."""
        known = self._known[order_id]
        return ZERO < known.filled < known.order.quantity

    def late_fill(self, order_id: str, now_ns: int) -> bool:
        """Fills half of what an ended order left, and reports its end again; returns whether it was filled."""
        known = self._known[order_id]
        order = known.order
        left = multiply(subtract(order.quantity, known.filled), Decimal("0.5"))
        part = floor_to(left, self._lots[order.symbol])
        price = order.limit or self._last_bid(order.symbol)
        if part <= ZERO or known.status not in {"canceled", "expired"}:
            return False
        kind = known.status
        self._fill(order, part, price, now_ns, at_once=True)
        self._finish(order_id, kind, now_ns, at_once=True)
        return True

    def external_trade(self, symbol: str, quantity: Decimal) -> None:
        """Buys or sells at the last bid on the account, without an order of the run."""
        price = self._last_bid(symbol)
        self.account.move(symbol, quantity, price)
        fee = bps_of(multiply(quantity.copy_abs(), price), self._model.taker_bps)
        self.account.pay_fee(symbol, fee)

    def _last_bid(self, symbol: str) -> Decimal:
        found = self._last_quote(self._lanes[symbol])
        return to_decimal(found[0].bid.item(found[1]) if found else 0.0)

    def transfer(self, amount: Decimal, currency: str) -> None:
        """Deposits money, or withdraws it."""
        self.account.deposit(amount, currency)


class FaultInjector:
    """Carries messages to a venue and back, and lets the faults of a schedule happen in both directions."""

    def __init__(self, venue: MutableVenue, schedule: FaultSchedule) -> None:
        self.venue = venue
        self.admission = RequestAdmission()
        self.sent: list[AnyTradingCommand] = []
        self.order_ids: set[str] = set()
        self.attended = True
        self._schedule = schedule
        self._count = 0
        self._due: list[tuple[int, int, VenueEvent | Callable[[int], None]]] = []
        self._arrived: deque[VenueEvent] = deque()
        self._down = ""
        self._placed_ns: dict[str, int] = {}
        self._undone: set[str] = set()
        self._late_fills: dict[str, Strike] = {}
        self._muted: set[str] = set()
        self._loses_cancels_until_ns = self._loses_queries_until_ns = 0
        skew = schedule.take(F.SKEW, NEVER)
        self.skew_ns = int(skew.between(-2, 2) * NS_PER_S) if skew else 0

    # gateway and clock of `VirtualRuntime`

    @property
    def next_due_ns(self) -> int:
        """When the next message arrives at either end, or the next fault takes effect."""
        due_ns = self._due[0][0] if self._due else NEVER
        return min(self.venue.next_due_ns, due_ns, self._spontaneous_ns)

    def first_touch(self, stop: int) -> int:
        """Returns the first row before `stop` that fills a resting order, else `stop`."""
        return self.venue.first_touch(stop)

    def on_position(self, pos: int) -> None:
        """Makes the rows before `pos` known to the venue."""
        self.venue.on_position(pos)

    def fill_resting(self, row: int) -> None:
        """Fills the resting orders that this row touches."""
        self.venue.fill_resting(row)
        self._collect()

    def advance(self) -> None:
        """Delivers the earliest message, or lets the earliest fault take effect."""
        due_ns = self._due[0][0] if self._due else NEVER
        if self._spontaneous_ns < min(due_ns, self.venue.next_due_ns):
            self._spontaneous_faults(self._spontaneous_ns)
        elif self.venue.next_due_ns <= due_ns:
            self.venue.advance()
        else:
            _, _, what = heapq.heappop(self._due)
            if callable(what):
                what(due_ns)
            elif not self._down or isinstance(what, ConnectionStatus):
                self._arrived.append(_restamped(what, due_ns))
        self._collect()

    def poll(self) -> VenueEvent | None:
        """The next answer that has arrived, or None."""
        return self._arrived.popleft() if self._arrived else None

    @property
    def _spontaneous(self) -> tuple[VenueFault, ...]:
        """The faults that may happen now: without a trader there is no connection to lose."""
        return SPONTANEOUS if self.attended else (F.EXTERNAL, F.TRANSFER)

    @property
    def _spontaneous_ns(self) -> int:
        # Right after its time: a command of the same moment meets it first.
        return min(self._schedule.next_of(self._spontaneous) + 1, NEVER)

    def disconnect_trader(self) -> None:
        """Drops the answers in transit, as when the trader's process dies; its requests still arrive."""
        self._arrived.clear()
        self._drop_answers()
        self._down = ""
        self.admission = RequestAdmission()

    def send(self, command: AnyTradingCommand, now_ns: int) -> None:
        """Carries a command to the venue, unless the gateway holds it back or a fault prevents it."""
        self._spontaneous_faults(now_ns)
        if (instead := self.admission.answer_locally(command, now_ns)) is not None:
            self._arrived.extend(instead)
            return
        self.sent.append(command)
        if isinstance(command, SubmitOrder):
            self.order_ids.add(command.order_id)
        if isinstance(command, CancelOrder) and self._loses_cancel(now_ns):
            return
        if isinstance(command, QueryOrder) and now_ns < self._loses_queries_until_ns:
            return
        if isinstance(command, CancelOrder) and (race := self._schedule.due(F.CANCEL_RACE, now_ns)):
            self._count_if(race, happened=self.venue.partial_fill(command.order_id, now_ns))
        if strike := self._first_of(ON_THE_WAY_THERE, now_ns):
            self._inject(strike, command, now_ns)
        else:
            self._forward(command, now_ns)
        self._collect()

    def end_faults(self) -> None:
        """Ends the faults that last."""
        self._loses_cancels_until_ns = self._loses_queries_until_ns = 0

    def lose_queries(self, until_ns: int) -> None:
        """Lets no query of a single order be answered until a time."""
        self._loses_queries_until_ns = until_ns

    # faults of commands

    def _loses_cancel(self, now_ns: int) -> bool:
        """Whether a cancel gets lost without an answer, as all do for a while after the first."""
        if strike := self._schedule.take(F.CANCELS_LOST, now_ns):
            self._loses_cancels_until_ns = now_ns + _ns(strike, 20, 120)
        return now_ns < self._loses_cancels_until_ns

    def _inject(self, strike: Strike, command: AnyTradingCommand, now_ns: int) -> None:
        match strike.fault:
            case F.THROTTLE:
                self._refuse(command, now_ns, strike.between(1, 3))
            case F.BAN:
                self._refuse(command, now_ns, strike.between(5, 20))
            case F.TIMEOUT_ACCEPTED:
                self._forward(command, now_ns, deaf=True)
                self._lose(command, now_ns + DEADLINE_NS, "timeout")
            case F.TIMEOUT_LOST:
                self._lose(command, now_ns + DEADLINE_NS, "timeout")
            case F.ERROR:  # a 5xx does not say whether the request took effect
                if strike.between(0, 1) < 0.5:
                    self._forward(command, now_ns, deaf=True)
                self._lose(command, now_ns, "503")
            case F.GARBLED:  # it took effect, and nobody can read what came back
                self._forward(command, now_ns, deaf=True)
                self._lose(command, now_ns, "the answer is not understood")
            case F.DUPLICATE:
                self._forward(command, now_ns)
                self._forward(command, now_ns)
            case _:
                self._at(now_ns + _ns(strike, 0.01, 1.5), lambda due_ns: self._forward(command, due_ns))

    def _refuse(self, command: AnyTradingCommand, now_ns: int, wait_s: float) -> None:
        """Answers 429 or 418 instead of acting; the gateway then sends nothing until the time that it names."""
        until_ns = now_ns + int(wait_s * NS_PER_S)
        self.admission.hold_until(until_ns)
        for answer in throttled(command, now_ns, until_ns):
            self._at(now_ns, answer)

    def _lose(self, command: AnyTradingCommand, at_ns: int, cause: str) -> None:
        for answer in unknown(command, cause, at_ns):
            self._at(at_ns, answer)

    def _forward(self, command: AnyTradingCommand, now_ns: int, *, deaf: bool = False) -> None:
        """Delivers a command to the venue; with `deaf`, its acceptance does not come back."""
        if isinstance(command, QueryFills):  # the engine asks in its time, the venue's clock is skewed
            command = msgspec.structs.replace(command, since_ns=max(command.since_ns - self.skew_ns, 0))
        if isinstance(command, SubmitOrder):
            self._placed_ns.setdefault(command.order_id, now_ns)
        if isinstance(command, QueryOrder) and self._hides_order(command.order_id, now_ns):
            self._return(OrderNotFound(now_ns, command.order_id, command.at_ns), now_ns)
            return
        if isinstance(command, CancelOrder) and self._schedule.take(F.CANCEL_NOT_FOUND, now_ns):
            self._return(ChangeRejected(now_ns, command.order_id, "order not found"), now_ns)
            return
        self.venue.send(command, now_ns)
        self._collect(deaf=deaf)

    def _hides_order(self, order_id: str, now_ns: int) -> bool:
        """Whether the venue does not show a new order yet."""
        young = now_ns - self._placed_ns.get(order_id, -NEVER) < FORGETS_NS
        return young and self._schedule.take(F.FORGET, now_ns) is not None

    # faults of answers

    def _collect(self, *, deaf: bool = False) -> None:
        while (answer := self.venue.poll()) is not None:
            if isinstance(answer, ExecutionReport):
                answer = msgspec.structs.replace(answer, ts_ns=answer.ts_ns + self.skew_ns)
            if self._withholds(answer):
                continue
            self._schedule_undo(answer)
            if not (deaf and isinstance(answer, OrderAccepted)):
                self._return(answer, answer.at_ns)

    def _withholds(self, answer: VenueEvent) -> bool:
        """Whether a report is late or lost around a fill that comes after the end of its order.

        The report of the partial fill before the end is late, that of the fill after it gets lost.
        """
        if not isinstance(answer, ExecutionReport) or answer.kind == "bust":
            return False
        order_id, strike = answer.order_id, self._late_fills.get(answer.order_id)
        if answer.kind == "fill":
            if strike is None and order_id not in self._undone and self.venue.is_partly_filled(order_id):
                strike = self._schedule.due(F.LATE_FILL, answer.at_ns)
            if strike:
                self._late_fills[order_id] = strike
                self._at(answer.at_ns + _ns(strike, 0.5, 1.5), answer)
            return strike is not None or order_id in self._muted
        self._muted.discard(order_id)
        if strike:
            self._undone.add(order_id)
            del self._late_fills[order_id]
            due_ns = answer.at_ns + _ns(strike, 0.01, 0.4)
            self._at(due_ns, partial(self._fill_late, order_id, strike))
        return False

    def _fill_late(self, order_id: str, strike: Strike, now_ns: int) -> None:
        self._muted.add(order_id)
        self._count_if(strike, happened=self.venue.late_fill(order_id, now_ns))

    def _return(self, answer: VenueEvent, now_ns: int) -> None:
        if self._down:
            return
        strike = self._first_of(ON_THE_WAY_BACK, now_ns)
        match strike and strike.fault:
            case None:
                self._arrived.append(answer)
            case F.DUPLICATE if strike:
                self._arrived.append(answer)
                self._at(now_ns + _ns(strike, 0, 5), answer)
            case F.REORDER if strike:
                self._at(now_ns + _ns(strike, 0.001, 0.1), answer)
            case F.DELAY if strike:
                self._at(now_ns + _ns(strike, 0.1, 3), answer)

    def _schedule_undo(self, answer: VenueEvent) -> None:
        """Schedules a late reject, a bust or an overfill for an answer, at most one per order."""
        undo: dict[VenueFault, Callable[[str, int], bool]] = {}
        if isinstance(answer, OrderAccepted):
            undo = {F.LATE_REJECT: self.venue.late_reject}
        elif isinstance(answer, ExecutionReport) and answer.kind == "fill":
            undo = {F.BUST: self.venue.bust, F.OVERFILL: self.venue.overfill}
        if not undo or not isinstance(answer, OrderAccepted | ExecutionReport):
            return
        order_id = answer.order_id
        if order_id in self._undone:
            return
        for fault, do in undo.items():
            if strike := self._schedule.due(fault, answer.at_ns):
                self._undone.add(order_id)
                self._at(answer.at_ns + _ns(strike, 0.01, 2), partial(self._undo, strike, do, order_id))
                return

    def _undo(self, strike: Strike, do: Callable[[str, int], bool], order_id: str, now_ns: int) -> None:
        self._count_if(strike, happened=do(order_id, now_ns))

    # faults without a message

    def _spontaneous_faults(self, now_ns: int) -> None:
        for fault in self._spontaneous:
            if not (strike := self._schedule.due(fault, now_ns)) or self._down:
                continue
            self._count_if(strike, happened=True)
            if fault is F.EXTERNAL:
                self._trade_externally(strike)
            elif fault is F.TRANSFER:
                self._transfer(strike)
            else:
                self._disconnect("down" if fault is F.DISCONNECT else "maintenance", strike, now_ns)

    def _disconnect(self, state: Literal["down", "maintenance"], strike: Strike, now_ns: int) -> None:
        self._down = state
        self.admission.connected = False
        # Answers in transit are lost with the connection, requests in transit are not.
        self._drop_answers()
        self._arrived.append(ConnectionStatus(now_ns, state))
        self._at(now_ns + _ns(strike, 0.2, 8), self._reconnect)

    def _drop_answers(self) -> None:
        # Callables are requests in transit and later faults; the others are answers.
        self._due = [item for item in self._due if callable(item[2])]
        heapq.heapify(self._due)

    def _reconnect(self, now_ns: int) -> None:
        if self._down:
            self._down = ""
            self.admission.connected = True
            self._arrived.append(ConnectionStatus(now_ns, "up"))

    def _trade_externally(self, strike: Strike) -> None:
        """Buys or sells a quarter of a position."""
        symbols = [symbol for symbol, quantity in self.venue.held.items() if quantity]
        if symbols:
            symbol = strike.choose(symbols)
            self.venue.external_trade(symbol, multiply(self.venue.held[symbol], _quarter(strike)))

    def _transfer(self, strike: Strike) -> None:
        """Deposits or withdraws a quarter of the cash in one currency, in round numbers."""
        currency, cash = strike.choose(list(self.venue.account.balances.items()))
        step = Decimal(1) if cash >= 1 else Decimal(1).scaleb(cash.adjusted() - 3)
        self.venue.transfer(multiply(floor_to(cash, step), _quarter(strike)), currency)

    def _first_of(self, faults: tuple[VenueFault, ...], now_ns: int) -> Strike | None:
        return next((strike for each in faults if (strike := self._schedule.take(each, now_ns))), None)

    def _count_if(self, strike: Strike, *, happened: bool) -> None:
        self._schedule.fault_counts[strike.fault] += happened

    def _at(self, due_ns: int, what: VenueEvent | Callable[[int], None]) -> None:
        self._count += 1
        heapq.heappush(self._due, (due_ns, self._count, what))


def _ns(strike: Strike, least_s: float, most_s: float) -> int:
    return int(strike.between(least_s, most_s) * NS_PER_S)


def _quarter(strike: Strike) -> Decimal:
    return Decimal("0.25") if strike.between(0, 1, 1) < 0.5 else Decimal("-0.25")


def _restamped(answer: VenueEvent, at_ns: int) -> VenueEvent:
    """A copy of the answer that the engine learns at `at_ns`; the time of the query stays."""
    return msgspec.structs.replace(answer, at_ns=at_ns)
