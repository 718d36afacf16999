"""The outcome of each agent in an llm deliberation: which of the four agreed, refused, failed or was not asked."""

from typing import Literal

from autohedge.audit.conversations import Conversation
from autohedge.audit.turns import REFUSED_BY

AGENT_ORDER = ("director", "quant", "risk", "execution")
AgentOutcome = Literal["agreed", "refused", "failed", "not asked"]
SYMBOLS: dict[AgentOutcome, str] = {"agreed": "●", "refused": "■", "failed": "×", "not asked": "○"}


def agent_outcomes(conversation: Conversation) -> list[AgentOutcome]:
    """Returns what each agent did, in order; empty in other modes and if the calls are not loaded."""
    asked = [call.agent for call in conversation.calls if call.request]
    if conversation.question.kind != "trade" or not asked:
        return []
    stopped, how = _stop(conversation, asked[-1])
    return [
        "not asked" if agent not in asked else how if agent == stopped else "agreed" for agent in AGENT_ORDER
    ]


def _stop(conversation: Conversation, last: str) -> tuple[str, AgentOutcome]:
    """Returns the agent that ended the deliberation, and how; an empty name if none did."""
    decision = conversation.decision
    if decision is None or decision.verdict == "abstain":
        # An abstention has no code of an agent: it failed at the one that was asked last.
        return last, "failed"
    if decision.verdict == "no_trade":
        return REFUSED_BY.get(decision.code or "no_trade", ""), "refused"
    return "", "agreed"


def outcomes_text(outcomes: list[AgentOutcome]) -> str:
    """Returns the outcomes as short text: `●─●─■ ○`; empty without any."""
    if not outcomes:
        return ""
    links = [" " if outcome == "not asked" else "─" for outcome in outcomes[1:]]
    symbols = [SYMBOLS[outcome] for outcome in outcomes]
    return "".join(symbol + link for symbol, link in zip(symbols, [*links, ""], strict=True))


def outcomes_label(outcomes: list[AgentOutcome]) -> str:
    """Returns the outcomes in full: `Director agreed, Quant refused, Risk not asked, Execution not asked`."""
    return ", ".join(f"{name.capitalize()} {how}" for name, how in zip(AGENT_ORDER, outcomes, strict=True))
