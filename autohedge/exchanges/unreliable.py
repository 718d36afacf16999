"""A simulated venue that fails as real ones do: on the way there, on the way back, and in itself.

It stands between the runtime and a `SimulatedVenue` in virtual time. One seeded stream decides
which fault strikes; after `calm_ns` none does. What a process that died had not taken in is gone.
"""

import heapq
from collections import Counter, deque
from collections.abc import Callable
from decimal import Decimal
from enum import StrEnum, auto, unique
from typing import Any

import msgspec

from autohedge.core.clock import NEVER
from autohedge.core.events import (
    Accepted,
    Answer,
    CancelOrder,
    Command,
    Link,
    NotFound,
    QueryFills,
    QueryOrder,
    Rejected,
    ReplaceOrder,
    Report,
    SubmitOrder,
    Throttled,
    Unknown,
)
from autohedge.core.ids import Randomness
from autohedge.core.money import ZERO, add, bps_of, floor_to, multiply, subtract
from autohedge.core.orders import BUY
from autohedge.exchanges.simulated import SimulatedVenue

NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000


@unique
class VenueFault(StrEnum):
    """What can go wrong between a trader and a venue, or at the venue."""

    DROP = auto()
    DUPLICATE = auto()
    REORDER = auto()
    DELAY = auto()
    THROTTLE = auto()
    BAN = auto()
    ERROR = auto()
    TIMEOUT_ACCEPTED = auto()
    TIMEOUT_LOST = auto()
    LATE_REJECT = auto()
    CANCEL_RACE = auto()
    BUST = auto()
    OVERFILL = auto()
    FORGET = auto()
    EXTERNAL = auto()
    SKEW = auto()
    MAINTENANCE = auto()
    DISCONNECT = auto()


F = VenueFault
ON_THE_WAY_THERE = (F.TIMEOUT_LOST, F.TIMEOUT_ACCEPTED, F.ERROR, F.THROTTLE, F.BAN, F.DUPLICATE, F.DELAY)
ON_THE_WAY_BACK = (F.DROP, F.DUPLICATE, F.REORDER, F.DELAY)
UNDER_WAY = (F.DISCONNECT, F.MAINTENANCE, F.EXTERNAL)
DEADLINE_NS = 2 * NS_PER_S
FORGETS_NS = 4 * NS_PER_S


class MoodyVenue(SimulatedVenue):
    """A simulated venue that can be made to change its mind about orders and trades."""

    def kill(self, order_id: str, now_ns: int) -> bool:
        """Reject an order that was accepted; say whether it still rested."""
        if self._resting.pop(order_id, None) is None:
            return False
        self._known[order_id].status = "rejected"
        self._respond(Rejected(now_ns, order_id, "rejected after all"), at_once=True)
        return True

    def nibble(self, order_id: str, now_ns: int) -> bool:
        """Fill a part of a resting order at its limit; say whether there was one."""
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
        """Take the last fill of an order back; say whether there was one."""
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
        self._respond(Report(now_ns, order_id, "bust", now_ns, fill.trade_id), at_once=True)
        return True

    def _busts(self, order_id: str) -> list[Report]:
        said = self._known[order_id].said
        return [answer for answer in said if isinstance(answer, Report) and answer.kind == "bust"]

    def overfill(self, order_id: str, now_ns: int) -> bool:
        """Fill more of a filled order than was ordered; say whether there was one."""
        known = self._known[order_id]
        fills = self.fills(order_id)
        if known.status != "filled" or not fills:
            return False
        self._fill(known.order, self._lots[known.order.symbol], fills[-1].price or ZERO, now_ns, at_once=True)
        return True

    def trade_by_hand(self, symbol: str, quantity: Decimal, price: Decimal) -> None:
        """Someone else trades on this account."""
        self._move(symbol, quantity, price, bps_of(multiply(quantity, price), self._terms.fee_bps))

    def _move(self, symbol: str, quantity: Decimal, price: Decimal, fee: Decimal) -> None:
        self.positions[symbol] = add(self.positions.get(symbol, ZERO), quantity)
        self.cash = subtract(self.cash, add(multiply(quantity, price), fee))


