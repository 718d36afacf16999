"""Reconciliation: compares orders, fills, positions and cash with the venue's.

One pass requests all four. Positions and cash move while orders work, so a symbol is compared only while it
is idle. A difference counts once two account states show it, a visibility lag apart, without a change on this
side. A second pass over an unchanged venue has no effect.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, NamedTuple

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
from autohedge.core.units import NS_PER_DAY, NS_PER_MINUTE, NS_PER_S
from autohedge.execution.ledger import Ledger
from autohedge.execution.orders import Order
from autohedge.execution.tracking import TimerKey

RECONCILE: TimerKey = ("reconcile", "")
RETRY_NS = 2 * NS_PER_S
FLAT_PAUSES = 2  # nothing can be sold twice while nothing works or is held
PAUSE_MAX_NS = 60 * NS_PER_MINUTE  # a longer `every_ns` counts; also what is settled can turn out wrong

Policy = Literal["adopt", "alert", "halt"]


class Subject(NamedTuple):
    """What is compared with the venue: the position in a symbol, or the cash in a currency."""

    kind: Literal["position", "cash"]
    name: str

    def __str__(self) -> str:
        """The subject as messages name it: a symbol, or cash with its currency."""
        return f"cash {self.name}".strip() if self.kind == "cash" else self.name


IsIdle = Callable[[Subject, int], bool]
"""Returns whether no order of this run has moved a subject since a time."""


@dataclass(frozen=True, slots=True)
class ReconciliationPolicy:
    """How often to reconcile, how far back to query fills, and what to do about external changes."""

    every_ns: int
    overlap_ns: int
    visibility_ns: int
    external: Policy

    @classmethod
    def of(cls, settings: Settings) -> "ReconciliationPolicy":
        """The policy of the settings."""
        wanted = settings.reconciliation
        return cls(
            every_ns=round(wanted.every_s * NS_PER_S),
            overlap_ns=round(wanted.fill_overlap_s * NS_PER_S),
            visibility_ns=round(settings.execution.visibility_lag_s * NS_PER_S),
            external=wanted.external,
        )


class Reconciliation:
    """Runs reconciliation passes: pending parts, differences seen before, and the time of the next pass."""

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
        self._seen: dict[Subject, tuple[Decimal, int]] = {}
        self._acknowledged: dict[Subject, Decimal] = {}

    @property
    def open(self) -> bool:
        """Whether a pass is under way."""
        return bool(self._waits)

    def abort(self) -> None:
        """Discards the open pass, if any, and begins with the shortest pause again."""
        self._waits, self._idle = set(), 0

    def request(self, now_ns: int, since_ns: int) -> None:
        """Queries open orders, fills and the account.

        `since_ns` is the time of the last known fill; the query starts `overlap_ns` before it, because clocks
        differ. Repeating the queries of an open pass keeps its start, so slow answers to earlier ones count.
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
        """Counts passes without a row in between; each doubles the next pause."""
        if not self.open:
            self._idle = 0 if row_ns >= self.requested_ns else self._idle + 1

    def plan_next(self, now_ns: int) -> None:
        """Schedules the next pass, unless one is due sooner."""
        if self.policy.every_ns and self._timers.deadline_ns(RECONCILE) > now_ns + self.policy.every_ns:
            self._timers.schedule(RECONCILE, now_ns + self.policy.every_ns)

    def on_part(self, what: str, requested_ns: int, differences: int, now_ns: int, *, at_stake: bool) -> bool:
        """Notes one part of the pass; returns whether that completes it."""
        # An answer to an earlier pass describes an earlier state of the venue.
        if requested_ns < self.requested_ns or what not in self._waits:
            return False
        self._waits.remove(what)
        self._differences += differences
        if self._waits:
            return False
        self._emit(Reconciled(now_ns, self._differences))
        if (pause_ns := self._pause_ns(at_stake=at_stake)) is None:
            self._timers.cancel(RECONCILE)
        else:
            self._timers.schedule(RECONCILE, now_ns + pause_ns)
        return True

    def _pause_ns(self, *, at_stake: bool) -> int | None:
        """The pause before the next pass; None if only an order or a connection calls for one."""
        every_ns = self.policy.every_ns
        compares_later = self._moving and not (at_stake and every_ns)
        if self._seen or compares_later:  # confirm or discard differences, compare the symbols that moved
            return self.policy.visibility_ns
        # Virtual time starts at zero and jumps to the first row, which is decades later: no passes in between.
        if not every_ns or self.requested_ns < NS_PER_DAY:
            return None
        pause_ns = every_ns if at_stake else FLAT_PAUSES * every_ns
        return min(pause_ns << min(self._idle, 20), max(pause_ns, PAUSE_MAX_NS))

    def confirmed_differences(
        self, account: AccountState, ledger: Ledger, rests: IsIdle
    ) -> Iterator[tuple[Subject, Decimal]]:
        """Yields differences between venue and ledger that were seen twice."""
        for subject, amount in self._differing(account, ledger, rests).items():
            seen = self._seen.get(subject)
            if seen is None or seen[0] != amount:
                self._seen[subject] = (amount, account.asked_ns)
            elif account.asked_ns >= seen[1] + self.policy.visibility_ns:
                del self._seen[subject]
                yield subject, amount

    def defer(self, subject: Subject, amount: Decimal, seen_ns: int) -> None:
        """Keeps a difference for a later pass, because no quote gives its value yet."""
        self._seen[subject] = (amount, seen_ns)

    def acknowledge(self, subject: Subject, amount: Decimal) -> None:
        """Accepts a difference that a person must judge, so that it is not reported again."""
        self._acknowledged[subject] = add(self._acknowledged.get(subject, ZERO), amount)

    def _differing(self, account: AccountState, ledger: Ledger, rests: IsIdle) -> Mapping[Subject, Decimal]:
        """The differences of idle subjects; discards those seen before that are gone."""
        beyond = {
            subject: subtract(amount, self._acknowledged.get(subject, ZERO))
            for subject, amount in _differences(account, ledger)
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


def _differences(account: AccountState, ledger: Ledger) -> Iterator[tuple[Subject, Decimal]]:
    """Yields how much more the venue has of each subject than the ledger."""
    held = {symbol: position.quantity for symbol, position in ledger.positions.items()}
    for symbol in sorted(held.keys() | account.positions.keys()):
        amount = subtract(account.positions.get(symbol, ZERO), held.get(symbol, ZERO))
        yield Subject("position", symbol), amount
    yield Subject("cash", ledger.currency), subtract(account.cash, ledger.cash)
    for currency in sorted((ledger.balances.keys() | account.balances.keys()) - {ledger.currency}):
        amount = subtract(account.balances.get(currency, ZERO), ledger.balances.get(currency, ZERO))
        yield Subject("cash", currency), amount


def status_evidence(found: VenueOrderStatus, order: Order, now_ns: int) -> OrderEvent | None:
    """The event that a listed order status proves; None if it is known already."""
    if found.status == "open":
        known = order.state not in (OrderState.SUBMITTED, OrderState.UNKNOWN, OrderState.NOT_PLACED)
        return None if known else OrderAccepted(now_ns, found.order_id, "listed")
    if not order.working or found.status == "filled":  # the list has no trade ids: only fills prove a fill
        return None
    if found.status == "rejected":
        return OrderRejected(now_ns, found.order_id, "listed as rejected")
    return ExecutionReport(now_ns, found.order_id, found.status, now_ns, filled=found.filled)
