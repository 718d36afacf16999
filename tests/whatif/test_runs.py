"""Tests the two simulated runs of a study: the baseline and the variant."""

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from autohedge import app
from autohedge.app import wall_run
from autohedge.app.records import RecordOptions
from autohedge.app.wall_run import LaunchOptions
from autohedge.core.events import Decision, DeliberationRequested, JournalEntry
from autohedge.core.orders import SELL
from autohedge.journal import RunFolder
from autohedge.journal.folder import RUNS
from autohedge.market import parse_source
from autohedge.whatif import Change, study
from autohedge.whatif.as_json import as_dict
from autohedge.whatif.change import plan
from autohedge.whatif.recorded_run import KeyTracker, read_record
from autohedge.whatif.simulations import _played
from autohedge.whatif.terminal import print_study
from tests.run_harness import settings
from tests.whatif.study_factory import (
    CAREFUL,
    LIVELY,
    events,
    obeying,
    prompts,
    recorded,
    require_sound,
    server_settings,
    studied,
)

pytestmark = pytest.mark.process


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("mode", ["hybrid", "llm"])
def test_the_baseline_of_a_virtual_run_is_that_run_event_for_event(mode: str, seed: int) -> None:
    provider = "chaos" if seed == 2 else "rules"
    cache = {"hybrid__cache_verdicts": seed == 1}
    folder = recorded(trading__mode=f'"{mode}"', seed=seed, llm__provider=f'"{provider}"', **cache)
    found = studied(folder, mode="hft" if seed == 3 else "", provider="" if seed == 3 else "rules")
    assert found.reproduced
    assert events(found.runs.baseline.run) == events(folder.id)
    assert found.runs.unrecorded == 0 and found.runs.comparable
    transcripts = [
        RunFolder(RUNS / run).transcript.read_bytes() for run in (folder.id, found.runs.baseline.run)
    ]
    assert transcripts[0] == transcripts[1]


def test_the_baseline_takes_as_long_as_was_measured(place: Path) -> None:
    line = {"text": "no", "service_ms": 1234.5}
    script = place / "script.jsonl"
    script.write_text(json.dumps(line) + "\n" + json.dumps(line | {"service_ms": 7.5}) + "\n")
    latency = {"llm__provider": '"scripted"', "llm__script": f'"{script}"', "llm__latency": '"measured"'}
    folder = recorded(**latency)
    found = studied(folder, overrides=("exits.stop_loss_bps=3",))
    decisions = [e.event for e in events(found.runs.baseline.run) if isinstance(e.event, Decision)]
    assert {decision.at_ns - decision.asked_ns for decision in decisions} & {1_242_000_000}
    assert events(found.runs.baseline.run) == events(folder.id)


def test_variant_without_agents_equals_strategy_run() -> None:
    folder = recorded()
    found = studied(folder, mode="hft")
    assert found.reasked.no_question_reason == "no question is asked: hft mode uses no agents"
    alone = app.run(settings(**LIVELY | {"trading__mode": '"hft"'}), found.record.tape)
    assert events(found.runs.variant.run) == events(alone.run)
    assert len(found.runs.unmatched[0]) == len(found.record.pasts) and not found.runs.unmatched[1]


def test_variant_can_add_agents_to_hft_run() -> None:
    found = studied(recorded(trading__mode='"hft"'), mode="llm")
    assert found.reasked.no_question_reason == "no question is re-asked: the recorded run has none"
    assert found.reproduced and found.runs.variant.mode == "llm"
    assert found.runs.unmatched[1] and found.runs.sent_count > 0


def test_wall_clock_run_is_resimulated() -> None:
    wanted = settings(**LIVELY)
    tape = app.tape_for(wanted, [])
    run = wall_run.start(wanted, tape, LaunchOptions(speed=None), seeded=False).run
    found = studied(RunFolder.find(run), prompts=prompts())
    assert found.record.on_clock
    codes = [e.event.code for e in events(found.runs.baseline.run) if isinstance(e.event, Decision)]
    assert codes.count("unrecorded") == found.runs.unrecorded
    assert found.runs.comparable is (10 * found.runs.unrecorded <= len(codes))
    assert not found.reasked.changed
    assert found.runs.baseline.mode == "hybrid"


def test_a_seeded_run_on_a_clock_is_as_one_in_virtual_time() -> None:
    wanted = settings(**LIVELY)
    run = wall_run.start(wanted, app.tape_for(wanted, []), LaunchOptions(speed=None), seeded=True).run
    found = studied(RunFolder.find(run), overrides=("exits.stop_loss_bps=4",))
    assert not found.record.on_clock and found.reproduced
    assert found.runs.unrecorded == 0


def test_a_seeded_run_with_commands_is_simulated_without_them(capsys: pytest.CaptureFixture[str]) -> None:
    wanted, started = settings(**LIVELY), list[JournalEntry]()

    class Interrupting(KeyTracker):
        """An observer that stops the run at its first question, as Ctrl-C does."""

        def on_event(self, entry: JournalEntry) -> None:
            if isinstance(entry.event, DeliberationRequested) and not started:
                started.append(entry)
                os.kill(os.getpid(), signal.SIGINT)

    tape, launch = app.tape_for(wanted, []), LaunchOptions(speed=None)
    run = wall_run.start(wanted, tape, launch, seeded=True, observers=[Interrupting().watch])
    assert run.interrupted
    found = studied(RunFolder.find(run.run), overrides=("exits.stop_loss_bps=4",))
    assert not found.record.on_clock and found.reproduced is False
    capsys.readouterr()
    print_study(found)
    shown = " ".join(capsys.readouterr().out.split())
    assert "without the recorded run's commands, changed settings and restarts" in shown
    assert "autohedge replay" not in shown


