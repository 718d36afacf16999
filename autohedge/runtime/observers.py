"""A window on a running run: what is recorded, each row if wanted, and each wake of its loop.

A watcher sees and says; it changes nothing, and the record is the same with and without it.
"""

from collections.abc import Callable
from typing import Any, Protocol

from autohedge.core.events import JournalEntry
from autohedge.core.log import warn
from autohedge.engine.engine import Engine
from autohedge.market.tape import Rows
from autohedge.runtime.virtual import Recorder


class RunObserver(Protocol):
    """What someone who looks on is told: events of the types it wants, rows if it wants them."""

    wants: frozenset[type]
    wants_rows: bool

    def on_event(self, entry: JournalEntry) -> None:
        """An event that it wants was recorded."""
        ...

    def on_row(self, row: int) -> None:
        """A row was taken; asked for by `wants_rows`, which costs speed."""
        ...

    def on_progress(self) -> None:
        """The run has come some way."""
        ...

    def notify(self, line: str) -> None:
        """A person should know something that is no event."""
        ...

    def close(self) -> None:
        """The run is over, well or not."""
        ...


ObserverFactory = Callable[[Engine, Rows, str], RunObserver]
"""Makes the watcher of one run, from its engine, its rows and its id."""


class NullObserver:
    """Nobody looks."""

    wants: frozenset[type] = frozenset()
    wants_rows = False

    def __init__(self, engine: Engine, rows: Rows, run: str) -> None:
        """Take what every watcher is given."""

    def on_event(self, entry: JournalEntry) -> None:
        """Say nothing."""

    def on_row(self, row: int) -> None:
        """Say nothing."""

    def on_progress(self) -> None:
        """Say nothing."""

    def notify(self, line: str) -> None:
        """Warn: even who looks at nothing wants to know of his own mistakes."""
        warn(line)

    def close(self) -> None:
        """Say nothing."""


class IsolatedObserver:
    """A watcher whose own faults stay its own: said once, after which it sees no more.

    It stands between the journal and the venue, and must not come between an order and its exit.
    """

    def __init__(self, observer: RunObserver) -> None:
        self._observer = observer
        self._sound = True
        self.wants = observer.wants
        self.wants_rows = observer.wants_rows

    def on_event(self, entry: JournalEntry) -> None:
        """Pass an event on."""
        self._attempt(self._observer.on_event, entry)

    def on_row(self, row: int) -> None:
        """Pass a row on."""
        self._attempt(self._observer.on_row, row)

    def on_progress(self) -> None:
        """Pass a wake on."""
        self._attempt(self._observer.on_progress)

    def notify(self, line: str) -> None:
        """Pass a line on."""
        self._attempt(self._observer.notify, line)

    def close(self) -> None:
        """Close, sound or not."""
        self._sound = True
        self._attempt(self._observer.close)

    def _attempt(self, callback: Callable[..., None], *what: Any) -> None:
        if not self._sound:
            return
        try:
            callback(*what)
        except Exception as error:  # noqa: BLE001 - whatever it is, the run goes on
            self._sound = False
            fault = f"{type(error).__name__}: {error}"
            warn("what is shown of this run ends here; the run goes on", fault=fault)


class _Tee:
    def __init__(self, recorder: Recorder, observer: RunObserver) -> None:
        self._recorder = recorder
        self._observer = observer
        self._wants = observer.wants

    def append(self, entry: JournalEntry) -> None:
        self._recorder.append(entry)
        if type(entry.event) in self._wants:
            self._observer.on_event(entry)


def tee(recorder: Recorder, observer: RunObserver) -> Recorder:
    """A recorder that shows a watcher what it has recorded."""
    return _Tee(recorder, observer) if observer.wants else recorder
