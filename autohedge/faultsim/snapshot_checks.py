"""Invariant 30: no number of a question is used twice, and a question tells the free cash."""

from collections.abc import Callable
from decimal import Decimal

from autohedge.core.events import Decision, DeliberationRequested, JournalEntry
from autohedge.core.money import ZERO, subtract
from autohedge.core.snapshots import Snapshot
from autohedge.faultsim.question_checks import InvariantViolation
from autohedge.faultsim.recorded_account import RecordedAccount
from autohedge.faultsim.recorded_funds import RecordedFunds
from autohedge.faultsim.scripted_decisions import ScriptedDecisions

TOLERANCE = Decimal("1e-9")


class SnapshotChecker:
    """Notes the free money at each question of one record."""

    def __init__(self, account: RecordedAccount, fee_bps: Decimal) -> None:
        self._account, self._funds = account, RecordedFunds(account, fee_bps)
        self._free: dict[int, tuple[Decimal, Decimal]] = {}

    def apply(self, entry: JournalEntry) -> None:
        """Notes the money that no working entry may need, and how exactly, when a question is recorded."""
        if not isinstance(entry.event, DeliberationRequested):
            return
        if self._account.may_be_absent:  # only the end of the step tells which orders have ended in it
            return
        free = self._funds.free(entry.event.symbol, entry.pos)
        # The engine adds the positions of a covered account up in float64.
        rounding = self._account.equity(entry.pos) * TOLERANCE if self._account.covered else ZERO
        self._free[entry.event.number] = free, abs(rounding)

    def on_request(self, snapshot: Snapshot) -> None:
        """Checks the free money that agents are told; raises InvariantViolation."""
        free, rounding = self._free.pop(snapshot.number, (snapshot.buying_power, ZERO))
        if abs(subtract(snapshot.buying_power, free)) > rounding:
            raise InvariantViolation(
                f"30: question {snapshot.number} tells {snapshot.buying_power} of free money, it is {free}"
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
