"""Observers of a running run: they receive recorded events, rows if wanted, and each wake of the loop.

An observer displays and logs. It changes nothing, so the record is the same with and without it.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from autohedge.core.events import JournalEntry
from autohedge.core.log import warn
from autohedge.core.ports import Recorder, RunObserver
from autohedge.journal.chain import closing_on_error
from autohedge.runtime.run_view import RunView

ObserverFactory = Callable[[RunView, str], RunObserver]
"""Makes the observer of one run from a view of it and its run id."""


class NullObserver:
    """An observer that ignores everything except messages for a person."""

    wants: frozenset[type] = frozenset()
    wants_rows = False

    def __init__(self, view: RunView, run: str) -> None:
        """Takes the arguments of an `ObserverFactory`."""

    def on_event(self, entry: JournalEntry) -> None:
        """Does nothing."""

    def on_row(self, row: int) -> None:
        """Does nothing."""

    def on_progress(self) -> None:
        """Does nothing."""

    def notify(self, line: str) -> None:
        """Logs a warning: a message for a person must not be lost."""
        warn(line)

    def close(self) -> None:
        """Does nothing."""


class IsolatedObserver:
    """Wraps an observer so that its errors do not reach the run.

    The first error is logged; after it the observer receives nothing but `close`. Observers are called
    between the journal and the venue, so an error there could keep an order from leaving.
    """

    def __init__(self, observer: RunObserver) -> None:
        self._observer = observer
        self._sound = True
        self.wants = observer.wants
        self.wants_rows = observer.wants_rows

    def on_event(self, entry: JournalEntry) -> None:
        """Passes an event on."""
        self._attempt(self._observer.on_event, entry)

    def on_row(self, row: int) -> None:
        """Passes a row on."""
        self._attempt(self._observer.on_row, row)

    def on_progress(self) -> None:
        """Passes a wake on."""
        self._attempt(self._observer.on_progress)

    def notify(self, line: str) -> None:
        """Passes a message on."""
        self._attempt(self._observer.notify, line)

    def close(self) -> None:
        """Closes the observer, even after an error."""
        self._sound = True  # a broken display may still hold the terminal
        self._attempt(self._observer.close)

    def _attempt(self, callback: Callable[..., None], *what: Any) -> None:
        if not self._sound:
            return
        try:
            callback(*what)
        except Exception as error:  # noqa: BLE001 - whatever it is, the run goes on
            self._sound = False
            fault = f"{type(error).__name__}: {error}"
            warn("the display of this run failed and is switched off; the run goes on", fault=fault)


class ObserverGroup:
    """The observers of a run as one; one that fails is switched off, and the others go on."""

    def __init__(self, observers: Iterable[RunObserver]) -> None:
        self._observers = [IsolatedObserver(each) for each in observers]
        self.wants = frozenset[type]().union(*(each.wants for each in self._observers))
        self.wants_rows = any(each.wants_rows for each in self._observers)

    def on_event(self, entry: JournalEntry) -> None:
        """Passes an event on to those that want its type."""
        for each in self._observers:
            if type(entry.event) in each.wants:
                each.on_event(entry)

    def on_row(self, row: int) -> None:
        """Passes a row on to those that want rows."""
        for each in self._observers:
            if each.wants_rows:
                each.on_row(row)

    def on_progress(self) -> None:
        """Passes a wake on."""
        for each in self._observers:
            each.on_progress()

    def notify(self, line: str) -> None:
        """Passes a message on."""
        for each in self._observers:
            each.notify(line)

    def close(self) -> None:
        """Closes all observers."""
        for each in self._observers:
            each.close()


def open_observers(factories: Sequence[ObserverFactory], view: RunView, run: str) -> ObserverGroup:
    """Makes the observers of a run; without any, messages for a person are logged."""
    opened: list[RunObserver] = []
    with closing_on_error(lambda: ObserverGroup(opened).close()):
        opened.extend(factory(view, run) for factory in factories or (NullObserver,))
    return ObserverGroup(opened)


class _Tee:
    def __init__(self, recorder: Recorder, observer: RunObserver) -> None:
        self._recorder = recorder
        self._observer = observer
        self._wants = observer.wants

    def append(self, entry: JournalEntry) -> None:
        # Recorded first: what an observer shows is in the journal.
        self._recorder.append(entry)
        if type(entry.event) in self._wants:
            self._observer.on_event(entry)


def tee(recorder: Recorder, observer: RunObserver) -> Recorder:
    """A recorder that passes recorded events on to an observer."""
    return _Tee(recorder, observer) if observer.wants else recorder
