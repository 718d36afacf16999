"""Runs one deliberation from snapshot to result; every failure becomes an abstention."""

import math
from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from autohedge.core.events import Decision, DeliberationRequested, Proposal
from autohedge.core.snapshots import Snapshot
from autohedge.core.units import NS_PER_MINUTE
from autohedge.graph.build import NodeContext, State, build
from autohedge.graph.prompt_builder import PromptBuilder
from autohedge.graph.state import DeliberationState, after_director
from autohedge.graph.verdict_keys import SingleFlight, decode_verdict
from autohedge.llm.cache.memory import CachedVerdict, VerdictCache
from autohedge.llm.client import LLMClient
from autohedge.llm.outcome import ACCEPTED, Call, Outcome
from autohedge.tools.lessons import Lesson

HELD = "in_position"
CACHE = "cache"


class DeliberationResult(msgspec.Struct, frozen=True):
    """The result of a deliberation: the fields of its decision, and all calls that were made for it.

    `answer` is the validated answer of Director or Learning as JSON values, or None. `failure` describes a
    failed node. `cached_verdict` is the cached verdict that was used instead of a call. `flight` is the key
    of a flight that others may wait for; the receiver of the result must publish the verdict or abandon the
    flight.
    """

    verdict: Literal["trade", "no_trade", "keep", "abstain", "lesson"]
    code: str
    source: str
    calls: tuple[Call, ...] = ()
    direction: Literal["long", "short", "exit", ""] = ""
    confidence_pct: int = 0
    answer: dict[str, Any] | None = None
    failure: str = ""
    proposal: Proposal | None = None
    agreement_pct: int = 100
    unsupported: tuple[str, ...] = ()
    cached_verdict: CachedVerdict | None = None
    flight: str = ""

    @property
    def outcome(self) -> str:
        """The outcome in the transcript: the code of an abstention, bypass or refusal, else the verdict."""
        return self.code or self.verdict

    @property
    def sent(self) -> int:
        """The number of requests that were sent, answered or not."""
        return sum(call.tries for call in self.calls)

    @property
    def service_ms(self) -> float:
        """The total duration of the answers in ms."""
        return sum(call.response.service_ms for call in self.calls if call.response)

    def decision(self, question: DeliberationRequested, at_ns: int, calls: tuple[str, ...]) -> Decision:
        """Returns the decision for the engine at `at_ns`; `calls` are the hashes of transcript lines."""
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
            proposal=self.proposal,
            agreement_pct=self.agreement_pct,
            unsupported=self.unsupported,
            decided_ns=self.cached_verdict.decided_ns if self.cached_verdict else 0,
        )

    def lesson(self, formed_ns: int) -> Lesson | None:
        """Returns the lesson, valid from `formed_ns`, or None."""
        if self.verdict != "lesson" or self.answer is None:
            return None
        expires_ns = formed_ns + int(self.answer["valid_for_minutes"]) * NS_PER_MINUTE
        return Lesson(formed_ns, expires_ns, str(self.answer["lesson"]))


class GraphRunner:
    """Runs the graph; `source` names the backend, and `deadline_s` limits each whole deliberation."""

    def __init__(
        self,
        client: LLMClient,
        prompt_builder: PromptBuilder,
        source: str,
        deadline_s: float | None = None,
        verdicts: VerdictCache | None = None,
        model: str = "",
    ) -> None:
        self._graph = build()
        self._client, self._prompt_builder, self._model = client, prompt_builder, model
        self._verdicts = verdicts
        self._source = source
        self._deadline_s = math.inf if deadline_s is None else deadline_s

    async def run(self, snapshot: Snapshot, lessons: Sequence[Lesson]) -> DeliberationResult:
        """Deliberates about a snapshot; failures of models and prompts never raise."""
        until, flight = self._client.now() + self._deadline_s, SingleFlight(self._verdicts)
        context = NodeContext(self._client, self._prompt_builder, self._model, flight)
        try:
            state: State = await self._graph.ainvoke(
                {"snapshot": snapshot, "lessons": lessons, "until": until}, context=context
            )
            result = self._resolution(snapshot, state)
        except Exception as error:  # noqa: BLE001  any failure becomes an abstention with a code
            result = abstention("graph_error", f"{type(error).__name__}: {error}")
        except BaseException:  # cancelled: there is no result to publish, and others would wait for it
            await flight.abandon()
            raise
        return msgspec.structs.replace(result, flight=flight.key)

    def _resolution(self, snapshot: Snapshot, state: State) -> DeliberationResult:
        trail = state.get("trail", DeliberationState())
        # First: a failed node outweighs the answers of the nodes before it.
        if "failure" in state:
            return abstention("node_error", state["failure"], trail.calls)
        if "bypass" in state:
            how, code = state["bypass"]
            return DeliberationResult("keep" if how == "keep" else "abstain", code, "bypass")
        if "cached_verdict" in state:
            return self._from_cache(state["cached_verdict"])
        # The Director wants to buy what is held already: the position stays as it is.
        if trail.wants_long and snapshot.kind == "trade" and snapshot.held.quantity:
            return msgspec.structs.replace(_resolved(trail, self._source), verdict="keep", code=HELD)
        return _resolved(trail, self._source)

    def _from_cache(self, cached: CachedVerdict) -> DeliberationResult:
        """Returns the result of a cached verdict under the current settings.

        No claims are checked: its confidence was already lowered when it was new.
        """
        outcome, least_pct = (
            Outcome(decode_verdict(cached), ACCEPTED, ()),
            self._prompt_builder.agents.director,
        )
        trail = after_director(DeliberationState(), outcome, 100, (), (), least_pct.min_confidence_pct)
        return msgspec.structs.replace(_resolved(trail, CACHE), cached_verdict=cached)


def abstention(code: str, failure: str = "", calls: tuple[Call, ...] = ()) -> DeliberationResult:
    """Returns a result without a verdict, with its code."""
    return DeliberationResult("abstain", code, "", calls, failure=failure)


def _resolved(trail: DeliberationState, source: str) -> DeliberationResult:
    """Returns a trail's result: abstention, lesson, or the Director's verdict unless an agent refused."""
    if trail.lesson:
        return DeliberationResult("lesson", "", source, trail.calls, answer=trail.lesson.model_dump())
    verdict, share = trail.verdict, trail.agreement_pct
    if verdict is None or trail.abstention:
        return DeliberationResult("abstain", trail.abstention, source, trail.calls, agreement_pct=share)
    return DeliberationResult(
        verdict="no_trade" if trail.refusal else verdict.decision,
        code=trail.refusal,
        source=source,
        calls=trail.calls,
        direction=verdict.direction,
        confidence_pct=trail.confidence_pct,
        answer=verdict.model_dump(),
        proposal=trail.proposal,
        agreement_pct=share,
        unsupported=(*trail.unsupported, *trail.implausible_levels),
    )
