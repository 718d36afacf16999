"""Tape runs with agents whose process died: the restarted run ends as an uninterrupted one does."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from autohedge import app
from autohedge.app.restart import restart
from autohedge.app.verification import check_record
from autohedge.audit import AuditFilter, audit
from autohedge.core.errors import Corrupt, Misconfigured, Unavailable
from autohedge.core.events import Continued, Decision, DeliberationRequested, FillBooked, SubmitOrder
from autohedge.journal import RunFolder, read, verify
from autohedge.llm import transcript
from autohedge.llm.transcript import encode_entry
from autohedge.llm.transcript import read as read_transcript
from autohedge.llm.transcript_parts import parts, segment_path
from tests.graph.record_factory import TIGHT, hybrid
from tests.llm.imitation_server import Imitation, ReceivedRequest, Reply, json_reply, llama_cpp
from tests.made_once import recorded_once
from tests.process_harness import ProcessHarness
from tests.run_harness import settings

LLM: dict[str, Any] = TIGHT | {
    "trading__mode": '"llm"',
    "synthetic__hours": 0.3,
    "synthetic__symbols": '["BTC/USD"]',
    "llm__min_interval_s": 20,
    "hybrid__learn_every_trades": 1,
    "agents__director__min_confidence_pct": 0,
}
CACHED: dict[str, Any] = TIGHT | {"hybrid__cache_verdicts": True, "hybrid__verdict_ttl_s": 20}


def _events(folder: RunFolder, *kinds: type) -> list[Any]:
    return [line.event for line in read(folder.journal) if isinstance(line.event, kinds)]


def _llm() -> RunFolder:
    wanted = settings(**LLM)
    return RunFolder.find(app.run(wanted, app.tape_for(wanted, [])).run)


@pytest.fixture(scope="session", params=["hybrid", "llm"])
def whole(request: pytest.FixtureRequest, session_folder: Path) -> RunFolder:
    """A finished run with trades; tests cut copies of it."""
    makes = {"hybrid": lambda: hybrid(**CACHED), "llm": _llm}
    return recorded_once(session_folder / f"uninterrupted-{request.param}", makes[request.param])


def _cut(folder: RunFolder, lines: int, spare: int = 0) -> RunFolder:
    """Returns a copy that ends after some lines of the journal; the transcript has `spare` questions more."""
    copy = RunFolder(Path(shutil.copytree(folder.path, Path("runs") / f"{folder.id}-{lines}-{spare}")))
    copy.results.unlink()
    copy.journal.write_bytes(b"".join(copy.journal.read_bytes().splitlines(keepends=True)[:lines]))
    asked = len(_events(copy, DeliberationRequested)) + spare
    kept = [
        raw
        for raw in copy.transcript.read_bytes().splitlines(True)
        if json.loads(raw)["deliberation"] <= asked
    ]
    copy.transcript.write_bytes(b"".join(kept))
    return copy


def _outcome(folder: RunFolder) -> dict[str, Any]:
    """What a run did, without the ids that a restart changes."""
    results = folder.read_results() or {}
    fills = [
        {key: value for key, value in fill.items() if not key.endswith("id")} for fill in results["fills"]
    ]
    decisions = [(d.number, d.at_ns, d.verdict, d.code, d.calls) for d in _events(folder, Decision)]
    same = ("cash", "realized_pnl", "fees", "codes", "deliberations", "equity", "buys", "sells")
    return {"fills": fills, "decisions": decisions} | {key: results.get(key) for key in same}


def _places(folder: RunFolder) -> list[int]:
    """Lines to cut at: after a question, after an order, after its fill, near start, middle and end."""
    events = [line.event for line in read(folder.journal)]
    first = [
        next(n for n, event in enumerate(events) if isinstance(event, kind)) + 1
        for kind in (DeliberationRequested, Decision, SubmitOrder, FillBooked)
    ]
    return [1, *first, len(events) // 2, len(events) - 3, len(events)]


def test_run_cut_anywhere_ends_as_an_uninterrupted_one(whole: RunFolder, workplace: Path) -> None:
    assert _events(whole, FillBooked)
    for number, lines in enumerate(_places(whole)):
        folder = _cut(whole, lines, spare=3 * (number % 2))
        recorded, answers = folder.journal.read_bytes(), folder.transcript.read_bytes()
        restart(folder)
        assert _outcome(folder) == _outcome(whole), lines
        assert folder.journal.read_bytes().startswith(recorded)
        assert folder.transcript.read_bytes().startswith(answers)
    assert verify(folder).finished and app.replay_engine(folder) == (None, True)
    replay = app.replay_deliberations(folder)
    assert replay and replay.difference is None


def test_run_cut_twice_continues_twice(whole: RunFolder, workplace: Path) -> None:
    third = len(whole.journal.read_bytes().splitlines()) // 3
    once = _cut(whole, third)
    restart(once)
    twice = _cut(once, 2 * third)
    results = restart(twice)
    assert _outcome(twice) == _outcome(whole)
    assert results.restarts == len(_events(twice, Continued)) == 2
    assert len({event.nonce for event in _events(twice, Continued)}) == 2


def _transcript_files(folder: RunFolder) -> dict[str, bytes]:
    return {
        path.name: path.read_bytes() for path in [folder.transcript, *folder.path.glob("transcript/*.gz")]
    }


def test_run_with_segments_is_continued_and_read_as_any_other(
    session_folder: Path, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transcript, "SEGMENT_BYTES", 30_000)
    whole = recorded_once(session_folder / "uninterrupted-segments", lambda: hybrid(**CACHED))
    folder = RunFolder(Path(shutil.copytree(whole.path, Path("runs") / f"{whole.id}-segments")))
    first = next(parts(folder.transcript))
    known = {line.hash for line in first.lines}
    decisions = [line.event for line in read(folder.journal) if isinstance(line.event, Decision)]
    lost = next(decision for decision in decisions if not known.issuperset(decision.calls))
    lines = folder.journal.read_bytes().splitlines(keepends=True)
    at = next(n for n, line in enumerate(read(folder.journal)) if line.event == lost)
    folder.journal.write_bytes(b"".join(lines[:at]))
    folder.results.unlink()
    folder.transcript.write_bytes(b"")
    for segment in folder.path.glob("transcript/*.gz"):
        if segment != first.path:
            segment.unlink()
    restart(folder)
    assert _outcome(folder) == _outcome(whole)
    assert _transcript_files(folder) == _transcript_files(whole) and len(_transcript_files(whole)) > 2
    assert check_record(folder).damage == []
    replay = app.replay_deliberations(folder)
    assert replay and replay.difference is None and replay.reread == len(decisions)
    assert audit(folder, AuditFilter()).call_stats.unclaimed == 0
    segment_path(folder.transcript, 2).unlink()
    assert "000002.jsonl.gz is missing" in check_record(folder).damage[0]


@pytest.fixture
def asked(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[RunFolder, Imitation]]:
    """A finished run that asked a model server, and the server."""
    monkeypatch.setenv("AUTOHEDGE_CACHE_DIR", str(workplace / "cache"))
    with llama_cpp() as server:
        changes = {"llm__provider": '"openai"', "llm__base_url": f'"{server.base_url}"'}
        wanted = settings(**LLM | changes | {"synthetic__hours": 0.1})
        yield RunFolder.find(app.run(wanted, app.tape_for(wanted, [])).run), server


def test_question_is_in_the_journal_when_its_request_arrives(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOHEDGE_CACHE_DIR", str(workplace / "cache"))
    recorded: list[int] = []
    with llama_cpp() as server:
        chat = server.pages["/v1/chat/completions"]

        def answer(request: ReceivedRequest) -> Reply:
            recorded.extend(
                path.read_bytes().count(b'"deliberation_requested"') for path in workplace.glob("runs/*/j*")
            )
            return chat(request)

        server.pages["/v1/chat/completions"] = answer
        changes = {"llm__provider": '"openai"', "llm__base_url": f'"{server.base_url}"'}
        wanted = settings(**LLM | changes | {"synthetic__hours": 0.02})
        app.run(wanted, app.tape_for(wanted, []))
    assert recorded and recorded == sorted(recorded) and recorded[0] == 1


def test_recorded_answers_are_not_asked_for_again(asked: tuple[RunFolder, Imitation]) -> None:
    whole, server = asked
    folder = _cut(whole, len(whole.journal.read_bytes().splitlines()) // 2)
    known, before = len(list(read_transcript(folder.transcript))), len(server.chats())
    restart(folder)
    assert len(server.chats()) - before == len(list(read_transcript(whole.transcript))) - known
    assert _outcome(folder)["decisions"] and 0 < known < len(server.chats())


def test_requests_that_differ_from_the_recorded_ones_end_the_restart(
    asked: tuple[RunFolder, Imitation],
) -> None:
    whole, _ = asked
    events = [line.event for line in read(whole.journal)]
    asked_at = next(n for n, event in enumerate(events) if isinstance(event, DeliberationRequested))
    folder = _cut(whole, asked_at + 1)
    lines = []
    for line in read_transcript(folder.transcript):
        assert line.request
        lines.append(replace(line, request=replace(line.request, temperature=1.5)))
    folder.transcript.write_bytes(b"".join(encode_entry(line)[0] for line in lines))
    content = folder.transcript.read_bytes()
    with pytest.raises(Misconfigured, match="asks otherwise than recorded"):
        restart(folder)
    assert folder.transcript.read_bytes() == content


def test_lost_lines_of_the_transcript_are_named(whole: RunFolder, workplace: Path) -> None:
    folder = _cut(whole, len(whole.journal.read_bytes().splitlines()) // 2)
    first = folder.transcript.read_bytes().splitlines(keepends=True)[:1]
    folder.transcript.write_bytes(b"".join(first))
    with pytest.raises(
        Corrupt, match=r"lines of deliberation \d+ are lost, as a power failure can lose them"
    ):
        restart(folder)
    assert folder.transcript.read_bytes() == first[0]


def test_complete_record_gets_its_results_without_the_server(asked: tuple[RunFolder, Imitation]) -> None:
    whole, server = asked
    server.pages.clear()
    folder = _cut(whole, len(whole.journal.read_bytes().splitlines()))
    content = folder.journal.read_bytes()
    restart(folder)
    assert folder.journal.read_bytes() == content
    assert _outcome(folder) == _outcome(whole)


def test_restart_with_another_model_is_refused(asked: tuple[RunFolder, Imitation]) -> None:
    whole, server = asked
    server.pages["/v1/models"] = lambda _: json_reply({"data": [{"id": "other", "owned_by": "llamacpp"}]})
    with pytest.raises(Unavailable, match="smollm2, but now there is openai · other"):
        restart(_cut(whole, 2))


def test_termination_ends_a_tape_run_in_one_line_that_names_the_restart(tmp_path: Path) -> None:
    with llama_cpp().delayed(0.05) as server:
        model = {"llm__provider": "openai", "llm__base_url": server.base_url}
        harness = ProcessHarness(tmp_path, model | {"trading__mode": "llm", "llm__min_interval_s": 1})
        process = harness.start("run", "-q")
        harness.wait_for(process, b'"decision"')
        process.terminate()
        _, err = process.communicate(timeout=30)
    assert process.wait() == 1
    assert "continue: autohedge restart" in err and err.count("\n") == 1
