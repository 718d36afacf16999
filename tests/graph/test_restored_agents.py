"""What a restart restores of the agents is what the process had when it died: usage, lessons and prompts.

A run notes all three at each line of its journal, and is then cut after each of them.
"""

import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from autohedge import app
from autohedge.app import wall_run
from autohedge.app.restart import restart
from autohedge.app.wall_run import LaunchOptions
from autohedge.core.clock import NEVER
from autohedge.core.events import Decision, JournalEntry, PromptsChanged
from autohedge.core.ids import nonce_from_seed
from autohedge.graph.prompt_builder import PromptFiles
from autohedge.graph.restore import (
    largest_usage,
    missing_lines,
    prompts_in_force,
    restore_lessons,
    restore_usage,
)
from autohedge.graph.runtime import InProcessRuntime
from autohedge.graph.virtual_time import SimulatedDecisions
from autohedge.journal import RunFolder, read
from autohedge.journal.folder import content_name
from autohedge.llm import transcript
from autohedge.llm.transcript_parts import segment_path
from autohedge.llm.usage import TokenUsage
from autohedge.runtime.virtual import VirtualRuntime
from autohedge.tools.lessons import Lesson
from tests.graph.record_factory import ANSWER, SCRIPT, TIGHT
from tests.run_harness import settings

EAGER: dict[str, Any] = TIGHT | {
    "trading__mode": '"hybrid"',
    "synthetic__hours": 0.1,
    "synthetic__symbols": '["BTC/USD"]',
    "hybrid__gate_refresh_quotes": 40,
    "hybrid__min_refresh_s": 0,
    "hybrid__no_trade_cooldown_quotes": 5,
    "hybrid__learn_every_trades": 1,
    "llm__provider": '"scripted"',
    "llm__script": '"script.jsonl"',
    "llm__retries": 1,
}


@dataclass(frozen=True)
class AgentState:
    """What the agents of a running process have at one line of the journal."""

    transcript_bytes: int
    usage: TokenUsage
    lessons: list[Lesson]
    prompts: dict[str, str]


class StateRecorder(list[JournalEntry]):
    """A recorder that notes the state of the agents at each entry."""

    def __init__(self, transcript: Path, agents: InProcessRuntime, decisions: SimulatedDecisions) -> None:
        super().__init__()
        self._transcript, self._agents, self._decisions = transcript, agents, decisions
        self.prompts = {
            name: content_name(text.encode(), ".md") for name, (text, _) in agents._sources.prompts.items()
        }
        self.states: list[AgentState] = []

    def append(self, entry: JournalEntry) -> None:
        super().append(entry)
        if isinstance(entry.event, PromptsChanged):
            self.prompts = self.prompts | entry.event.prompts
        counts = self._agents._service.counts()
        usage = TokenUsage(counts["calls"], counts["prompt_tokens"], counts["completion_tokens"])
        decided = {
            e.event.at_ns for e in self if isinstance(e.event, Decision) and e.event.verdict == "lesson"
        }
        known = [lesson for lesson in self._decisions._lessons if lesson.formed_ns in decided]
        self.states.append(AgentState(self._transcript.stat().st_size, usage, known, self.prompts))


