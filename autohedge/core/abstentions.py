"""The codes that end a deliberation without a verdict or refuse its trade, each with a text for people.

A gate that receives an abstention closes. `docs/fail-closed.md` has one row and one test per code.
"""

from typing import NamedTuple

from autohedge.core.reasons import MEANINGS
from autohedge.core.results import DeliberationFigures


class Abstention(NamedTuple):
    """One abstention code as text: its cause, and its cure if there is one."""

    cause: str
    cure: str = ""

    @property
    def text(self) -> str:
        """Cause and cure in one line."""
        return f"{self.cause}; {self.cure}" if self.cure else self.cause


BUDGET = "budget"

ABSTENTIONS = {
    # no reply
    "timeout": Abstention(
        "the model did not answer in time", "raise llm.timeout_s or hybrid.deadline_s, or use a smaller model"
    ),
    "unreachable": Abstention("the model's server cannot be reached", "start it, or set llm.base_url"),
    "certificate": Abstention(
        "the model's server has no certificate that is trusted", "set SSL_CERT_FILE, or llm.base_url"
    ),
    "bad_request": Abstention("the model's server refused the request", "the transcript has its answer"),
    "unauthorized": Abstention("the model's server refused the key", "set AUTOHEDGE_LLM_API_KEY"),
    "quota": Abstention(
        "the account at the model's server has no quota or credit left", "add credit or raise its limit"
    ),
    "model_gone": Abstention("the server does not have the model", "load it there, or set llm.model"),
    "rate_limited": Abstention("the model's server limits its calls", "raise hybrid.gate_refresh_quotes"),
    "server_error": Abstention("the model's server failed", "see its log"),
    "garbage_reply": Abstention("the server that answered is no model server", "set llm.base_url"),
    "backend_error": Abstention("the code that asks the model failed", "the transcript has the error"),
    # a reply that is no answer
    "truncated": Abstention(
        "the answer was cut off", "raise llm.max_answer_tokens, or set llm.reasoning=off"
    ),
    "refusal": Abstention("the model declined to answer", "use another model or prompt"),
    "empty": Abstention("the answer was empty", "use another model, or set llm.reasoning=off"),
    "no_json": Abstention("the answer was not exactly one JSON object", "use another model or prompt"),
    "invalid": Abstention("the answer did not fit its schema", "use another model or prompt"),
    "wrong_symbol": Abstention("the answer was about another symbol", "use another model or prompt"),
    "implausible": Abstention(
        "the answer had a price far from the market, or support above resistance",
        "use another model or prompt",
    ),
    "contradiction": Abstention("the answer contradicted itself", "use another model or prompt"),
    "out_of_bounds": Abstention(
        "the answer was outside the bounds of its agent", "see agents.risk and agents.execution"
    ),
    "reward_to_risk": Abstention(
        "the take-profit was too small for the stop-loss", "lower agents.risk.least_reward_to_risk"
    ),
    "no_agreement": Abstention(
        "the samples of the Director's answer did not agree", "use a lower temperature, or fewer samples"
    ),
    "prompt_cut": Abstention(
        "the server cut the prompt", "load the model with a longer context, or lower tools.table_rows"
    ),
    # no request was sent
    "context_overflow": Abstention(
        "the prompt does not fit the model", "lower tools.table_rows or raise llm.context_tokens"
    ),
    "budget": Abstention(
        "the run has used its calls, tokens or money",
        "raise llm.max_calls, llm.max_tokens or llm.max_cost_usd",
    ),
    "breaker_open": Abstention("the model failed repeatedly; calls are paused for llm.breaker_pause_s"),
    "queue_full": Abstention("too many requests wait", "raise llm.queue_size or hybrid.gate_refresh_quotes"),
    "superseded": Abstention("a newer request replaced it", "use a faster model"),
    "deadline": Abstention(
        "the deadline passed before the model was free or done", "raise hybrid.deadline_s"
    ),
    "cancelled": Abstention("the run ended first"),
    "unrecorded": Abstention("the record that replaces the model does not have this request"),
    # the answer came too late to count
    "stale": Abstention("the verdict was older than hybrid.verdict_ttl_s when it came"),
    # no order was possible
    "halted": Abstention("trading was halted, so no agent was asked"),
    "no_history": Abstention("there were fewer than two quotes, so no agent was asked"),
    "stale_data": Abstention("the last quote was over a minute old, so no agent was asked"),
    # faults of AutoHedge itself
    "node_error": Abstention(
        "a step of the graph failed", "see the transcript, and run autohedge prompts check"
    ),
    "graph_error": Abstention("the graph failed", "report it, with the transcript"),
    "worker_died": Abstention("the agents process died", "it restarts automatically"),
    "unexplained": Abstention("no reason was given"),
}


UNANSWERED = frozenset(
    {
        "timeout",
        "unreachable",
        "certificate",
        "bad_request",
        "unauthorized",
        "quota",
        "model_gone",
        "rate_limited",
        "server_error",
        "garbage_reply",
        "backend_error",
        "context_overflow",
        "budget",
        "breaker_open",
        "queue_full",
        "superseded",
        "deadline",
        "worker_died",
    }
)
"""The codes of questions that no model answered; an answer that was refused is an answer."""


REFUSALS = {
    # an agent refuses
    "no_trade": "the Director sees no trade",
    "low_confidence": "the Director is less sure than agents.director.min_confidence_pct",
    "refuted": "the Quant's figures contradict the thesis",
    "too_volatile": "the Quant finds the price too volatile",
    "rejected": "Risk rejects it",
    "no_size": "Quant and Risk reduce its size to zero",
    # arithmetic refuses, before any agent is asked
    "limits": "no order could have passed the limits, so no agent was asked",
    "no_edge": "the price had not moved, so no agent was asked",
    # what the engine does with the proposal
    "entry": "an order to enter was sent",
    "exit_signal": "the position is closed",
    "in_position": "a position is held already, and is kept",
    "no_short": "this run may not sell short",
    "no_long": "this run may only sell short",
    "nothing_held": "there is no position to close",
    "bad_proposal": "the proposal is outside the bounds",
}
"""The codes that refuse an entry after a deliberation; further codes are the outcome codes of quotes."""


def degradation(figures: DeliberationFigures | None) -> str:
    """Returns a line if most questions of a run that needed a model got no answer, else an empty string."""
    if figures is None:
        return ""
    lost = {code: count for code, count in figures.abstentions.items() if code in UNANSWERED}
    needed = figures.asked - figures.bypassed - figures.cached
    if 2 * sum(lost.values()) <= needed:
        return ""
    codes = ", ".join(f"{code} {count}" for code, count in sorted(lost.items(), key=lambda each: -each[1]))
    return f"{sum(lost.values())} of {needed} questions got no answer from the model: {codes}"


def describe(code: str) -> str:
    """Returns the text of any code, those of quotes included; an unknown code is returned as it is."""
    if code in REFUSALS:
        return REFUSALS[code]
    return ABSTENTIONS[code].text if code in ABSTENTIONS else MEANINGS.get(code, code)
