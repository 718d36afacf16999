"""Every code with which a question can end without a verdict: what happened, and what helps.

A gate that hears one shuts. `docs/fail-closed.md` has a row with a test for each.
"""

from typing import NamedTuple

from autohedge.core.reasons import MEANINGS


class Abstention(NamedTuple):
    """One code in words: cause, and cure if there is one."""

    cause: str
    cure: str = ""

    @property
    def text(self) -> str:
        """Cause and cure in one line."""
        return f"{self.cause}; {self.cure}" if self.cure else self.cause


ABSTENTIONS = {
    # no reply
    "timeout": Abstention(
        "the model did not answer in time", "raise llm.timeout_s or hybrid.deadline_s, or use a smaller model"
    ),
    "unreachable": Abstention("the model's server cannot be reached", "start it, or set llm.base_url"),
    "bad_request": Abstention("the model's server refused the request", "the transcript has its words"),
    "unauthorized": Abstention("the model's server refused the key", "set AUTOHEDGE_LLM_API_KEY"),
    "model_gone": Abstention("the server does not have the model", "load it there, or set llm.model"),
    "rate_limited": Abstention("the model's server wants fewer calls", "raise hybrid.gate_refresh_quotes"),
    "server_error": Abstention("the model's server failed", "look into its log"),
    "garbage_reply": Abstention("what answered is no model server", "set llm.base_url"),
    "backend_error": Abstention("the code that asks the model failed", "the transcript says how"),
    # a reply that is no answer
    "truncated": Abstention("the answer was cut off", "raise max_tokens in the prompt"),
    "refusal": Abstention("the model declined to answer", "use another model or prompt"),
    "empty": Abstention("the answer was empty", "use another model or prompt"),
    "no_json": Abstention("the answer held no complete JSON object", "use another model or prompt"),
    "invalid": Abstention("the answer did not fit its schema", "use another model or prompt"),
    "wrong_symbol": Abstention("the answer was about another symbol", "use another model or prompt"),
    "out_of_bounds": Abstention(
        "the answer was outside the bounds of its agent", "see agents.risk and agents.execution"
    ),
    "reward_to_risk": Abstention(
        "the exits promised too little for their risk", "lower agents.risk.least_reward_to_risk"
    ),
    "no_agreement": Abstention(
        "the samples of the Director's answer did not agree", "use a lower temperature, or fewer samples"
    ),
    "prompt_cut": Abstention(
        "the server cut the prompt", "load the model with a longer context, or lower tools.table_rows"
    ),
    # not asked
    "context_overflow": Abstention(
        "the prompt does not fit the model", "lower tools.table_rows or raise llm.context_tokens"
    ),
    "budget": Abstention(
        "the calls or tokens of this run are spent", "raise llm.max_calls or llm.max_tokens"
    ),
    "breaker_open": Abstention("the model failed often, and is left alone for llm.breaker_pause_s"),
    "queue_full": Abstention("too many questions wait", "raise llm.queue_size or hybrid.gate_refresh_quotes"),
    "superseded": Abstention("a newer question took its place", "use a faster model"),
    "deadline": Abstention(
        "the gate's time was over before the model was free or done", "raise hybrid.deadline_s"
    ),
    "cancelled": Abstention("the run ended first"),
    "unrecorded": Abstention("the record that answers in a model's place holds no such question"),
    # an answer that came too late to count
    "stale": Abstention("the verdict was older than hybrid.verdict_ttl_s when it came"),
    # nothing could have been bought
    "halted": Abstention("trading was halted, so nobody was asked"),
    "no_history": Abstention("there were fewer than two quotes, so nobody was asked"),
    "stale_data": Abstention("the last quote was over a minute old, so nobody was asked"),
    # our own faults
    "node_error": Abstention(
        "a step of the graph failed", "the transcript says how; autohedge prompts check"
    ),
    "graph_error": Abstention("the graph failed", "report it, with the transcript"),
    "worker_died": Abstention("the process of the agents died", "it is started again by itself"),
    "unexplained": Abstention("nobody said why"),
}


REFUSALS = {
    # an agent's no
    "no_trade": "the Director sees no trade",
    "low_confidence": "the Director is less sure than agents.director.min_confidence_pct",
    "refuted": "the Quant's figures speak against the thesis",
    "too_volatile": "the Quant finds the price too rough",
    "rejected": "Risk rejects it",
    "no_size": "Quant and Risk leave nothing of its size",
    # arithmetic's, before any agent
    "limits": "no order could have passed the limits, so nobody was asked",
    "no_edge": "the price had not moved, so nobody was asked",
    # the engine's
    "entry": "an order to buy it was sent",
    "exit_signal": "what was held is sold",
    "in_position": "it is held already, and stays so",
    "no_short": "nothing here sells short",
    "nothing_held": "there is nothing to sell",
    "bad_proposal": "the proposal is outside the bounds",
}
"""Every code with which somebody says no to an entry that was deliberated about, beside the codes of quotes."""


def describe(code: str) -> str:
    """A code in words, that of a quote included; one that is not known, as it stands."""
    if code in REFUSALS:
        return REFUSALS[code]
    return ABSTENTIONS[code].text if code in ABSTENTIONS else MEANINGS.get(code, code)
