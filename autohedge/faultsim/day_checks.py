"""Invariant 27: the day's loss is measured from the equity at midnight, and deposits are no gain."""

from collections.abc import Callable
from decimal import Decimal

from autohedge.core.clock import NEVER, next_midnight_ns
from autohedge.core.events import JournalEntry, Timer
from autohedge.core.money import add, subtract
from autohedge.execution.portfolio import Portfolio
from autohedge.faultsim.question_checks import InvariantViolation
from autohedge.faultsim.recorded_account import RecordedAccount

# The engine adds holdings up in float64; its sums may differ from exact ones by this share.
TOLERANCE = Decimal("1e-9")


class DayChecker:
    """Follows the equity at the last UTC midnight of one record; every method raises InvariantViolation.

    `deposits` returns the deposits less the withdrawals so far. A flat account waits for no midnight: its
    equity changes by deposits alone.
    """

    def __init__(self, account: RecordedAccount, deposits: Callable[[], Decimal]) -> None:
        self._account, self._deposits = account, deposits
        self._base = account.cash
        # Without a rate, the engine's day starts later, when the first entry could be planned: nothing records it.
        self._is_certain = len(account.money.initial) == 1
        self._midnight_ns = NEVER
        self._checked: Decimal | None = None  # the value that is known to be right; None after a change

    def before(self, entry: JournalEntry) -> None:
        """Takes the equity at a midnight timer, before the account follows it."""
        if isinstance(entry.event, Timer) and entry.event.at_ns >= self._midnight_ns:
            self._midnight_ns = NEVER
            self._checked = None
            self._base = subtract(self._account.equity(entry.pos), self._deposits())
            self._is_certain = self._account.is_valued(entry.pos)

    def after(self) -> None:
        """Waits for the next midnight while there is exposure, once the account has followed an event."""
        account = self._account
        if account.external:
            self._checked = None
        if self._midnight_ns == NEVER and (account.working or any(account.held.values())):
            self._midnight_ns = next_midnight_ns(account.now_ns)

    def step(self, portfolio: Portfolio) -> None:
        """Checks the equity at the start of the day, with later deposits, after a step."""
        here = portfolio.day_start_equity()
        if here == self._checked or not self._is_certain:
            return
        self._checked, recorded = here, add(self._base, self._deposits())
        if here != recorded and abs(subtract(here, recorded)) > abs(recorded) * TOLERANCE:
            raise InvariantViolation(
                f"27: the day started with {here:.8f}, by the record with {recorded:.8f}"
            )
