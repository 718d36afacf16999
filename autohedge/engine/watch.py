"""A window on a running run: what is recorded, each row if wanted, and each wake of its loop.

A watcher sees and says; it changes nothing, and the record is the same with and without it.
"""

from collections.abc import Callable
from typing import Any, Protocol

from autohedge.core.events import Entry
from autohedge.core.log import warn
from autohedge.engine.engine import Engine
from autohedge.engine.virtual import Recorder
from autohedge.market.tape import Rows


class Watcher(Protocol):
    """What someone who looks on is told: events of the types it wants, rows if it wants them."""

    wants: frozenset[type]
    wants_rows: bool

    def saw(self, entry: Entry) -> None:
        """An event that it wants was recorded."""
        ...

    def row(self, row: int) -> None:
        """A row was taken; asked for by `wants_rows`, which costs speed."""
        ...

    def wake(self) -> None:
        """The run has come some way."""
        ...

    def tell(self, line: str) -> None:
        """A person should know something that is no event."""
        ...

    def close(self) -> None:
        """The run is over, well or not."""
        ...


Watch = Callable[[Engine, Rows, str], Watcher]
"""Makes the watcher of one run, from its engine, its rows and its id."""


class Silent:
    """Nobody looks."""

    wants: frozenset[type] = frozenset()
    wants_rows = False

    def __init__(self, engine: Engine, rows: Rows, run: str) -> None:
        """Take what every watcher is given."""

    def saw(self, entry: Entry) -> None:
        """Say nothing."""

    def row(self, row: int) -> None:
        """Say nothing."""

    def wake(self) -> None:
        """Say nothing."""

    def tell(self, line: str) -> None:
        """Warn: even who looks at nothing wants to know of his own mistakes."""
        warn(line)

    def close(self) -> None:
        """Say nothing."""


class Contained:
    """A watcher whose own faults stay its own: said once, after which it sees no more.

    It stands between the journal and the venue, and must not come between an order and its exit.
    """

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher
        self._sound = True
        self.wants = watcher.wants
        self.wants_rows = watcher.wants_rows

    def saw(self, entry: Entry) -> None:
        """Pass an event on."""
        self._attempt(self._watcher.saw, entry)

    def row(self, row: int) -> None:
        """Pass a row on."""
        self._attempt(self._watcher.row, row)

    def wake(self) -> None:
        """Pass a wake on."""
        self._attempt(self._watcher.wake)

    def tell(self, line: str) -> None:
        """Pass a line on."""
        self._attempt(self._watcher.tell, line)

    def close(self) -> None:
        """Close, sound or not."""
        self._sound = True
        self._attempt(self._watcher.close)

    def _attempt(self, tell: Callable[..., None], *what: Any) -> None:
        if not self._sound:
            return
        try:
            tell(*what)
        except Exception as error:  # noqa: BLE001 - whatever it is, the run goes on
            self._sound = False
            fault = f"{type(error).__name__}: {error}"
            warn("what is shown of this run ends here; the run goes on", fault=fault)


class _Shown:
    def __init__(self, recorder: Recorder, watcher: Watcher) -> None:
        self._recorder = recorder
        self._watcher = watcher
        self._wants = watcher.wants

    def append(self, entry: Entry) -> None:
        self._recorder.append(entry)
        if type(entry.event) in self._wants:
            self._watcher.saw(entry)


def shown(recorder: Recorder, watcher: Watcher) -> Recorder:
    """A recorder that shows a watcher what it has recorded."""
    return _Shown(recorder, watcher) if watcher.wants else recorder
