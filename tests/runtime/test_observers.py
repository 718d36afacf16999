"""Several observers of one run: each gets what it wants, and one that fails does not disturb the others."""

import pytest

from autohedge.app import engine_for
from autohedge.core.events import AnyEvent, EndOfTape, JournalEntry, Timer
from autohedge.runtime.observers import NullObserver, ObserverFactory, ObserverGroup, open_observers, tee
from autohedge.runtime.run_view import RunView
from tests.run_harness import Recording, quotes_tape, settings

TAPE = quotes_tape([(1, 100.0, 101.0)])
VIEW = RunView(engine_for(settings(), TAPE), TAPE.rows)


class Listing(NullObserver):
    """An observer that lists what it was given."""

    wants = frozenset({Timer})

    def __init__(self, view: RunView, run: str) -> None:
        super().__init__(view, run)
        self.seen: list[object] = []

    def on_event(self, entry: JournalEntry) -> None:
        self.seen.append(entry.event)

    def on_row(self, row: int) -> None:
        self.seen.append(row)

    def on_progress(self) -> None:
        self.seen.append("progress")

    def notify(self, line: str) -> None:
        self.seen.append(line)

    def close(self) -> None:
        self.seen.append("closed")


class ListingRows(Listing):
    """A listing observer that wants rows and the end of the tape, but no timers."""

    wants: frozenset[type] = frozenset({EndOfTape})
    wants_rows = True


class Failing(Listing):
    """An observer that lists the events it gets, and fails at each."""

    def on_event(self, entry: JournalEntry) -> None:
        super().on_event(entry)
        raise RuntimeError("broken display")


def _opened(*factories: type[Listing]) -> tuple[ObserverGroup, list[Listing]]:
    made: list[Listing] = []

    def keeping(kind: type[Listing]) -> ObserverFactory:
        def factory(view: RunView, run: str) -> Listing:
            made.append(kind(view, run))
            return made[-1]

        return factory

    return open_observers([keeping(kind) for kind in factories], VIEW, "r"), made


def _entry(event: AnyEvent) -> JournalEntry:
    return JournalEntry(1, 0, event)


def test_each_observer_gets_the_events_and_rows_that_it_wants() -> None:
    group, (timers, rows) = _opened(Listing, ListingRows)
    assert group.wants == {Timer, EndOfTape} and group.wants_rows
    record = Recording()
    recorder = tee(record, group)
    for event in (Timer(1), EndOfTape(), Timer(2)):
        recorder.append(_entry(event))
    group.on_row(7)
    group.on_progress()
    assert timers.seen == [Timer(1), Timer(2), "progress"]
    assert rows.seen == [EndOfTape(), 7, "progress"]
    assert len(record) == 3


def test_observer_that_fails_is_switched_off_and_the_others_go_on() -> None:
    group, (failing, sound) = _opened(Failing, Listing)
    for at_ns in (1, 2):
        group.on_event(_entry(Timer(at_ns)))
    group.notify("a message")
    group.close()
    assert failing.seen == [Timer(1), "closed"]
    assert sound.seen == [Timer(1), Timer(2), "a message", "closed"]


def test_observers_made_before_a_factory_fails_are_closed() -> None:
    first = Listing(VIEW, "r")

    def failing(view: RunView, run: str) -> Listing:
        raise RuntimeError("no terminal")

    with pytest.raises(RuntimeError, match="no terminal"):
        open_observers([lambda *_: first, failing], VIEW, "r")
    assert first.seen == ["closed"]


def test_recorder_without_wanted_events_is_used_as_it_is() -> None:
    record = Recording()
    assert tee(record, open_observers([], VIEW, "r")) is record
