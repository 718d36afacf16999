"""A result's lines are in the transcript before its decision names them."""

from pathlib import Path

import pytest

from autohedge.core.errors import Misconfigured
from autohedge.core.events import DeliberationRequested
from autohedge.core.snapshots import Snapshot
from autohedge.graph.result_recording import record_result
from autohedge.graph.runner import DeliberationResult, abstention
from autohedge.llm.backend import LLMRequest, Message
from autohedge.llm.outcome import Call
from autohedge.llm.transcript import Transcript, read
from autohedge.tools.lessons import Lesson
from tests.snapshot_factory import rows, snapshot

SHOWN: Snapshot = snapshot(rows([100, 101]), number=1, symbol="X")
QUESTION = DeliberationRequested(0, 1, "gate", "X", SHOWN.hash)


def _call(text: str) -> Call:
    request = LLMRequest("director", "X", (Message("user", text),), {}, 0.0, 10, "p", SHOWN.hash)
    return Call(request, None, "timeout", "", "", 1, 0.0)


FIRST, SECOND = _call("one"), _call("two")
TWO_CALLS = abstention("node_error", calls=(FIRST, SECOND))
LESSON = DeliberationResult(
    "lesson", "", "rules", answer={"lesson": "Patience pays.", "valid_for_minutes": 1}
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "transcript.jsonl"


def test_decision_names_the_lines_of_its_calls(path: Path) -> None:
    recorded = record_result(Transcript(path), QUESTION, SHOWN, TWO_CALLS)
    decision = recorded.decision(5, [])
    assert (decision.at_ns, decision.number, decision.code) == (5, 1, "node_error")
    assert decision.calls == tuple(line.hash for line in read(path)) and len(decision.calls) == 2


def test_lesson_is_kept_from_the_time_of_its_decision(path: Path) -> None:
    lessons: list[Lesson] = []
    record_result(Transcript(path), QUESTION, SHOWN, LESSON).decision(5, lessons)
    assert [(lesson.formed_ns, lesson.text) for lesson in lessons] == [(5, "Patience pays.")]


def test_only_the_lines_that_a_continued_run_lacks_are_written(path: Path) -> None:
    transcript = Transcript(path)
    record_result(transcript, QUESTION, SHOWN, abstention("node_error", calls=(FIRST,)))
    recorded = record_result(transcript, QUESTION, SHOWN, TWO_CALLS, list(read(path)))
    assert recorded.calls == tuple(line.hash for line in read(path)) and len(recorded.calls) == 2


def test_other_request_than_recorded_is_refused_and_not_written(path: Path) -> None:
    transcript = Transcript(path)
    record_result(transcript, QUESTION, SHOWN, abstention("node_error", calls=(SECOND,)))
    with pytest.raises(Misconfigured, match="asks otherwise than recorded"):
        record_result(transcript, QUESTION, SHOWN, TWO_CALLS, list(read(path)))
    assert len(list(read(path))) == 1
