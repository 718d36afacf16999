"""Records the result of a deliberation: transcript first, then the decision that names its lines."""

from collections.abc import Sequence
from typing import NamedTuple

from autohedge.core.errors import Misconfigured
from autohedge.core.events import Decision, DeliberationRequested
from autohedge.core.snapshots import Snapshot
from autohedge.graph.runner import DeliberationResult
from autohedge.llm.transcript import Transcript, TranscriptEntry, lines_of, request_bytes
from autohedge.tools.lessons import Lesson


class RecordedResult(NamedTuple):
    """A result whose calls are in the transcript; `calls` are the hashes of their lines."""

    question: DeliberationRequested
    result: DeliberationResult
    calls: tuple[str, ...]

    def decision(self, at_ns: int, lessons: list[Lesson]) -> Decision:
        """Returns the decision for the engine at `at_ns`; adds the lesson that was formed then to `lessons`."""
        if lesson := self.result.lesson(at_ns):
            lessons.append(lesson)
        return self.result.decision(self.question, at_ns, self.calls)


def record_result(
    transcript: Transcript,
    question: DeliberationRequested,
    snapshot: Snapshot,
    result: DeliberationResult,
    recorded: Sequence[TranscriptEntry] = (),
) -> RecordedResult:
    """Appends the lines of a deliberation; of a continued run, those after the lines that it has `recorded`.

    A power failure can still lose them until the transcript is synced.

    Raises OSError if they cannot be written, Misconfigured if the recorded lines have other requests.
    """
    lines = lines_of(
        question.number, snapshot, result.calls, result.outcome, result.failure, result.cached_verdict
    )
    _require_same(recorded, lines[: len(recorded)])
    written = transcript.append(lines[len(recorded) :])
    return RecordedResult(question, result, (*(line.hash for line in recorded), *written))


def _require_same(recorded: Sequence[TranscriptEntry], lines: Sequence[TranscriptEntry]) -> None:
    """Raises Misconfigured unless the recorded lines have the requests that were made now."""
    if list(map(request_bytes, recorded)) != list(map(request_bytes, lines)):
        raise Misconfigured(
            f"deliberation {recorded[0].deliberation} asks otherwise than recorded, as after an upgrade; "
            "restart with the version that recorded the run, or start a new run"
        )