def test_a_study_of_a_run_with_shorts_shows_entries_by_direction(capsys: pytest.CaptureFixture[str]) -> None:
    both = {"trading__mode": '"hft"', "trading__direction": '"both"', "account__kind": '"covered"'}
    found = studied(recorded(**both), overrides=("trading.direction=long",))
    old, new = found.runs.baseline, found.runs.variant
    shorts = sum(fill.reason == "entry" and fill.side is SELL for fill in old.parsed_fills())
    assert shorts and (old.shorts, new.shorts) == (shorts, None)
    runs = as_dict(found)["runs"]
    assert [runs[each]["shorts"] for each in ("baseline", "variant", "difference")] == [shorts, 0, -shorts]
    assert runs["variant"]["longs"] == new.buys
    capsys.readouterr()
    print_study(found)
    assert f"entries, short {shorts} 0 -{shorts}" in " ".join(capsys.readouterr().out.split())
    alike = as_dict(studied(recorded(trading__mode='"hft"'), overrides=("exits.stop_loss_bps=4",)))
    assert "shorts" not in alike["runs"]["baseline"]


def test_a_question_that_the_record_does_not_know_is_an_abstention(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = recorded()
    whole = folder.journal.read_bytes().splitlines(keepends=True)
    lines = folder.transcript.read_bytes().splitlines(keepends=True)
    folder.results.unlink()
    folder.journal.write_bytes(b"".join(whole[: len(whole) // 3]))
    folder.transcript.write_bytes(b"".join(lines[: len(lines) // 3]))
    found = studied(folder, mode="hft")
    unknown = [
        e.event for e in events(found.runs.baseline.run) if isinstance(e.event, Decision) and e.event.code
    ]
    assert {(decision.verdict, decision.code) for decision in unknown} == {("abstain", "unrecorded")}
    assert len(unknown) == found.runs.unrecorded > 0
    assert not found.runs.comparable
    capsys.readouterr()
    print_study(found)
    output = capsys.readouterr().out
    assert "n/a" in output and "too many to compare" in output
    assert as_dict(found)["runs"]["comparable"] is False
    assert found.reproduced is None


def test_a_packed_run_works_wherever_it_was_moved(place: Path) -> None:
    tape = place / "BTC.csv"
    quotes = [f"{1_700_000_000_000_000_000 + s * 10**9},{100 + s % 7},{100.01 + s % 7}" for s in range(300)]
    tape.write_text("\n".join(["ts_ns,bid,ask", *quotes]))
    wanted = settings(**LIVELY)
    run = app.run(wanted, app.tape_for(wanted, [parse_source(f"BTC/USD={tape}")])).run
    folder = RunFolder.find(run)
    app.pack(folder)
    moved = RunFolder(Path(shutil.move(folder.path, place / "elsewhere")))
    # The path in the genesis must not be needed.
    tape.unlink()
    found = studied(moved, prompts=prompts("director", CAREFUL))
    assert found.reproduced
    assert found.record.folder.path == place / "elsewhere"


class _Interrupted(KeyTracker):
    """An observer that simulates Ctrl-C at the third question."""

    def __init__(self) -> None:
        super().__init__()
        self.left = 3

    def on_event(self, entry: JournalEntry) -> None:
        super().on_event(entry)
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


def test_an_interruption_leaves_no_half_run() -> None:
    folder = recorded()
    record, before = read_record(folder), set(RUNS.iterdir())
    wanted = plan(record, Change(provider="chaos"))
    assert wanted.sources
    with pytest.raises(KeyboardInterrupt), app.open_agents(wanted.settings, record.tape) as runtime:
        _played(record, wanted.settings, runtime, _Interrupted(), RecordOptions())
    assert set(RUNS.iterdir()) == before


def test_study_with_model_announces_calls_and_progress() -> None:
    notices: list[str] = []
    with obeying() as server:
        folder = recorded(**server_settings(server))
        study(folder, Change(prompts=prompts(adding=CAREFUL)), notices.append)
    first, then, last = notices
    count = len(read_record(folder).pasts)
    assert first.startswith("[LLM] openai · meta/llama (vllm): ") and first.endswith(" calls at most")
    assert int(first.split(": ")[1].split()[0]) <= count
    assert then.startswith("[LLM] the first question took ") and last.startswith(
        "[LLM] simulating the variant"
    )


def test_variant_run_reuses_reasked_answers() -> None:
    with obeying() as server:
        folder = recorded(**server_settings(server))
        found = studied(folder, prompts=prompts(adding="One word more."))
    assert not found.reasked.changed
    learning = sum(past.question.kind == "learning" for past in found.record.pasts.values())
    assert found.runs.sent_count == 0 and found.runs.reused >= len(found.reasked.compared)
    assert found.runs.reused <= len(found.reasked.compared) + learning + found.reasked.unanswered


def test_both_runs_of_a_study_are_sound_records() -> None:
    found = study(recorded(), Change(provider="chaos"))
    for run in (found.runs.baseline.run, found.runs.variant.run):
        require_sound(RunFolder.find(run))
        results: dict[str, Any] = json.loads(RunFolder.find(run).results.read_bytes())
        assert results["run"] == run
