"""One deliberation from question to resolution, whatever happens on the way."""

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from autohedge.agents.director import Verdict
from autohedge.agents.learning import Lesson as Learned
from autohedge.core.events import Decision, Deliberate
from autohedge.core.snapshots import Snapshot
from autohedge.graph.materials import Materials
from autohedge.graph.wiring import Context, State, build
from autohedge.llm.asking import Asker
from autohedge.llm.outcome import Call, Outcome
from autohedge.tools.lessons import Lesson

NS_PER_MINUTE = 60 * 10**9


class Resolution(msgspec.Struct, frozen=True):
    """What a deliberation came to: the figures of its decision, and every call that was made for it.

    `answer` is the validated answer as JSON values, None for a bypass or an abstention. `failure` is a
    sentence for people where a node failed.
    """

    verdict: Literal["trade", "no_trade", "keep", "abstain", "lesson"]
    code: str
    source: str
    calls: tuple[Call, ...] = ()
    direction: Literal["long", "short", "exit", ""] = ""
    confidence_pct: int = 0
    answer: dict[str, Any] | None = None
    failure: str = ""

    @property
    def outcome(self) -> str:
        """One word for the transcript: the code of an abstention or a bypass, else the verdict."""
        return self.code or self.verdict

    @property
    def sent(self) -> int:
        """How many requests reached a model, answered or not."""
        return sum(call.tries for call in self.calls)

    @property
    def service_ms(self) -> float:
        """How long the answers took in all."""
        return sum(call.response.service_ms for call in self.calls if call.response)

    def decision(self, question: Deliberate, at_ns: int, calls: tuple[str, ...]) -> Decision:
        """The input that the engine hears at `at_ns`; `calls` are the hashes of the transcript's lines."""
        return Decision(
            at_ns=at_ns,
            number=question.number,
            kind=question.kind,
            symbol=question.symbol,
            asked_ns=question.at_ns,
            verdict=self.verdict,
            code=self.code,
            direction=self.direction,
            confidence_pct=self.confidence_pct,
            source=self.source,
            calls=calls,
        )

    def lesson(self, formed_ns: int) -> Lesson | None:
        """What was learned, from `formed_ns` on; None if this taught nothing."""
        if self.verdict != "lesson" or self.answer is None:
            return None
        expires_ns = formed_ns + int(self.answer["valid_for_minutes"]) * NS_PER_MINUTE
        return Lesson(formed_ns, expires_ns, str(self.answer["lesson"]))


class Deliberator:
    """Runs the graph; `source` names who answers in this run, who has `deadline_s` for it."""

    def __init__(
        self, asker: Asker, materials: Materials, source: str, deadline_s: float | None = None
    ) -> None:
        self._graph = build()
        self._context = Context(asker, materials, deadline_s)
        self._source = source

    async def deliberate(self, snapshot: Snapshot, lessons: Sequence[Lesson]) -> Resolution:
        """Come to a resolution about a snapshot; nothing that a model or a prompt does raises."""
        try:
            state: State = await self._graph.ainvoke(
                {"snapshot": snapshot, "lessons": lessons}, context=self._context
            )
        except Exception as error:  # noqa: BLE001  a deliberation that fails decides nothing, and says so
            return abstained("graph_error", f"{type(error).__name__}: {error}")
        return self._resolution(state)

    def _resolution(self, state: State) -> Resolution:
        if "failure" in state:
            return abstained("node_error", state["failure"])
        if "bypass" in state:
            how, code = state["bypass"]
            return Resolution("keep" if how == "keep" else "abstain", code, "bypass")
        outcome: Outcome[Any] = state["outcome"]
        return _resolved(outcome, self._source)


def abstained(code: str, failure: str = "") -> Resolution:
    """No verdict, and why."""
    return Resolution("abstain", code, "", failure=failure)


def _resolved(outcome: Outcome[Any], source: str) -> Resolution:
    match outcome.answer:
        case Verdict() as verdict:
            return Resolution(
                verdict=verdict.decision,
                code="",
                source=source,
                calls=outcome.calls,
                direction=verdict.direction,
                confidence_pct=verdict.confidence_pct,
                answer=verdict.model_dump(),
            )
        case Learned() as learned:
            return Resolution("lesson", "", source, outcome.calls, answer=learned.model_dump())
        case _:
            return Resolution("abstain", outcome.code, source, outcome.calls)