class UnreliableVenue:
    """The way to a moody venue and back, with everything that can happen to a message."""

    def __init__(
        self, venue: MoodyVenue, faults: frozenset[VenueFault], draw: Randomness, *, rate: float, calm_ns: int
    ) -> None:
        self.venue = venue
        self.struck: Counter[VenueFault] = Counter()
        self.sent: list[Command] = []
        self.quiet_until_ns = 0
        self._faults = faults
        self._draw = draw
        self._rate = rate
        self._calm_ns = calm_ns
        self._count = 0
        self._due: list[tuple[int, int, Answer | Callable[[int], None]]] = []
        self._arrived: deque[Answer] = deque()
        self._down = ""
        self._young: dict[str, int] = {}
        self._undone: set[str] = set()
        self.skew_ns = 0
        if F.SKEW in faults:
            self.skew_ns = draw.randrange(-2 * NS_PER_S, 2 * NS_PER_S)
            self.struck[F.SKEW] += 1

    # the runtime's side

    @property
    def next_due_ns(self) -> int:
        """When something next arrives at either end, or happens at the venue."""
        return min(self.venue.next_due_ns, self._due[0][0] if self._due else NEVER)

    @property
    def next_touch(self) -> int:
        """The first row that fills a resting order."""
        return self.venue.next_touch

    def watch(self, pos: int) -> None:
        """The tape has moved on."""
        self.venue.watch(pos)

    def touch(self, row: int) -> None:
        """Let resting orders react to this row."""
        self.venue.touch(row)
        self._absorb()

    def advance(self) -> None:
        """Let the earliest due thing happen, here or at the venue."""
        if not self._due or self.venue.next_due_ns <= self._due[0][0]:
            self.venue.advance()
        else:
            due_ns, _, what = heapq.heappop(self._due)
            if callable(what):
                what(due_ns)
            elif not self._down or isinstance(what, Link):
                self._arrived.append(_learned(what, due_ns))
        self._absorb()

    def answer(self) -> Answer | None:
        """The next answer that has arrived, or None."""
        return self._arrived.popleft() if self._arrived else None

    def hang_up(self) -> None:
        """The trader's process died: what was on its way to it is gone, what it sent is not."""
        self._arrived.clear()
        self._due = [item for item in self._due if callable(item[2])]
        heapq.heapify(self._due)
        self._down = ""

    def send(self, command: Command, now_ns: int) -> None:
        """Carry a command to the venue, if nothing happens to it."""
        self.sent.append(command)
        self._under_way(now_ns)
        if self._down:
            self._not_sent(command, now_ns)
            return
        fault = self._strikes(ON_THE_WAY_THERE, now_ns)
        if isinstance(command, CancelOrder) and self._strikes((F.CANCEL_RACE,), now_ns, often=10):
            self._count_if(F.CANCEL_RACE, happened=self.venue.nibble(command.order_id, now_ns))
        if fault is None:
            self._carry(command, now_ns)
        else:
            self.struck[fault] += 1
            self._mishap(fault, command, now_ns)
        self._absorb()

    # what happens to a command

    def _mishap(self, fault: VenueFault, command: Command, now_ns: int) -> None:
        match fault:
            case F.THROTTLE | F.BAN:
                wait_ns = self._between(1, 3) if fault is F.THROTTLE else self._between(5, 20)
                self.quiet_until_ns = max(self.quiet_until_ns, now_ns + wait_ns)
                self._say_of(Throttled, command, now_ns, until_ns=now_ns + wait_ns)
            case F.TIMEOUT_ACCEPTED:
                self._carry(command, now_ns, deaf=True)
                self._say_of(Unknown, command, now_ns + DEADLINE_NS, cause="timeout")
            case F.TIMEOUT_LOST:
                self._say_of(Unknown, command, now_ns + DEADLINE_NS, cause="timeout")
            case F.ERROR:
                if self._draw.random() < 0.5:
                    self._carry(command, now_ns, deaf=True)
                self._say_of(Unknown, command, now_ns, cause="503")
            case F.DUPLICATE:
                self._carry(command, now_ns)
                self._carry(command, now_ns)
            case _:
                self._at(now_ns + self._between(0.01, 1.5), lambda due_ns: self._carry(command, due_ns))

    def _carry(self, command: Command, now_ns: int, *, deaf: bool = False) -> None:
        """The command reaches the venue; a deaf trader hears no direct answer."""
        if isinstance(command, QueryFills):
            command = msgspec.structs.replace(command, since_ns=max(command.since_ns - self.skew_ns, 0))
        if isinstance(command, SubmitOrder):
            self._young.setdefault(command.order_id, now_ns)
        if isinstance(command, QueryOrder) and self._forgets(command.order_id, now_ns):
            self._give(NotFound(now_ns, command.order_id, command.at_ns), now_ns)
            return
        self.venue.send(command, now_ns)
        self._absorb(deaf=deaf)

    def _forgets(self, order_id: str, now_ns: int) -> bool:
        """Whether the venue does not see an order yet that it has."""
        young = now_ns - self._young.get(order_id, -NEVER) < FORGETS_NS
        if young and self._strikes((F.FORGET,), now_ns, often=10):
            self.struck[F.FORGET] += 1
            return True
        return False

    def _say_of(self, kind: type[Any], command: Command, at_ns: int, **facts: Any) -> None:
        """What the gateway makes of a request without an answer; of questions it says nothing."""
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

    def _not_sent(self, command: Command, now_ns: int) -> None:
        if isinstance(command, SubmitOrder):
            self._arrived.append(Rejected(now_ns, command.order_id, "not connected"))
        else:
            self._say_of(Unknown, command, now_ns, cause="not connected")

    # what happens to an answer

    def _absorb(self, *, deaf: bool = False) -> None:
        while (answer := self.venue.answer()) is not None:
            if isinstance(answer, Report):
                answer = msgspec.structs.replace(answer, ts_ns=answer.ts_ns + self.skew_ns)
            self._second_thoughts(answer)
            if not (deaf and isinstance(answer, Accepted)):
                self._give(answer, answer.at_ns)

    def _give(self, answer: Answer, now_ns: int) -> None:
        fault = self._strikes(ON_THE_WAY_BACK, now_ns)
        if self._down:
            return
        if fault:
            self.struck[fault] += 1
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

    def _second_thoughts(self, answer: Answer) -> None:
        """The venue may undo what it has just said, a little later, and once per order."""
        now_ns = getattr(answer, "at_ns", 0)
        undo: dict[VenueFault, Callable[[str, int], bool]] = {}
        often = 1.0
        if isinstance(answer, Accepted):
            undo, often = {F.LATE_REJECT: self.venue.kill}, 4.0
        elif isinstance(answer, Report) and answer.kind == "fill":
            undo = {F.BUST: self.venue.bust, F.OVERFILL: self.venue.overfill}
        fault = self._strikes(tuple(undo), now_ns, often=often)
        if fault and isinstance(answer, Accepted | Report) and answer.order_id not in self._undone:
            self._undone.add(answer.order_id)
            order_id, do = answer.order_id, undo[fault]
            wait_ns = self._between(0.01, 2)
            self._at(now_ns + wait_ns, lambda due_ns: self._count_if(fault, happened=do(order_id, due_ns)))

    # what happens by itself

    def _under_way(self, now_ns: int) -> None:
        fault = self._strikes(UNDER_WAY, now_ns, often=0.3)
        if fault is None or self._down:
            return
        self.struck[fault] += 1
        if fault is F.EXTERNAL:
            self._someone_trades()
            return
        self._down = "down" if fault is F.DISCONNECT else "maintenance"
        self._due = [item for item in self._due if callable(item[2])]
        heapq.heapify(self._due)
        self._arrived.append(Link(now_ns, "down" if fault is F.DISCONNECT else "maintenance"))
        self._at(now_ns + self._between(0.2, 8), self._up)

    def _up(self, now_ns: int) -> None:
        if self._down:
            self._down = ""
            self._arrived.append(Link(now_ns, "up"))

    def _someone_trades(self) -> None:
        symbols = [symbol for symbol, quantity in self.venue.held.items() if quantity > ZERO]
        if symbols:
            symbol = self._draw.choice(symbols)
            quantity = multiply(self.venue.held[symbol], Decimal("0.25"))
            self.venue.trade_by_hand(symbol, quantity, Decimal(100))

    def _strikes(
        self, kinds: tuple[VenueFault, ...], now_ns: int, *, often: float = 1.0
    ) -> VenueFault | None:
        """Which of these faults strikes now, if any; each draw takes the same from the stream."""
        luck, which = self._draw.random(), self._draw.random()
        possible = [kind for kind in kinds if kind in self._faults]
        if now_ns >= self._calm_ns or not possible or luck >= self._rate * often:
            return None
        return possible[int(which * len(possible))]

    def _count_if(self, fault: VenueFault, *, happened: bool) -> None:
        self.struck[fault] += happened

    def _between(self, least_s: float, most_s: float) -> int:
        return int(self._draw.uniform(least_s, most_s) * NS_PER_S)

    def _at(self, due_ns: int, what: Answer | Callable[[int], None]) -> None:
        self._count += 1
        heapq.heappush(self._due, (due_ns, self._count, what))


def _learned(answer: Answer, at_ns: int) -> Answer:
    """The same answer, learned at `at_ns`; when it was asked for stays."""
    return msgspec.structs.replace(answer, at_ns=at_ns)
