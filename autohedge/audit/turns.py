"""A conversation as a sequence of turns: the calls of each agent, and which agent refused and why."""

from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

from autohedge.audit.conversations import Conversation
from autohedge.core.abstentions import describe
from autohedge.core.events import Decision
from autohedge.llm.errors import one_line
from autohedge.llm.outcome import ACCEPTED, REPAIRED
from autohedge.llm.parsing import read_answer
from autohedge.llm.transcript import TranscriptEntry as Call

DIRECTOR, QUANT, RISK = "director", "quant", "risk"
REFUSED_BY = {
    "no_trade": DIRECTOR,
    "low_confidence": DIRECTOR,
    "refuted": QUANT,
    "too_volatile": QUANT,
    "rejected": RISK,
    "no_size": RISK,
}
ENTERS = ("trade", "keep")


class Turn(NamedTuple):
    """One call and its kind; the first `shown` of its messages were in the request before it already."""

    call: Call
    how: Literal["question", "sample", "repair"]
    shown: int

    @property
    def title(self) -> str:
        """The agent and the kind of the call: `Director`, `Director, further sample`, `Director, repair`."""
        suffix = {"question": "", "sample": ", further sample", "repair": ", repair"}[self.how]
        return one_line(self.call.agent).capitalize() + suffix


def turns(calls: Sequence[Call]) -> Iterator[Turn]:
    """Yields the turns of a conversation; entries without a request are left out."""
    agent, first, shown = "", 0, 0
    for call in calls:
        if call.request is None:
            continue
        # A sample repeats the question; a repair appends the invalid answer and what was wrong with it.
        messages = len(call.request.messages)
        if call.agent != agent:
            agent, first = call.agent, messages
            yield Turn(call, "question", 0)
        elif messages <= first:
            yield Turn(call, "sample", messages)
        else:
            yield Turn(call, "repair", shown)
        shown = messages


def accepted(call: Call) -> bool:
    """Returns whether the answer of a call was accepted, repaired or not."""
    return call.outcome in {ACCEPTED, REPAIRED}


def accepted_answers(conversation: Conversation, agent: str) -> list[dict[str, Any]]:
    """Returns the accepted answers of an agent."""
    found = (answer_of(call) for call in conversation.calls if call.agent == agent and accepted(call))
    return [each for each in found if each]


def answer_of(call: Call) -> dict[str, Any]:
    """Returns the JSON object found in the answer of a call, as it was read; empty if there is none."""
    if call.request is None or call.response is None:
        return {}
    found = read_answer(call.response.text, call.request)
    return found.value if found else {}


def verdict(conversation: Conversation) -> dict[str, Any]:
    """Returns the Director's answer that decided: of agreeing samples the least confident; empty if none."""
    decision = conversation.decision
    given = accepted_answers(conversation, DIRECTOR)
    if decision is None or not given:
        return {}
    expected = "trade" if decision.verdict in ENTERS or decision.code else decision.verdict
    same = [
        each
        for each in given
        if (each.get("decision"), each.get("direction")) == (expected, decision.direction)
    ]
    # Where no answer decided, as when samples disagree, only a single one can stand for the Director.
    return min(same or given[:1] * (len(given) == 1), key=_stated_pct, default={})


def _stated_pct(answer: dict[str, Any]) -> float:
    stated = answer.get("confidence_pct")
    return float(stated) if isinstance(stated, int | float) else 0.0


def refusal(conversation: Conversation) -> str:
    """Returns which agent refused or failed, with its reason; empty if none did."""
    decision = conversation.decision
    if decision is None:
        return ""
    if decision.verdict == "abstain":
        last = next((call for call in reversed(conversation.calls) if call.request), None)
        return (
            f"no answer from {one_line(last.agent).capitalize()}: {_failure(decision, last)}" if last else ""
        )
    agent = REFUSED_BY.get(decision.code, "") if decision.verdict == "no_trade" else ""
    agent_answers = accepted_answers(conversation, agent)
    return (
        f"{agent.capitalize()} refused: {_reason(conversation, decision.code, agent_answers)}"
        if agent_answers
        else ""
    )


def _failure(decision: Decision, last: Call) -> str:
    """Returns why there is no answer: the failure of the last call, unless the decision has another code."""
    return one_line(
        last.failure if last.failure and last.outcome == decision.code else describe(decision.code)
    )


def _reason(conversation: Conversation, code: str, agent_answers: list[dict[str, Any]]) -> str:
    answer = agent_answers[-1]
    if code == "low_confidence":
        stated = conversation.decision.confidence_pct if conversation.decision else 0
        return f"confidence {stated} % is below the minimum"
    if code in {"refuted", "too_volatile"}:
        score, volatility = answer.get("technical_score_pct"), answer.get("volatility")
        return one_line(f"thesis {answer.get('thesis')}, technical score {score} %, volatility {volatility}")
    return one_line(str(answer.get("reason") or answer.get("thesis") or ""))
