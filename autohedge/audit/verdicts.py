"""The verdicts of a recorded run: what the Director answered, when it took effect, and with which exits."""

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, get_args

from autohedge import config
from autohedge.audit.audit import Audit, Operation, audit
from autohedge.audit.conversations import LESSON, AuditFilter, Conversation
from autohedge.audit.turns import DIRECTOR, turns, verdict
from autohedge.config import Settings
from autohedge.core.events import Decision, SettingsChanged
from autohedge.core.orders import SIDE_OF
from autohedge.core.reasons import Reason
from autohedge.journal import RunFolder, read
from autohedge.journal.genesis import Genesis
from autohedge.llm.transcript import TranscriptEntry as Call
from autohedge.llm.transcript import TranscriptIndex

VerdictKind = Literal["long", "short", "exit", "no_trade", "refused", "held", "not_allowed"]
KINDS: tuple[VerdictKind, ...] = get_args(VerdictKind)
CACHE = "cache"
_LOW_CONFIDENCE = "low_confidence"
_EVERYTHING = 1 << 62
_QUOTED_DECISION = re.compile(r"[\"'`](no_trade|trade)[\"'`]")


class VerdictTerms(NamedTuple):
    """The exits of an entry in bps of the mid, and how long the Director said that its answer holds."""

    target_bps: float
    stop_bps: float
    horizon_minutes: int


@dataclass(frozen=True, slots=True)
class RecordedVerdict:
    """The Director's answer to one question, which took effect at `at_ns`.

    `kind` is `long` or `short` for an entry, also one that only its low confidence refused; `refused` for one that
    another agent refused; `held` for one while the symbol was held; `not_allowed` for one in a direction that the
    settings do not allow. `late` is whether it came too late to have an effect. `terms` is None if the answer is not
    in the transcript. `position` is the place of its decision among the two that the prompt names, 0 if the prompt
    does not name both in quotation marks, or if the answer was cached.
    """

    run: str
    number: int
    symbol: str
    kind: VerdictKind
    decision: Decision
    late: bool
    terms: VerdictTerms | None
    position: Literal[0, 1, 2]

    @property
    def at_ns(self) -> int:
        """When the engine received it."""
        return self.decision.at_ns


@dataclass(slots=True)
class VerdictCosts:
    """What the answers to all questions took: calls, tokens as the server counted them, seconds of service.

    `counted` is how many answers had a count of tokens. `cost_usd` is that of the results, None if they have none.
    """

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    counted: int = 0
    service_s: float = 0.0
    cost_usd: float | None = None

    def add(self, calls: Iterable[Call]) -> None:
        """Adds the calls of a question."""
        for call in calls:
            self.calls += call.request is not None
            if call.response is None:
                continue
            self.service_s += call.response.service_ms / 1e3
            if usage := call.response.usage:
                self.counted += 1
                self.prompt_tokens += usage.prompt_tokens
                self.completion_tokens += usage.completion_tokens


@dataclass(slots=True)
class RunVerdicts:
    """The verdicts of a run, and when its questions about each symbol took effect.

    `without_verdict` counts the other questions by outcome. `sampled` are the shares of agreeing samples, in percent,
    of the questions with several samples. `directions` are those that an entry may have, `fee_bps` is the taker's fee.
    """

    audit: Audit
    fee_bps: float
    directions: tuple[str, ...]
    verdicts: list[RecordedVerdict] = field(default_factory=list)
    without_verdict: Counter[str] = field(default_factory=Counter)
    sampled: list[int] = field(default_factory=list)
    question_times: dict[str, list[int]] = field(default_factory=dict)
    costs: VerdictCosts = field(default_factory=VerdictCosts)


def read_verdicts(folder: RunFolder) -> RunVerdicts:
    """Reads and verifies the record of a run. Raises Corrupt as `audit` does."""
    genesis = Genesis.of(next(read(folder.journal)))
    found = audit(folder, AuditFilter(last=_EVERYTHING, whole=0))
    history = ExitHistory(config.from_plain(folder.settings(genesis.settings)), found.operations)
    reading = _Reading(folder, found, history)
    for conversation in found.conversations:
        if conversation.question.kind != LESSON:
            reading.take(conversation)
    reading.result.costs.cost_usd = _cost_usd(folder)
    return reading.result


def _cost_usd(folder: RunFolder) -> float | None:
    results: Mapping[str, Any] = folder.read_results() or {}
    cost = results.get("agents", {}).get("calls", {}).get("cost_usd")
    return float(cost) if isinstance(cost, int | float) else None


