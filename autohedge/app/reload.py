"""Applies a changed settings file to a run on a clock."""

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from autohedge.app.trading_run import TradingRun
from autohedge.config import (
    Settings,
    changes_between,
    from_plain,
    restarts_needed,
    rules_not_applied,
    to_plain,
    with_changes,
)
from autohedge.config.changes import describe_changes
from autohedge.core.errors import Refused
from autohedge.core.events import SettingsChanged
from autohedge.journal import read
from autohedge.journal.folder import to_json
from autohedge.journal.genesis import Genesis
from autohedge.runtime.control import Request
from autohedge.runtime.wall import WallRuntime

NO_CHANGE = "the settings are as they were: nothing has changed"


class SettingsReload:
    """Reads the settings as at the start of the run, and injects what differs from those in force."""

    def __init__(
        self, run: TradingRun, wall: WallRuntime, resolve: Callable[[Path | None], Settings]
    ) -> None:
        """`resolve` reads the settings from a file, or from the one that the run was started with."""
        self._folder, self._symbols = run.record.folder, run.tape.symbols
        self._wall, self._resolve = wall, resolve
        self._hash = _hash_in_force(run)
        self._lock = asyncio.Lock()

    async def apply(self, request: Request) -> str:
        """Carries out a request to reload; returns what has changed.

        Raises Misconfigured for settings that are not valid, Refused for a change that no running run can take
        over, Unavailable if the run's folder cannot be written. The settings in force then stay.
        """
        async with self._lock:
            # In a thread, because reading and syncing files takes tens of milliseconds, and quotes do not wait.
            changes, new_hash = await asyncio.to_thread(self._prepare, request.config)
            if not changes:
                return NO_CHANGE
            change = partial(SettingsChanged, old_hash=self._hash, new_hash=new_hash, changes=changes)
            self._wall.inject(partial(change, reason=request.reason, actor=request.actor))
            self._hash = new_hash
            return f"settings changed: {describe_changes(changes)}"

    def _prepare(self, config: str) -> tuple[dict[str, Any], str]:
        """Returns what differs, and the hash of the new settings, whose file is stored."""
        # From the file, not from the engine: a restarted run has another path of its strategy.
        old = from_plain(self._folder.settings(f"{self._hash}.json"))
        new = self._resolve(Path(config) if config else None)
        rules_not_applied(new, self._symbols)
        changes = changes_between(old, new)
        if fixed := restarts_needed(changes):
            raise Refused(f"{', '.join(fixed)} cannot change during a run; start a new run for that")
        plain = to_plain(with_changes(old, changes))
        return changes, Path(self._folder.store_file(to_json(plain), ".json")).stem


def _hash_in_force(run: TradingRun) -> str:
    """Returns the hash of the settings at the end of a record, which names their file."""
    changes = [entry.event for entry in run.record.entries if isinstance(entry.event, SettingsChanged)]
    if changes:
        return changes[-1].new_hash
    return Path(Genesis.of(next(read(run.record.folder.journal))).settings).stem
