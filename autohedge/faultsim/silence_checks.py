"""Invariant 25, the part on a silent feed: rows with prices, and only these, keep it alive."""

from autohedge.core.events import JournalEntry, Restarted
from autohedge.core.units import NS_PER_S
from autohedge.faultsim.question_checks import InvariantViolation
from autohedge.faultsim.recorded_account import RecordedAccount
from autohedge.faultsim.settings_in_force import SettingsInForce

SILENT = "silent"


class SilenceChecker:
    """Compares the silence that the engine knows of with the rows that came; raises InvariantViolation."""

    def __init__(self, settings: SettingsInForce, account: RecordedAccount) -> None:
        self._account, self._settings = account, settings
        self._since_ns = 0  # from then on, the account had exposure and the same timeout
        self._timeout_ns = 0
        self._was_silent = False

    def apply(self, entry: JournalEntry) -> None:
        """Follows one recorded event, after the account has; a restart counts from its own time."""
        if isinstance(entry.event, Restarted):
            self._since_ns = self._account.now_ns

    def step(self, pos: int, now_ns: int) -> None:
        """Checks after a step that the feed counts as silent if it is, and does not become it before."""
        account, timeout_ns = self._account, round(self._settings.now.risk.silent_feed_s * NS_PER_S)
        is_silent, was_silent = SILENT in account.causes, self._was_silent
        last_ns, self._was_silent = account.quotes.last_priced_ns(pos), is_silent
        if is_silent and not was_silent and now_ns < last_ns + timeout_ns:
            raise InvariantViolation(f"25: the feed is silent {(now_ns - last_ns) / 1e9:.3f} s after a price")
        has_exposure = bool(account.working) or any(account.held.values())
        if not has_exposure or timeout_ns != self._timeout_ns:
            self._since_ns, self._timeout_ns = now_ns, timeout_ns
        elif timeout_ns and not is_silent and now_ns > max(last_ns, self._since_ns) + timeout_ns + 1:
            raise InvariantViolation(
                f"25: the feed is not silent {(now_ns - last_ns) / 1e9:.3f} s after a price"
            )
