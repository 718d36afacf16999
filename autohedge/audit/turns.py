"""A conversation agent after agent: who was asked how often, who refused, and in which words."""

from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

from autohedge.audit.conversations import Conversation
from autohedge.llm.errors import one_line
from autohedge.llm.outcome import ACCEPTED, REPAIRED
from autohedge.llm.parsing import extract
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
    """One call, and how it came about; the first `shown` of its messages stood in a request before."""

    call: Call
    how: Literal["question", "sample", "repair"]
    shown: int

    @property
    def title(self) -> str:
        """Who is asked: `Director`, `Director, asked once more`, `Director, repair`."""
        suffix = {"question": "", "sample": ", asked once more", "repair": ", repair"}[self.how]
        return one_line(self.call.agent).capitalize() + suffix


def turns(calls: Sequence[Call]) -> Iterator[Turn]:
    """The calls of a conversation that asked somebody."""
    agent, first, shown = "", 0, 0
    for call in calls:
        if call.request is None:
            continue
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
    """Whether the answer of this call was taken."""
    return call.outcome in {ACCEPTED, REPAIRED}


def accepted_answers(conversation: Conversation, agent: str) -> list[dict[str, Any]]:
    """What an agent answered, as far as it was taken."""
    taken = (call for call in conversation.calls if call.agent == agent and accepted(call) and call.response)
    found = (extract(call.response.text) for call in taken if call.response)
    return [each.value for each in found if each]


def verdict(conversation: Conversation) -> dict[str, Any]:
    """The Director's answer that the decision rests on: of samples that agree the least sure; empty without one."""
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
    return min(same or given[-1:], key=_stated_pct)


def _stated_pct(answer: dict[str, Any]) -> float:
    stated = answer.get("confidence_pct")
    return float(stated) if isinstance(stated, int | float) else 0.0


def refusal(conversation: Conversation) -> str:
    """Which agent ended it, and its reason; empty where none did."""
    decision = conversation.decision
    if decision is None:
        return ""
    if decision.verdict == "abstain":
        last = next((call for call in reversed(conversation.calls) if call.request), None)
        return f"no answer of {one_line(last.agent).capitalize()}: {one_line(last.failure)}" if last else ""
    agent = REFUSED_BY.get(decision.code, "") if decision.verdict == "no_trade" else ""
    agent_answers = accepted_answers(conversation, agent)
    return (
        f"{agent.capitalize()} refused: {_reason(conversation, decision.code, agent_answers)}"
        if agent_answers
        else ""
    )


def _reason(conversation: Conversation, code: str, agent_answers: list[dict[str, Any]]) -> str:
    answer = agent_answers[-1]
    if code == "low_confidence":
        return f"{conversation.decision.confidence_pct if conversation.decision else 0} % sure is too little"
    if code in {"refuted", "too_volatile"}:
        score, volatility = answer.get("technical_score_pct"), answer.get("volatility")
        return one_line(f"thesis {answer.get('thesis')}, technical score {score} %, volatility {volatility}")
    return one_line(str(answer.get("reason") or answer.get("thesis") or ""))
