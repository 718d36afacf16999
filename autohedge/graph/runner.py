"""Runs one deliberation from snapshot to result; every failure becomes an abstention."""

import math
from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any, Literal

import msgspec

from autohedge.agents.specs import DIRECTOR
from autohedge.agents.state import DeliberationState, add_verdict
from autohedge.core.events import Decision, DeliberationRequested, Proposal
from autohedge.core.snapshots import Snapshot
from autohedge.core.spend import Spend
from autohedge.core.units import NS_PER_MINUTE
from autohedge.graph.build import NodeContext, State, build
from autohedge.graph.fast_path import bypass
from autohedge.graph.prompt_builder import PromptBuilder
from autohedge.graph.verdict_keys import SingleFlight, decode_verdict, verdict_key
from autohedge.llm.cache.memory import CachedVerdict, VerdictCache
from autohedge.llm.client import LLMClient
from autohedge.llm.outcome import Call
from autohedge.tools.lessons import Lesson

HELD = "in_position"
CACHE = "cache"


class DeliberationResult(msgspec.Struct, frozen=True):
    """The result of a deliberation: the fields of its decision, and all calls that were made for it.

    `answer` is the validated answer of Director or Learning as JSON values, or None. `failure` describes a
    failed node. `cached_verdict` is the cached verdict that was used instead of a call. `flight` is the key
    of a flight that others may wait for; the receiver of the result must publish the verdict or abandon the
    flight. `spend` is what the calls cost.
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
    spend: Spend | None = None

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
            spend=self.spend,
        )

    def lesson(self, formed_ns: int) -> Lesson | None:
        """Returns the lesson, valid from `formed_ns`, or None."""
        if self.verdict != "lesson" or self.answer is None:
            return None
        expires_ns = formed_ns + int(self.answer["valid_for_minutes"]) * NS_PER_MINUTE
        return Lesson(formed_ns, expires_ns, str(self.answer["lesson"]))


class GraphRunner:
    """Runs deliberations, and enters the graph only where a model must be asked.

    `deadline_s` limits each whole deliberation, `verdicts` is the cache of verdicts. `shown` holds the
    snapshots that agents are being asked about, by hash, for a backend that answers from them.
    """

    def __init__(
        self,
        client: LLMClient,
        prompt_builder: PromptBuilder,
        deadline_s: float | None = None,
        verdicts: VerdictCache | None = None,
        shown: dict[str, Snapshot] | None = None,
    ) -> None:
        self._graph = build()
        self.client, self.verdicts = client, verdicts
        self._prompt_builder = prompt_builder
        self._deadline_s = math.inf if deadline_s is None else deadline_s
        self._shown = {} if shown is None else shown

    def with_prompts(self, prompts: Mapping[str, tuple[str, str]]) -> "GraphRunner":
        """Returns a runner with all prompts replaced. Raises Misconfigured with file and line."""
        runner = copy(self)
        runner._prompt_builder = self._prompt_builder.with_prompts(prompts)  # noqa: SLF001  its own copy
        return runner

    async def run(self, snapshot: Snapshot, lessons: Sequence[Lesson]) -> DeliberationResult:
        """Deliberates about a snapshot; failures of models and prompts never raise."""
        until, flight = self.client.now() + self._deadline_s, SingleFlight(self.verdicts)
        try:
            result = await self._without_model(snapshot, flight, until)
            if result is None:
                result = await self._by_agents(snapshot, lessons, until)
        except Exception as error:  # noqa: BLE001  any failure becomes an abstention with a code
            result = abstention("graph_error", f"{type(error).__name__}: {error}")
        except BaseException:  # cancelled: there is no result to publish, and others would wait for it
            await flight.abandon()
            raise
        return msgspec.structs.replace(
            result, flight=flight.key, spend=self.client.prices.spend(result.calls)
        )

    async def _without_model(
        self, snapshot: Snapshot, flight: SingleFlight, until: float
    ) -> DeliberationResult | None:
        """Returns the result of a bypass or a cached verdict; None if a model must be asked."""
        if snapshot.kind == "learning":
            return None
        try:
            if found := bypass(snapshot):
                how, code = found
                return DeliberationResult("keep" if how == "keep" else "abstain", code, "bypass")
            cached = await self._cached_verdict(snapshot, flight, until)
        except Exception as error:  # noqa: BLE001  like that of a node of the graph
            return abstention("node_error", f"{type(error).__name__}: {error}")
        return self._from_cache(snapshot, cached) if cached else None

    async def _cached_verdict(
        self, snapshot: Snapshot, flight: SingleFlight, until: float
    ) -> CachedVerdict | None:
        """Returns a valid cached verdict for the snapshot, or None."""
        if self.verdicts is None:
            return None
        builder = self._prompt_builder
        prompt, market = builder.prompts[DIRECTOR.name], builder.markets.get(snapshot.symbol, "")
        key = verdict_key(snapshot, prompt, builder.agents, self.client.backend.model, market)
        return await flight.get(key, snapshot.at_ns, until - self.client.now())

    def _from_cache(self, snapshot: Snapshot, cached: CachedVerdict) -> DeliberationResult:
        """Returns the result of a cached verdict under the current settings.

        No claims are checked: its confidence was already lowered when it was new.
        """
        verdict = decode_verdict(cached)
        assert verdict
        trail = add_verdict(
            DeliberationState(), verdict, self._prompt_builder.agents.director.min_confidence_pct
        )
        return msgspec.structs.replace(_resolved(snapshot, trail, CACHE), cached_verdict=cached)

    async def _by_agents(
        self, snapshot: Snapshot, lessons: Sequence[Lesson], until: float
    ) -> DeliberationResult:
        """Returns the result of asking the agents in the order of the graph."""
        key = snapshot.hash
        self._shown[key] = snapshot
        try:
            state: State = await self._graph.ainvoke(
                {"snapshot": snapshot, "lessons": lessons, "until": until},
                context=NodeContext(self.client, self._prompt_builder),
            )
        finally:
            self._shown.pop(key, None)
        trail = state.get("trail", DeliberationState())
        # First: a failed node outweighs the answers of the nodes before it.
        if "failure" in state:
            return abstention("node_error", state["failure"], trail.calls)
        return _resolved(snapshot, trail, self.client.backend.name)


def abstention(code: str, failure: str = "", calls: tuple[Call, ...] = ()) -> DeliberationResult:
    """Returns a result without a verdict, with its code."""
    return DeliberationResult("abstain", code, "", calls, failure=failure)


def _resolved(snapshot: Snapshot, trail: DeliberationState, source: str) -> DeliberationResult:
    """Returns a trail's result: abstention, lesson, or the Director's verdict unless an agent refused."""
    if trail.lesson:
        return DeliberationResult("lesson", "", source, trail.calls, answer=trail.lesson.model_dump())
    verdict, share = trail.verdict, trail.agreement_pct
    if verdict is None or trail.abstention:
        return DeliberationResult("abstain", trail.abstention, source, trail.calls, agreement_pct=share)
    # The Director wants what is held already: the position stays as it is.
    is_held = snapshot.kind == "trade" and snapshot.position.direction == verdict.direction
    keeps = is_held and trail.wants_entry(snapshot)
    decided: Literal["trade", "no_trade"] = "no_trade" if trail.refusal else verdict.decision
    return DeliberationResult(
        verdict="keep" if keeps else decided,
        code=HELD if keeps else trail.refusal,
        source=source,
        calls=trail.calls,
        direction=verdict.direction,
        confidence_pct=trail.confidence_pct,
        answer=verdict.model_dump(),
        proposal=trail.proposal,
        agreement_pct=share,
        unsupported=(*trail.unsupported, *trail.implausible_levels),
    )
