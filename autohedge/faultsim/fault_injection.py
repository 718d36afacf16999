"""Fault injection for a simulated venue: faults in requests, in answers, and at the venue itself.

`FaultInjector` stands between the runtime and a `MutableVenue` in virtual time. One seeded stream decides
which fault strikes; none does after `calm_ns`. Answers that a dead process had not received are lost.
"""

import heapq
from collections import Counter, deque
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec

from autohedge.core.clock import NEVER
from autohedge.core.events import (
    AnyTradingCommand,
    CancelOrder,
    ConnectionStatus,
    ExecutionReport,
    OrderAccepted,
    OrderNotFound,
    OrderRejected,
    QueryFills,
    QueryOrder,
    ReplaceOrder,
    RequestThrottled,
    RequestUnknown,
    SubmitOrder,
    VenueEvent,
)
from autohedge.core.ids import Randomness
from autohedge.core.money import ZERO, add, bps_of, floor_to, multiply, subtract
from autohedge.core.orders import BUY
from autohedge.core.units import NS_PER_S
from autohedge.exchanges.faults import VenueFault
from autohedge.exchanges.simulated import SimulatedVenue

F = VenueFault
ON_THE_WAY_THERE = (F.TIMEOUT_LOST, F.TIMEOUT_ACCEPTED, F.ERROR, F.THROTTLE, F.BAN, F.DUPLICATE, F.DELAY)
ON_THE_WAY_BACK = (F.DROP, F.DUPLICATE, F.REORDER, F.DELAY)
UNDER_WAY = (F.DISCONNECT, F.MAINTENANCE, F.EXTERNAL)
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
        quantity, price, fee = fill.quantity or ZERO, fill.price or ZERO, fill.fee or ZERO
        self._move(
            order.symbol,
            quantity if order.side is not BUY else quantity.copy_negate(),
            price,
            fee.copy_negate(),
        )
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

    def external_trade(self, symbol: str, quantity: Decimal, price: Decimal) -> None:
        """Trades on the account without an order of the run."""
        self._move(symbol, quantity, price, bps_of(multiply(quantity, price), self._model.fee_bps))

    def _move(self, symbol: str, quantity: Decimal, price: Decimal, fee: Decimal) -> None:
        self.positions[symbol] = add(self.positions.get(symbol, ZERO), quantity)
        self.cash = subtract(self.cash, add(multiply(quantity, price), fee))


