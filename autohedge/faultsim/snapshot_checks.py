"""Invariant 30: no number of a question is used twice, and a question tells the free cash."""

from collections.abc import Callable
from decimal import Decimal

from autohedge.core.events import Decision, DeliberationRequested, JournalEntry
from autohedge.core.money import subtract, with_fee
from autohedge.core.snapshots import Snapshot
from autohedge.faultsim.question_checks import InvariantViolation
from autohedge.faultsim.recorded_account import RecordedAccount
from autohedge.faultsim.scripted_decisions import ScriptedDecisions


class SnapshotChecker:
    """Notes the free cash at each question of one record."""

    def __init__(self, account: RecordedAccount, fee_bps: Decimal) -> None:
        self._account, self._fee_bps = account, fee_bps
        self._free: dict[int, Decimal] = {}

    def apply(self, entry: JournalEntry) -> None:
        """Notes the cash that no working entry may spend, when a question is recorded."""
        if not isinstance(entry.event, DeliberationRequested):
            return
        if self._account.may_be_absent:  # only the end of the step tells which orders have ended in it
            return
        money = self._account.money
        currency = money.quote(entry.event.symbol)
        free = money.amounts[currency]
        for order in self._account.working.values():
            if order.enters and money.quote(order.symbol) == currency:
                free = subtract(free, with_fee(order.open_notional(), self._fee_bps))
        self._free[entry.event.number] = self._account.worth(currency, free, entry.pos)

    def on_request(self, snapshot: Snapshot) -> None:
        """Checks the free cash that agents are told; raises InvariantViolation."""
        free = self._free.pop(snapshot.number, None)
        if free is not None and snapshot.buying_power != free:
            raise InvariantViolation(
                f"30: question {snapshot.number} tells {snapshot.buying_power} of free cash, it is {free}"
            )


class CheckedDecisions:
    """The agents of a history, with each snapshot checked before it arrives."""

    def __init__(self, decisions: ScriptedDecisions, check: Callable[[Snapshot], None]) -> None:
        self._decisions, self._check = decisions, check
        self.poll: Callable[[int], Decision | None] = decisions.poll

    @property
    def next_due_ns(self) -> int:
        """When the next decision is known; NEVER if none is pending."""
        return self._decisions.next_due_ns

    def request(self, question: DeliberationRequested, snapshot: Snapshot) -> None:
        """Checks the snapshot, and passes the question on."""
        self._check(snapshot)
        self._decisions.request(question, snapshot)
