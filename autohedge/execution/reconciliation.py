"""Our books held against the venue's: orders, fills, positions, cash.

A pass asks for all four at once. Positions and cash move while orders work, so a symbol is compared
only while it rests, and a difference counts once it was seen twice, a visibility lag apart, with
our side unmoved. The second of two passes over an unchanged venue says nothing.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from autohedge.config import Settings
from autohedge.core.events import (
    AccountState,
    AnyOutput,
    ExecutionReport,
    OrderAccepted,
    OrderEvent,
    OrderRejected,
    QueryAccount,
    QueryFills,
    QueryOpenOrders,
    Reconciled,
    VenueOrderStatus,
)
from autohedge.core.money import ZERO, add, subtract
from autohedge.core.orders import OrderState
from autohedge.core.timers import TimerQueue
from autohedge.core.units import NS_PER_S
from autohedge.execution.ledger import Ledger
from autohedge.execution.orders import Order
from autohedge.execution.tracking import TimerKey

RECONCILE: TimerKey = ("reconcile", "")
CASH = ""
RETRY_NS = 2 * NS_PER_S

Policy = Literal["adopt", "alert", "halt"]


@dataclass(frozen=True, slots=True)
class ReconciliationPolicy:
    """How often, how far back, and what becomes of what no order explains."""

    every_ns: int
    overlap_ns: int
    visibility_ns: int
    external: Policy

    @classmethod
    def of(cls, settings: Settings) -> "ReconciliationPolicy":
        """The terms that the settings ask for."""
        wanted = settings.reconciliation
        return cls(
            every_ns=round(wanted.every_s * NS_PER_S),
            overlap_ns=round(wanted.fill_overlap_s * NS_PER_S),
            visibility_ns=round(settings.execution.visibility_lag_s * NS_PER_S),
            external=wanted.external,
        )


@dataclass(slots=True)
class ExternalOrder:
    """An order id that the venue reports and no intent explains, with its fills so far."""

    fills: list[ExecutionReport]
    alerted: bool = False
    judged: bool = False


class Reconciliation:
    """One pass after the other; what was asked, what is still to come, what differed before."""

    def __init__(
        self, policy: ReconciliationPolicy, timers: TimerQueue[TimerKey], emit: Callable[[AnyOutput], None]
    ) -> None:
        self.policy = policy
        self.requested_ns = 0
        self._idle = 0
        self._timers = timers
        self._emit = emit
        self._waits: set[str] = set()
        self._differences = 0
        self._moving = False
        self._seen: dict[str, tuple[Decimal, int]] = {}
        self._acknowledged: dict[str, Decimal] = {}

    @property
    def open(self) -> bool:
        """Whether a pass is under way."""
        return bool(self._waits)

    def abort(self) -> None:
        """The pass under way, if any, proves nothing any more."""
        self._waits = set()

    def request(self, now_ns: int, since_ns: int) -> None:
        """Ask for everything; fills from a while before the last one known, for clocks differ.

        A pass that is asked for again takes the answers to earlier questions too: they may be slow.
        """
        if not self._waits:
            self.requested_ns = now_ns
            self._waits = {"orders", "account"}
            self._differences = 0
            self._moving = False
        self._emit(QueryOpenOrders(now_ns))
        self._emit(QueryFills(now_ns, max(since_ns - self.policy.overlap_ns, 0)))
        self._emit(QueryAccount(now_ns))
        self._timers.schedule(RECONCILE, now_ns + RETRY_NS)

    def note_idle(self, row_ns: int) -> None:
        """With no row since the last pass, the next ones come ever more seldom."""
        self._idle = self._idle + 1 if row_ns < self.requested_ns else 0

    def plan_next(self, now_ns: int) -> None:
        """Plan the next pass, unless one is planned already."""
        if self.policy.every_ns and self._timers.deadline_ns(RECONCILE) > now_ns + self.policy.every_ns:
            self._timers.schedule(RECONCILE, now_ns + self.policy.every_ns)

    def on_part(self, what: str, requested_ns: int, differences: int, now_ns: int, *, at_stake: bool) -> bool:
        """One part of the pass is in; say whether that completes it."""
        if requested_ns < self.requested_ns or what not in self._waits:
            return False
        self._waits.remove(what)
        self._differences += differences
        if self._waits:
            return False
        self._emit(Reconciled(now_ns, self._differences))
        if self._seen:
            self._timers.schedule(RECONCILE, now_ns + self.policy.visibility_ns)
        elif at_stake and self.policy.every_ns:
            self._timers.schedule(RECONCILE, now_ns + (self.policy.every_ns << min(self._idle, 20)))
        elif self._moving:
            self._timers.schedule(RECONCILE, now_ns + self.policy.visibility_ns)
        else:
            self._timers.cancel(RECONCILE)
        return True

    def confirmed_differences(
        self, account: AccountState, ledger: Ledger, rests: Callable[[str, int], bool]
    ) -> Iterator[tuple[str, Decimal]]:
        """What the venue holds beyond our books, seen twice: by symbol, cash under "".

        `rests(symbol, since_ns)` says whether nothing of ours has moved a symbol since then.
        """
        for subject, amount in self._differing(account, ledger, rests).items():
            seen = self._seen.get(subject)
            if seen is None or seen[0] != amount:
                self._seen[subject] = (amount, account.asked_ns)
            elif account.asked_ns >= seen[1] + self.policy.visibility_ns:
                del self._seen[subject]
                yield subject, amount

    def defer(self, subject: str, amount: Decimal, seen_ns: int) -> None:
        """A difference that cannot be taken over yet, for nothing says what it is worth."""
        self._seen[subject] = (amount, seen_ns)

    def acknowledge(self, subject: str, amount: Decimal) -> None:
        """A difference that stays, because a person is to judge it: it is not told again."""
        self._acknowledged[subject] = add(self._acknowledged.get(subject, ZERO), amount)

    def _differing(
        self, account: AccountState, ledger: Ledger, rests: Callable[[str, int], bool]
    ) -> Mapping[str, Decimal]:
        """Differences of what rests now; those that are gone are forgotten, those that move noted."""
        found = {}
        held = {symbol: position.quantity for symbol, position in ledger.positions.items()}
        for symbol in sorted(held.keys() | account.positions.keys()):
            found[symbol] = subtract(account.positions.get(symbol, ZERO), held.get(symbol, ZERO))
        found[CASH] = subtract(account.cash, ledger.cash)
        beyond = {
            subject: subtract(amount, self._acknowledged.get(subject, ZERO))
            for subject, amount in found.items()
        }
        differing = {
            subject: amount
            for subject, amount in beyond.items()
            if amount and rests(subject, account.asked_ns)
        }
        self._moving = len(differing) < sum(map(bool, beyond.values()))
        for subject in self._seen.keys() - differing.keys():
            del self._seen[subject]
        return differing


def status_evidence(found: VenueOrderStatus, order: Order, now_ns: int) -> OrderEvent | None:
    """What a line of the venue's list proves; None where it says nothing new."""
    if found.status == "open":
        known = order.state not in (OrderState.SUBMITTED, OrderState.UNKNOWN, OrderState.NOT_PLACED)
        return None if known else OrderAccepted(now_ns, found.order_id, "listed")
    if not order.working or found.status == "filled":
        return None
    if found.status == "rejected":
        return OrderRejected(now_ns, found.order_id, "listed as rejected")
    return ExecutionReport(now_ns, found.order_id, found.status, now_ns, filled=found.filled)