class FaultInjector:
    """Carries messages to a venue and back, and injects faults into both directions."""

    def __init__(
        self,
        venue: MutableVenue,
        faults: frozenset[VenueFault],
        draw: Randomness,
        *,
        rate: float,
        calm_ns: int,
    ) -> None:
        self.venue = venue
        self.fault_counts: Counter[VenueFault] = Counter()
        self.sent: list[AnyTradingCommand] = []
        self.quiet_until_ns = 0
        self._faults = faults
        self._draw = draw
        self._rate = rate
        self._calm_ns = calm_ns
        self._count = 0
        self._due: list[tuple[int, int, VenueEvent | Callable[[int], None]]] = []
        self._arrived: deque[VenueEvent] = deque()
        self._down = ""
        self._young: dict[str, int] = {}
        self._undone: set[str] = set()
        self.skew_ns = 0
        if F.SKEW in faults:
            self.skew_ns = draw.randrange(-2 * NS_PER_S, 2 * NS_PER_S)
            self.fault_counts[F.SKEW] += 1

    # the venue interface of `VirtualRuntime`

    @property
    def next_due_ns(self) -> int:
        """When the next message arrives at either end, or the next fault takes effect."""
        return min(self.venue.next_due_ns, self._due[0][0] if self._due else NEVER)

    @property
    def next_touch(self) -> int:
        """The first row that fills a resting order."""
        return self.venue.next_touch

    def on_position(self, pos: int) -> None:
        """Makes the rows before `pos` known to the venue."""
        self.venue.on_position(pos)

    def fill_resting(self, row: int) -> None:
        """Fills the resting orders that this row touches."""
        self.venue.fill_resting(row)
        self._collect()

    def advance(self) -> None:
        """Delivers the earliest message, or lets the earliest fault take effect."""
        if not self._due or self.venue.next_due_ns <= self._due[0][0]:
            self.venue.advance()
        else:
            due_ns, _, what = heapq.heappop(self._due)
            if callable(what):
                what(due_ns)
            elif not self._down or isinstance(what, ConnectionStatus):
                self._arrived.append(_restamped(what, due_ns))
        self._collect()

    def poll(self) -> VenueEvent | None:
        """The next answer that has arrived, or None."""
        return self._arrived.popleft() if self._arrived else None

    def disconnect_trader(self) -> None:
        """Drops the answers in transit, as when the trader's process dies; its requests still arrive."""
        self._arrived.clear()
        # Callables are requests in transit and later faults; the others are answers.
        self._due = [item for item in self._due if callable(item[2])]
        heapq.heapify(self._due)
        self._down = ""

    def send(self, command: AnyTradingCommand, now_ns: int) -> None:
        """Carries a command to the venue, unless a fault prevents it."""
        self.sent.append(command)
        self._spontaneous_fault(now_ns)
        if self._down:
            self._reject_unsent(command, now_ns)
            return
        fault = self._draw_fault(ON_THE_WAY_THERE, now_ns)
        if isinstance(command, CancelOrder) and self._draw_fault((F.CANCEL_RACE,), now_ns, often=10):
            self._count_if(F.CANCEL_RACE, happened=self.venue.partial_fill(command.order_id, now_ns))
        if fault is None:
            self._forward(command, now_ns)
        else:
            self.fault_counts[fault] += 1
            self._inject(fault, command, now_ns)
        self._collect()

    # faults of commands

    def _inject(self, fault: VenueFault, command: AnyTradingCommand, now_ns: int) -> None:
        match fault:
            case F.THROTTLE | F.BAN:
                wait_ns = self._between(1, 3) if fault is F.THROTTLE else self._between(5, 20)
                self.quiet_until_ns = max(self.quiet_until_ns, now_ns + wait_ns)
                self._synthesize(RequestThrottled, command, now_ns, until_ns=now_ns + wait_ns)
            case F.TIMEOUT_ACCEPTED:
                self._forward(command, now_ns, deaf=True)
                self._synthesize(RequestUnknown, command, now_ns + DEADLINE_NS, cause="timeout")
            case F.TIMEOUT_LOST:
                self._synthesize(RequestUnknown, command, now_ns + DEADLINE_NS, cause="timeout")
            case F.ERROR:  # a 5xx does not say whether the request took effect
                if self._draw.random() < 0.5:
                    self._forward(command, now_ns, deaf=True)
                self._synthesize(RequestUnknown, command, now_ns, cause="503")
            case F.DUPLICATE:
                self._forward(command, now_ns)
                self._forward(command, now_ns)
            case _:
                self._at(now_ns + self._between(0.01, 1.5), lambda due_ns: self._forward(command, due_ns))

    def _forward(self, command: AnyTradingCommand, now_ns: int, *, deaf: bool = False) -> None:
        """Delivers a command to the venue; with `deaf`, its acceptance does not come back."""
        if isinstance(command, QueryFills):  # the engine asks in its time, the venue's clock is skewed
            command = msgspec.structs.replace(command, since_ns=max(command.since_ns - self.skew_ns, 0))
        if isinstance(command, SubmitOrder):
            self._young.setdefault(command.order_id, now_ns)
        if isinstance(command, QueryOrder) and self._hides_order(command.order_id, now_ns):
            self._return(OrderNotFound(now_ns, command.order_id, command.at_ns), now_ns)
            return
        self.venue.send(command, now_ns)
        self._collect(deaf=deaf)

    def _hides_order(self, order_id: str, now_ns: int) -> bool:
        """Whether the venue does not show a new order yet."""
        young = now_ns - self._young.get(order_id, -NEVER) < FORGETS_NS
        if young and self._draw_fault((F.FORGET,), now_ns, often=10):
            self.fault_counts[F.FORGET] += 1
            return True
        return False

    def _synthesize(self, kind: type[Any], command: AnyTradingCommand, at_ns: int, **facts: Any) -> None:
        """Schedules the event that a gateway makes of a failed request; account queries give none."""
        match command:
            case SubmitOrder():
                about = "submit"
            case CancelOrder():
                about = "cancel"
            case ReplaceOrder():
                about = "replace"
            case QueryOrder():
                about = "query"
            case _:
                return
        self._at(at_ns, kind(at_ns, command.order_id, **facts, about=about))

    def _reject_unsent(self, command: AnyTradingCommand, now_ns: int) -> None:
        if isinstance(command, SubmitOrder):
            self._arrived.append(OrderRejected(now_ns, command.order_id, "not connected"))
        else:
            self._synthesize(RequestUnknown, command, now_ns, cause="not connected")

    # faults of answers

    def _collect(self, *, deaf: bool = False) -> None:
        while (answer := self.venue.poll()) is not None:
            if isinstance(answer, ExecutionReport):
                answer = msgspec.structs.replace(answer, ts_ns=answer.ts_ns + self.skew_ns)
            self._schedule_undo(answer)
            if not (deaf and isinstance(answer, OrderAccepted)):
                self._return(answer, answer.at_ns)

    def _return(self, answer: VenueEvent, now_ns: int) -> None:
        fault = self._draw_fault(ON_THE_WAY_BACK, now_ns)
        if self._down:
            return
        if fault:
            self.fault_counts[fault] += 1
        match fault:
            case None:
                self._arrived.append(answer)
            case F.DUPLICATE:
                self._arrived.append(answer)
                self._at(now_ns + self._between(0, 5), answer)
            case F.REORDER:
                self._at(now_ns + self._between(0.001, 0.1), answer)
            case F.DELAY:
                self._at(now_ns + self._between(0.1, 3), answer)

    def _schedule_undo(self, answer: VenueEvent) -> None:
        """Schedules a late reject, a bust or an overfill for an answer, at most one per order."""
        now_ns = getattr(answer, "at_ns", 0)
        undo: dict[VenueFault, Callable[[str, int], bool]] = {}
        often = 1.0
        if isinstance(answer, OrderAccepted):
            undo, often = {F.LATE_REJECT: self.venue.late_reject}, 4.0
        elif isinstance(answer, ExecutionReport) and answer.kind == "fill":
            undo = {F.BUST: self.venue.bust, F.OVERFILL: self.venue.overfill}
        fault = self._draw_fault(tuple(undo), now_ns, often=often)
        if (
            fault
            and isinstance(answer, OrderAccepted | ExecutionReport)
            and answer.order_id not in self._undone
        ):
            self._undone.add(answer.order_id)
            order_id, do = answer.order_id, undo[fault]
            wait_ns = self._between(0.01, 2)
            self._at(now_ns + wait_ns, lambda due_ns: self._count_if(fault, happened=do(order_id, due_ns)))

    # faults without a message

    def _spontaneous_fault(self, now_ns: int) -> None:
        fault = self._draw_fault(UNDER_WAY, now_ns, often=0.3)
        if fault is None or self._down:
            return
        self.fault_counts[fault] += 1
        if fault is F.EXTERNAL:
            self._trade_externally()
            return
        self._down = "down" if fault is F.DISCONNECT else "maintenance"
        # Answers in transit are lost with the connection, requests in transit are not.
        self._due = [item for item in self._due if callable(item[2])]
        heapq.heapify(self._due)
        self._arrived.append(ConnectionStatus(now_ns, "down" if fault is F.DISCONNECT else "maintenance"))
        self._at(now_ns + self._between(0.2, 8), self._reconnect)

    def _reconnect(self, now_ns: int) -> None:
        if self._down:
            self._down = ""
            self._arrived.append(ConnectionStatus(now_ns, "up"))

    def _trade_externally(self) -> None:
        symbols = [symbol for symbol, quantity in self.venue.held.items() if quantity > ZERO]
        if symbols:
            symbol = self._draw.choice(symbols)
            quantity = multiply(self.venue.held[symbol], Decimal("0.25"))
            self.venue.external_trade(symbol, quantity, Decimal(100))

    def _draw_fault(
        self, kinds: tuple[VenueFault, ...], now_ns: int, *, often: float = 1.0
    ) -> VenueFault | None:
        """The fault of `kinds` that strikes now, or None."""
        # Always two draws: a fault that is not possible here must not shift the stream.
        luck, which = self._draw.random(), self._draw.random()
        possible = [kind for kind in kinds if kind in self._faults]
        if now_ns >= self._calm_ns or not possible or luck >= self._rate * often:
            return None
        return possible[int(which * len(possible))]

    def _count_if(self, fault: VenueFault, *, happened: bool) -> None:
        self.fault_counts[fault] += happened

    def _between(self, least_s: float, most_s: float) -> int:
        return int(self._draw.uniform(least_s, most_s) * NS_PER_S)

    def _at(self, due_ns: int, what: VenueEvent | Callable[[int], None]) -> None:
        self._count += 1
        heapq.heappush(self._due, (due_ns, self._count, what))


def _restamped(answer: VenueEvent, at_ns: int) -> VenueEvent:
    """A copy of the answer that the engine learns at `at_ns`; the time of the query stays."""
    return msgspec.structs.replace(answer, at_ns=at_ns)