def _script(lines: Sequence[Any]) -> None:
    Path("script.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))


@pytest.fixture
def lived(workplace: Path) -> tuple[RunFolder, StateRecorder]:
    """A run with edited prompts, lessons, failed and repaired answers, and the state of its agents at each line."""
    _script([*[ANSWER] * 12, *SCRIPT, *[ANSWER] * 100])
    wanted = settings(**EAGER)
    tape, nonce, prompt_files = app.tape_for(wanted, []), nonce_from_seed(wanted.seed), PromptFiles.of(wanted)
    with closing(InProcessRuntime(wanted, prompt_files)) as agents:
        folder, _ = app.open_record(wanted, tape, agents=agents)
        decisions = agents.decision_source(folder.transcript)
        record = StateRecorder(folder.transcript, agents, decisions)
        engine, venue = app.engine_for(wanted, tape), app.venue_for(wanted, tape, nonce)
        runtime = VirtualRuntime(engine, venue, tape.rows, record, decisions, clock=venue)
        runtime.begin(nonce)
        for part, text in ((0.3, "first"), (0.6, "second")):
            at_ns = int(tape.rows.ts[int(len(tape.rows) * part)])
            runtime.advance(at_ns)
            changed = f"{prompt_files.prompts['director'][0]}\n{text}\n"
            sources = prompt_files.with_prompts({"director": (changed, "")})
            runtime.on_prompts = lambda _, now=sources.prompts: agents._service.update_prompts(now)
            runtime.inject(PromptsChanged(at_ns, {"director": folder.store_file(changed.encode(), ".md")}))
        runtime.advance(NEVER)
        runtime.finish()
    return folder, record


def test_restored_state_is_that_of_the_process_at_every_line(lived: tuple[RunFolder, StateRecorder]) -> None:
    folder, record = lived
    first = record.states[0].prompts
    whole, cut = folder.transcript.read_bytes(), folder.path / "cut.jsonl"
    for number, state in enumerate(record.states, start=1):
        cut.write_bytes(whole[: state.transcript_bytes])
        assert restore_usage(cut) == state.usage
        assert restore_lessons(cut, record[:number]) == state.lessons
        assert prompts_in_force(first, record[:number]) == state.prompts
        assert missing_lines(cut, record[:number]) == {}
    last = record.states[-1]
    assert (
        len(last.lessons) > 2 and last.usage.calls > 20 and len({str(s.prompts) for s in record.states}) == 3
    )


def test_cut_transcript_loses_its_lessons_and_its_usage_is_estimated_higher(
    lived: tuple[RunFolder, StateRecorder],
) -> None:
    folder, record = lived
    llm, last = settings(**EAGER).llm, record.states[-1]
    whole, cut = folder.transcript.read_bytes().splitlines(keepends=True), folder.path / "cut.jsonl"
    for kept in range(len(whole)):
        cut.write_bytes(b"".join(whole[:kept]) + whole[kept][:100])
        missing = missing_lines(cut, record)
        lost = {decision.at_ns for decision in missing}
        assert restore_lessons(cut, record) == [each for each in last.lessons if each.formed_ns not in lost]
        usage = restore_usage(cut) + largest_usage(missing, llm)
        assert usage.calls >= last.usage.calls
        assert _tokens(usage) >= _tokens(last.usage)
        assert sum(missing.values()) == len(whole) - kept


def _tokens(usage: TokenUsage) -> int:
    return usage.prompt_tokens + usage.completion_tokens


def test_budget_of_a_restarted_run_counts_the_answers_that_it_lost(workplace: Path) -> None:
    _script([ANSWER] * 100)
    wanted = settings(**EAGER | {"llm__max_calls": 60, "synthetic__hours": 0.2})
    results = wall_run.start(wanted, app.tape_for(wanted, []), LaunchOptions(), seeded=True)
    folder = RunFolder.find(results.run)
    folder.results.unlink()
    lines = folder.journal.read_bytes().splitlines(keepends=True)
    folder.journal.write_bytes(b"".join(lines[: len(lines) // 2]))
    lost = len(_decisions(folder))
    folder.transcript.unlink()
    restarted = restart(folder)
    # Each lost answer may have been sent twice, which is more than the budget allows.
    assert restarted.agents and restarted.agents.calls["calls"] == 2 * lost > 60 > lost
    assert {decision.code for decision in _decisions(folder)[lost:]} == {"budget"}


def test_restored_usage_counts_the_prompts_of_older_segments(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transcript, "SEGMENT_BYTES", 20_000)
    _script([ANSWER] * 100)
    wanted = settings(**EAGER)
    report = app.run(wanted, app.tape_for(wanted, []))
    path = RunFolder.find(report.run).transcript
    assert segment_path(path, 1).is_file() and report.agents
    calls = report.agents.calls
    counted = TokenUsage(calls["calls"], calls["prompt_tokens"], calls["completion_tokens"])
    assert restore_usage(path) == counted


def _decisions(folder: RunFolder) -> list[Decision]:
    return [line.event for line in read(folder.journal) if isinstance(line.event, Decision)]
