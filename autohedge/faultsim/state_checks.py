"""Invariants 24 to 26: the engine's time, why entries are off, and the number of errors that halts them.

Unlike invariant 20, which compares the state with the recorded outputs, these follow from the inputs alone.
"""

from collections import deque

from autohedge.core.events import (
    ConnectionStatus,
    Input,
    JournalEntry,
    LoopLag,
    OperatorCommand,
    OrderRejected,
    Reconciled,
    RequestThrottled,
    RequestUnknown,
    Restarted,
    RunStarted,
    Timer,
    TradingStateChanged,
)
from autohedge.core.units import NS_PER_MINUTE
from autohedge.engine.engine import Engine
from autohedge.faultsim.question_checks import InvariantViolation
from autohedge.faultsim.recorded_account import RecordedAccount
from autohedge.faultsim.settings_in_force import SettingsInForce

RECONCILING, LINK, MAINTENANCE, THROTTLED, LAG = "reconciling", "link", "maintenance", "throttled", "lag"
SILENT, PAUSED = "silent", "paused"
# The other causes depend on quotes and limits: a silent feed, the order rate, the day's loss.
FROM_INPUTS = frozenset({RECONCILING, LINK, MAINTENANCE, THROTTLED, LAG, PAUSED})
CHANGES = frozenset(
    {
        RunStarted,
        Restarted,
        ConnectionStatus,
        Reconciled,
        RequestThrottled,
        Timer,
        LoopLag,
        OperatorCommand,
        TradingStateChanged,
    }
)
ERRORS = frozenset({OrderRejected, RequestUnknown, RequestThrottled})


class TimeChecker:
    """Invariant 24: the engine's time never goes back; raises InvariantViolation."""

    def __init__(self, account: RecordedAccount) -> None:
        self._account = account
        self._last_ns = 0

    def step(self, now_ns: int) -> None:
        """Checks the time after a step."""
        least_ns = max(self._last_ns, self._account.now_ns)
        if now_ns < least_ns:
            raise InvariantViolation(f"24: the time goes back by {(least_ns - now_ns) / 1e9:.3f} s")
        self._last_ns = now_ns


class CauseChecker:
    """Invariant 25: entries are off for the causes that the inputs give; every method raises InvariantViolation."""

    def __init__(self, settings: SettingsInForce, account: RecordedAccount) -> None:
        self._account, self._settings = account, settings
        self._causes: set[str] = set()
        self._throttled_until_ns = 0
        self._was_silent = False
        self._cancels_due = ""

    def apply(self, entry: JournalEntry) -> None:
        """Follows one recorded event, after the account has."""
        event = entry.event
        if type(event) not in CHANGES:  # most events
            return
        match event:
            case RunStarted() | Restarted():
                self._causes.add(RECONCILING)
                self._cancels_due = ""
            case ConnectionStatus():
                self._connection_changed(event)
            case Reconciled():
                self._causes.discard(RECONCILING)
            case RequestThrottled() if event.order_id in self._account.orders:
                self._throttled(event)
            case Timer() if event.at_ns >= self._throttled_until_ns:
                self._causes.discard(THROTTLED)
            case LoopLag():
                self._lagged(event)
            case OperatorCommand():
                self._causes = self._causes - {PAUSED} | ({PAUSED} if self._account.paused else set())
            case TradingStateChanged():
                self._silent(event)

    def _connection_changed(self, status: ConnectionStatus) -> None:
        if status.state == "up":
            self._causes -= {LINK, MAINTENANCE}
            self._causes.add(RECONCILING)
        else:
            self._causes.add(LINK if status.state == "down" else MAINTENANCE)

    def _throttled(self, answer: RequestThrottled) -> None:
        self._throttled_until_ns = max(self._throttled_until_ns, answer.until_ns)
        if answer.until_ns > self._account.now_ns:
            self._causes.add(THROTTLED)

    def _lagged(self, lag: LoopLag) -> None:
        if lag.lag_ms <= self._settings.now.risk.max_lag_ms:
            self._causes.discard(LAG)
        elif LAG not in self._causes:
            self._causes.add(LAG)
            self._cancels_due = "lag"

    def _silent(self, event: TradingStateChanged) -> None:
        is_silent = SILENT in event.causes
        if is_silent and not self._was_silent:
            self._cancels_due = "market data timeout"
        self._was_silent = is_silent

    def step(self, engine: Engine) -> None:
        """Checks the causes after a step, and that a lag or a silent feed has cancelled resting entries."""
        here = FROM_INPUTS & set(map(str, engine.state.causes))
        if here != self._causes:
            raise InvariantViolation(
                f"25: entries are off for {sorted(here)}, by the inputs for {sorted(self._causes)}"
            )
        if not self._cancels_due:
            return
        for order in self._account.working.values():
            if order.enters and order.may_rest and not order.cancel_requested:
                raise InvariantViolation(
                    f"25: entry {order.order_id} may rest after a {self._cancels_due}, without a cancel"
                )
        self._cancels_due = ""


class ErrorChecker:
    """Invariant 26: too many errors in a minute halt entries, and only a resume with its id lifts such a halt."""

    def __init__(self, settings: SettingsInForce, account: RecordedAccount) -> None:
        self._account, self._settings = account, settings
        self._errors_ns: deque[int] = deque()
        self._must_halt = False
        self._halt_id: str | None = None

    def apply(self, entry: JournalEntry) -> None:
        """Follows one recorded event, after the account has."""
        event = entry.event
        if isinstance(event, Input):
            self._must_halt = False
            if type(event) in ERRORS:
                self._failed()
        elif isinstance(event, TradingStateChanged):
            self._state_changed(event)
        self._halt_id = self._account.halt_id

    def _state_changed(self, event: TradingStateChanged) -> None:
        if event.is_resume:
            self._resumed()
        elif event.state == "halted" and self._halt_id not in {None, event.halt_id}:
            raise InvariantViolation(f"26: a later halt drops the id {self._halt_id} of an automatic halt")

    def _resumed(self) -> None:
        command = self._account.cause
        named = command.halt_id if isinstance(command, OperatorCommand) else None
        if self._halt_id not in {None, named}:
            raise InvariantViolation(f"26: a resume that names {named} lifts the halt {self._halt_id}")

    def _failed(self) -> None:
        errors_ns, now_ns = self._errors_ns, self._account.now_ns
        errors_ns.append(now_ns)
        while errors_ns[0] <= now_ns - NS_PER_MINUTE:
            errors_ns.popleft()
        self._must_halt = len(errors_ns) > self._settings.now.risk.max_errors_per_minute

    def step(self) -> None:
        """Checks after a step that an error too many has halted entries."""
        if self._must_halt and not self._account.halted:
            raise InvariantViolation(f"26: entries go on after {len(self._errors_ns)} errors within a minute")
