"""A run in llm mode in virtual time over the market of hybrid_harness.py, with chosen answers.

Deliberations are ten seconds apart: one early, whose position is sold at its stop-loss in the fall, one right
after the fall, and more during the long rise. The answers are known one second later.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from autohedge.core.events import ProposalResolved, SubmitOrder
from autohedge.core.orders import BUY
from autohedge.llm.backend import LLMBackend, LLMRequest, LLMResponse
from autohedge.llm.backends.scripted import ScriptedBackend, ScriptLine
from tests.graph import hybrid_harness
from tests.graph.hybrid_harness import TRADE, Ran

AGENTS = ("director", "quant", "risk", "execution")
ANSWERS: dict[str, dict[str, Any]] = {
    "director": TRADE,
    "quant": {
        "symbol": "X",
        "thesis": "supported",
        "technical_score_pct": 60,
        "support": 99.0,
        "resistance": 101.5,
        "volatility": "pass",
    },
    "risk": {
        "symbol": "X",
        "decision": "approve",
        "size_pct": 100,
        "take_profit_bps": 150,
        "stop_loss_bps": 50,
        "reason": "It pays.",
    },
    "execution": {"symbol": "X", "order_type": "market", "offset_bps": 0, "time_in_force": "ioc"},
    "learning": {
        "expected": "A rise.",
        "happened": "A fall.",
        "lesson": "Patience pays.",
        "evidence": "One trade.",
        "valid_for_minutes": 600,
    },
}
TEAM: dict[str, Any] = {
    "trading__mode": "llm",
    "momentum__warmup_count": 2,
    "llm__min_interval_s": 10,
    "llm__no_trade_cooldown_quotes": 0,
    "llm__virtual_latency_s": 0.25,
    "instruments__X__lot": 0.001,
}


def agent_answer(agent: str, **changes: Any) -> str:
    """Returns an agent's answer as a model writes it, with some fields changed."""
    return json.dumps(ANSWERS[agent] | changes)


def team(**changes: Mapping[str, Any] | list[Any]) -> Callable[[], LLMBackend]:
    """Returns agents that agree to buy, with changed fields or a list of answers for those named."""
    lines = [line for agent in ANSWERS for line in _lines(agent, changes.get(agent, {}))]
    return lambda: ScriptedBackend(lines)


def _lines(agent: str, changes: Mapping[str, Any] | list[Any]) -> list[ScriptLine]:
    turns = changes if isinstance(changes, list) else [changes]
    return [
        each if isinstance(each, ScriptLine) else ScriptLine(agent_answer(agent, **each), agent=agent)
        for each in turns
    ]


def ran(model: Callable[[], LLMBackend], folder: Path, **changes: Any) -> Ran:
    """Runs the market in llm mode."""
    return hybrid_harness.ran(model, folder, **TEAM | changes)


def entries(run: Ran) -> list[SubmitOrder]:
    """Returns all entry orders."""
    return [order for order in run.events(SubmitOrder) if order.side is BUY]


def resolved_codes(run: Ran) -> list[str]:
    """Returns the resolution of each proposal, in order."""
    return [event.code for event in run.events(ProposalResolved)]


class RecordingBackend:
    """A backend that records its requests."""

    def __init__(self, backend: LLMBackend) -> None:
        self.backend, self.requests = backend, list[LLMRequest]()
        self.name, self.model, self.server = backend.name, backend.model, backend.server

    async def complete(self, request: LLMRequest) -> LLMResponse:
        self.requests.append(request)
        return await self.backend.complete(request)

    async def close(self) -> None:
        await self.backend.close()

    def of(self, agent: str) -> list[LLMRequest]:
        """Returns the requests to one agent, in order."""
        return [request for request in self.requests if request.agent == agent]