class ExitHistory:
    """The exits in force at each time of a run, from its `first` settings and what operators changed later."""

    def __init__(self, first: Settings, operations: Sequence[Operation]) -> None:
        self.first = first
        self._times, self._settings = [0], [first]
        for change in operations:
            if isinstance(change, SettingsChanged):
                self._times.append(change.at_ns)
                self._settings.append(config.with_changes(self._settings[-1], change.changes))
        self._exits: dict[tuple[int, str], tuple[float, float]] = {}

    def at(self, symbol: str, at_ns: int) -> tuple[float, float]:
        """Returns take-profit and stop-loss of a symbol in bps."""
        number = bisect_right(self._times, at_ns) - 1
        if (number, symbol) not in self._exits:
            exits = self._settings[number].for_symbol(symbol).exits
            self._exits[number, symbol] = exits.take_profit_bps, exits.stop_loss_bps
        return self._exits[number, symbol]


class _Reading:
    """The verdicts of a run while its conversations are read, in turn."""

    def __init__(self, folder: RunFolder, found: Audit, history: ExitHistory) -> None:
        sides = history.first.entry_sides
        directions = tuple(name for name, side in SIDE_OF.items() if side in sides)
        self.result = RunVerdicts(found, float(history.first.account.taker_bps), directions)
        self._history = history
        self._transcript = TranscriptIndex(folder.transcript)
        self._first_named = {
            prompt.hash: first_named(folder.stored_file(prompt.file).read_text(encoding="utf-8"))
            for prompt in found.prompts
            if prompt.name == DIRECTOR
        }

    def take(self, conversation: Conversation) -> None:
        """Takes in a question with its decision."""
        result, decision, question = self.result, conversation.decision, conversation.question
        times = result.question_times.setdefault(question.symbol, [])
        times.append(decision.at_ns if decision else question.at_ns)
        if decision is None:
            result.without_verdict["unanswered"] += 1
            return
        # A line that no decision names is left over from a crash.
        calls = [call for call in self._transcript.lines(question.number) if call.hash in decision.calls]
        conversation.calls = calls
        result.costs.add(calls)
        if sum(turn.how != "repair" and turn.call.agent == DIRECTOR for turn in turns(calls)) > 1:
            result.sampled.append(decision.agreement_pct)
        kind = kind_of(decision, result.audit.mode, result.directions)
        if kind is None:
            result.without_verdict[decision.verdict] += 1
        else:
            result.verdicts.append(self._verdict(conversation, decision, kind))
        conversation.calls = []  # prompts are long, and the conversations of a run are many

    def _verdict(self, conversation: Conversation, decision: Decision, kind: VerdictKind) -> RecordedVerdict:
        cached = next((call.cached for call in conversation.calls if call.cached), None)
        answer = cached.answer if cached else verdict(conversation)
        terms = None
        if answer:
            exits = self._history.at(decision.symbol, decision.at_ns)
            if proposal := decision.proposal:
                exits = float(proposal.take_profit_bps), float(proposal.stop_loss_bps)
            terms = VerdictTerms(*exits, int(answer["horizon_minutes"]))
        return RecordedVerdict(
            run=self.result.audit.run,
            number=decision.number,
            symbol=decision.symbol,
            kind=kind,
            decision=decision,
            late=bool(conversation.given_up),
            terms=terms,
            position=self._position(conversation.calls, str(answer.get("decision", ""))),
        )

    def _position(self, calls: list[Call], answered: str) -> Literal[0, 1, 2]:
        hashes = (call.request.prompt_hash for call in calls if call.request and call.agent == DIRECTOR)
        first = self._first_named.get(next(hashes, ""), "")
        if not first or not answered:
            return 0
        return 1 if answered == first else 2


def kind_of(decision: Decision, mode: str, directions: tuple[str, ...]) -> VerdictKind | None:
    """Returns the kind of a decision's verdict; None if it has no answer of the Director."""
    if decision.verdict == "keep":
        # Without a direction, arithmetic decided and nobody was asked.
        return "held" if decision.direction and decision.code == Reason.IN_POSITION.label else None
    if decision.verdict == "no_trade" and decision.code != _LOW_CONFIDENCE:
        return "refused" if decision.code else "no_trade"
    return _trade_kind(decision, mode, directions) if decision.verdict in ("trade", "no_trade") else None


def _trade_kind(decision: Decision, mode: str, directions: tuple[str, ...]) -> VerdictKind:
    if decision.direction == "exit":
        return "exit"
    if decision.direction not in directions:
        return "not_allowed"
    if mode == "llm" and decision.verdict == "trade" and decision.proposal is None:
        return "held"
    return "long" if decision.direction == "long" else "short"


def first_named(prompt: str) -> str:
    """Returns which of `trade` and `no_trade` a prompt names first in quotation marks; empty if it lacks one."""
    named: Iterator[str] = (match[1] for match in _QUOTED_DECISION.finditer(prompt))
    order = list(dict.fromkeys(named))
    return order[0] if len(order) > 1 else ""
