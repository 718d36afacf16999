"""Prompts edited during a run: used from the next request on, recorded, and used in both replays."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from autohedge import app
from autohedge.app import wall_run
from autohedge.app.wall_run import LaunchOptions
from autohedge.core.events import DeliberationRequested, Event, JournalEntry, PromptsChanged, Restarted
from autohedge.core.results import RunReport
from autohedge.journal import RunFolder, read, verify
from autohedge.journal.folder import content_name
from autohedge.market import Tape
from autohedge.prompts import builtin_names, builtin_path, load
from autohedge.runtime.observers import NullObserver, ObserverFactory
from tests.graph.record_factory import transcribed
from tests.process_harness import Process, ProcessHarness, kill
from tests.run_harness import settings

pytestmark = pytest.mark.process

SPEED = "120"
CLOCKED: dict[str, Any] = {
    "trading__mode": "hybrid",
    "synthetic__hours": 6,
    "hybrid__deadline_s": 120,
    "hybrid__gate_refresh_quotes": 40,
    "hybrid__min_refresh_s": 0,
    "hybrid__no_trade_cooldown_quotes": 5,
    "llm__provider": "rules",
    "chatter_level": "normal",
}
TEAM = CLOCKED | {
    "trading__mode": "llm",
    "llm__min_interval_s": 5,
    "llm__no_trade_cooldown_quotes": 1,
    "agents__director__min_confidence_pct": 0,
}
TIMEOUT_S = 60.0
QUESTION, CHANGED = "question ", "[AGENT] Prompts changed: "


class Trader:
    """A run in a process of its own, its log lines, and its folder of prompts."""

    def __init__(self, path: Path, *args: str, agent: str = "director") -> None:
        self.place = ProcessHarness(path, CLOCKED if agent == "director" else TEAM)
        self.file = path / "prompts" / f"{agent}.md"
        self.file.parent.mkdir(exist_ok=True)
        self.process: Process = self.place.start(*(args or ("run", "--speed", SPEED, "--json")))
        assert self.process.stderr
        self._lines = iter(self.process.stderr.readline, "")

    @property
    def folder(self) -> RunFolder:
        journal = self.place.journal()
        assert journal
        return RunFolder(journal.parent)

    def edit(self, new: str, old: str = "You watch") -> str:
        """Saves another prompt as an editor does; returns the name of its stored file."""
        draft = self.file.with_suffix(".swp")
        draft.write_text(builtin_path(self.file.stem).read_text().replace(old, new, 1))
        draft.replace(self.file)
        return _stored_name(self.file)

    def until(self, *marks: str) -> str:
        """Reads on to the lines with these marks, in order; returns the last one."""
        line = ""
        for mark in marks:
            line = next((each for each in self._lines if mark in each), "")
            assert line, f"the run ended without a line with {mark!r}"
        return line

    def until_answered_with(self, name: str, times: int = 1) -> None:
        """Waits until `times` requests that were rendered from this prompt have been answered."""
        while self.answered_with(name) < times:
            self.until(QUESTION)

    def answered_with(self, name: str) -> int:
        """Counts this prompt in the transcript, which may be incomplete while the run writes it."""
        return self.folder.transcript.read_bytes().count(f'"prompt_hash":"{Path(name).stem}"'.encode())

    def signal_worker(self, which: signal.Signals) -> None:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        (pid,) = (
            int(each) for each in children if b"graph.worker" in Path(f"/proc/{each}/cmdline").read_bytes()
        )
        os.kill(pid, which)

    def end(self) -> RunFolder:
        """Interrupts the run, and returns its record."""
        self.process.send_signal(signal.SIGINT)
        self.process.communicate(timeout=TIMEOUT_S)
        assert self.process.returncode == 1
        return self.folder


def _stored_name(path: Path) -> str:
    return content_name(path.read_bytes(), ".md")


Begin = Callable[..., Trader]


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Begin]:
    traders: list[Trader] = []

    def start(*args: str, agent: str = "director") -> Trader:
        traders.append(Trader(tmp_path, *args, agent=agent))
        return traders[-1]

    yield start
    for trader in traders:
        kill(trader.process)


def _events(folder: RunFolder) -> list[Event]:
    return [line.event for line in read(folder.journal) if line.event]


def _questions_by_prompt(folder: RunFolder) -> dict[str, int]:
    """Counts requests by prompt; each must be rendered from the prompt in force at its request."""
    in_force = {name: f"{load(name).hash}.md" for name in builtin_names()}
    expected: dict[int, dict[str, str]] = {}
    for event in _events(folder):
        if isinstance(event, PromptsChanged):
            in_force = in_force | event.prompts
        elif isinstance(event, DeliberationRequested):
            expected[event.number] = in_force
    counted: dict[str, int] = {}
    for line in transcribed(folder):
        if line.request:
            name = f"{line.request.prompt_hash}.md"
            assert name == expected[line.deliberation][line.request.agent], line.deliberation
            counted[name] = counted.get(name, 0) + 1
    return counted


def _holds(folder: RunFolder) -> None:
    assert verify(folder).finished
    assert app.replay_engine(folder) == (None, True)
    replay = app.replay_deliberations(folder)
    assert replay and replay.difference is None and replay.requests > 0


def test_prompt_edit_applies_from_next_question_and_broken_one_does_not(begin: Begin) -> None:
    trader = begin(agent="quant")
    original = _stored_name(builtin_path("quant"))
    trader.until(QUESTION)
    trader.until_answered_with(original)
    first = trader.edit("You prove", "You test")
    assert f"quant (hash {first[:4]}…), from the next question on" in trader.until(CHANGED)
    trader.until_answered_with(first)
    trader.edit("{tabel}", "{table}")
    assert ": there is no field {tabel} (did you mean table?)" in trader.until("prompts/quant.md, line ")
    second = trader.edit("You doubt", "You test")
    trader.until(CHANGED)
    trader.until_answered_with(second)
    before = trader.answered_with(original)
    trader.file.unlink()
    trader.until(CHANGED)
    trader.until_answered_with(original, before + 1)
    folder = trader.end()
    changes = [event for event in _events(folder) if isinstance(event, PromptsChanged)]
    assert [event.prompts for event in changes] == [{"quant": name} for name in (first, second, original)]
    assert _questions_by_prompt(folder).keys() >= {first, second, original}
    assert 0 < changes[0].at_ns < changes[1].at_ns < changes[2].at_ns
    assert not list((folder.path / "files").glob("*.tmp"))
    assert builtin_path("quant").read_bytes() == folder.stored_file(original).read_bytes()
    _holds(folder)


def test_a_frozen_and_a_killed_worker_get_the_prompts_of_each_question(begin: Begin) -> None:
    trader = begin()
    trader.until("Gate OPEN")
    trader.signal_worker(signal.SIGSTOP)
    trader.until(QUESTION)
    first = trader.edit("Today you watch")
    trader.until(CHANGED, QUESTION)
    trader.signal_worker(signal.SIGCONT)
    trader.until_answered_with(first)
    second = trader.edit("Tomorrow you watch")
    trader.until(CHANGED)
    trader.signal_worker(signal.SIGSTOP)
    trader.until(QUESTION)
    trader.signal_worker(signal.SIGKILL)
    trader.until("worker_died")
    trader.until_answered_with(second, trader.answered_with(second) + 1)
    third = trader.edit("Later you watch")
    trader.until_answered_with(third)
    folder = trader.end()
    assert _questions_by_prompt(folder).keys() >= {first, second, third}
    results = folder.read_results()
    assert results and results["agents"]["worker_deaths"] == 1
    _holds(folder)


def test_restart_uses_recorded_prompts_then_applies_new_edits(
    begin: Begin,
) -> None:
    trader = begin()
    trader.until("Gate OPEN")
    first = trader.edit("Today you watch")
    trader.until(CHANGED)
    trader.until_answered_with(first)
    kill(trader.process)
    missed = trader.edit("Yesterday you watched")
    restarted = begin("restart", trader.folder.id, "--json")
    restarted.until("[TRACKER] Restarted")
    restarted.until_answered_with(first, restarted.answered_with(first) + 1)
    second = restarted.edit("Tomorrow you watch")
    restarted.until(CHANGED)
    restarted.until_answered_with(second)
    folder = restarted.end()
    counted, events = _questions_by_prompt(folder), _events(folder)
    assert missed not in counted and counted[second] >= 1
    at = next(n for n, event in enumerate(events) if isinstance(event, Restarted))
    changed = max(n for n, event in enumerate(events) if isinstance(event, PromptsChanged))
    between = {event.number for event in events[at:changed] if isinstance(event, DeliberationRequested)}
    requests = [line.request for line in transcribed(folder) if line.deliberation in between and line.request]
    assert requests and all(f"{request.prompt_hash}.md" == first for request in requests)
    _holds(folder)


class _Editor(NullObserver):
    """Edits a prompt file at every deliberation request of the run."""

    wants = frozenset({DeliberationRequested})

    def on_event(self, entry: JournalEntry) -> None:
        path = Path("prompts/director.md")
        path.parent.mkdir(exist_ok=True)
        path.write_text(builtin_path("director").read_text() + f"\nBe brief at {entry.seq}.\n")


def _records(report: RunReport) -> tuple[bytes, bytes]:
    folder = RunFolder.find(report.run)
    return folder.journal.read_bytes(), folder.transcript.read_bytes()


def test_virtual_and_seeded_runs_ignore_prompt_edits(workplace: Path) -> None:
    wanted = settings(
        **CLOCKED
        | {
            "trading__mode": '"hybrid"',
            "llm__provider": '"rules"',
            "synthetic__hours": 0.05,
            "chatter_level": '"low"',
        }
    )
    tape = app.tape_for(wanted, [])

    def seeded(tape: Tape, observer_factory: ObserverFactory) -> RunReport:
        Path("prompts/director.md").unlink(missing_ok=True)
        return wall_run.start(wanted, tape, LaunchOptions(100.0), seeded=True, observers=[observer_factory])

    plain, edited = app.run(wanted, tape), app.run(wanted, tape, [_Editor])
    clocked = seeded(tape, _Editor)
    assert Path("prompts/director.md").is_file()
    assert _records(plain) == _records(edited) == _records(clocked)
    assert len(_records(plain)[1]) > 0
