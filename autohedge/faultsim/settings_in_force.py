"""The settings in force according to the record: those of the start, and what inputs have changed since."""

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

from autohedge.config import Settings, changes_between, with_changes
from autohedge.core.errors import Misconfigured
from autohedge.core.events import (
    ExternalChange,
    JournalEntry,
    OrderAdopted,
    SettingsChanged,
    SubmitOrder,
    Timer,
)
from autohedge.core.orders import ENTER
from autohedge.faultsim.history import ScheduledChange
from autohedge.faultsim.recorded_account import RecordedAccount


def change_of(before: Settings, change: ScheduledChange, at_ns: int) -> SettingsChanged | None:
    """The input of a change; None if it changes nothing, or does not fit what is in force, as a reload refuses it."""
    try:
        after = with_changes(before, change.changes)
    except Misconfigured:
        return None
    changes = changes_between(before, after)
    return SettingsChanged(at_ns, _digest(before), _digest(after), changes, "operator") if changes else None


def directions_of(settings: Settings) -> tuple[str, ...]:
    """The directions that an entry may have; a cash account holds no shorts."""
    shorts = settings.trading.direction != "long" and settings.account.kind == "covered"
    return ("long",) * (settings.trading.direction != "short") + ("short",) * shorts


def _digest(settings: Settings) -> str:
    return blake2b(repr(settings).encode(), digest_size=8).hexdigest()


class ChangedSettings:
    """The results of changes of settings, each computed once: a restart applies its record from the beginning."""

    def __init__(self) -> None:
        # With the settings before: while they are kept here, no others have their id.
        self._known: dict[tuple[int, str], tuple[Settings, Settings]] = {}

    def after(self, before: Settings, changes: Mapping[str, Any]) -> Settings:
        """The settings after changes."""
        key = id(before), repr(changes)
        if key not in self._known:
            self._known[key] = before, with_changes(before, changes)
        return self._known[key][1]


class SettingsInForce:
    """Follows the settings of one record.

    `now` are those at the last recorded event. `changed` has the names of what that event changed.
    """

    def __init__(
        self,
        settings: Settings,
        symbols: Sequence[str],
        account: RecordedAccount,
        known: ChangedSettings | None = None,
    ) -> None:
        self._account, self._symbols = account, symbols
        self._known = ChangedSettings() if known is None else known
        self.now = settings
        self.changed: frozenset[str] = frozenset()
        self._own = {symbol: settings.for_symbol(symbol) for symbol in symbols}
        self._terms = dict(self._own)

    def of(self, symbol: str) -> Settings:
        """The settings of a symbol."""
        return self._own[symbol]

    def terms(self, symbol: str) -> Settings:
        """The settings at the last entry of a symbol, which hold for its orders, slices and position."""
        return self._terms[symbol]

    def before(self, entry: JournalEntry) -> None:
        """Follows one recorded event, before the account does."""
        event = entry.event
        self.changed = frozenset()
        if isinstance(event, SettingsChanged):
            self.changed = frozenset(event.changes)
            self.now = self._known.after(self.now, event.changes)
            self._own = {symbol: self.now.for_symbol(symbol) for symbol in self._symbols}
        elif isinstance(event, OrderAdopted):
            self._adopted(event.order.symbol)
        elif isinstance(event, ExternalChange) and event.kind == "position":
            self._adopted(event.subject)

    def after(self, entry: JournalEntry) -> None:
        """Follows one recorded event, after the account has: a later slice keeps the settings of its entry."""
        event, account = entry.event, self._account
        if not isinstance(event, SubmitOrder) or event.purpose is not ENTER or account.resent:
            return
        if not isinstance(account.cause, Timer):
            self._terms[event.symbol] = self._own[event.symbol]

    def _adopted(self, symbol: str) -> None:
        """What is adopted without a position or an entry of its symbol gets the settings of now."""
        account = self._account
        if not account.held[symbol] and not any(True for _ in account.working_in(symbol, enters=True)):
            self._terms[symbol] = self._own[symbol]
