"""Small models that answer in one known way, for tests of a probe: by position, by the figures, by habit, or not."""

import asyncio
import json
import re
from collections.abc import Callable
from itertools import count
from typing import Any

from autohedge.ask.model_probe import ModelProbe, ProbePlan, ProbeRunner, probe_snapshots
from autohedge.config import Settings
from autohedge.graph.prompt_builder import PromptBuilder, PromptFiles
from autohedge.llm.backend import LLMRequest
from autohedge.llm.backends.scripted import ScriptedBackend
from autohedge.market import Tape

Model = Callable[[LLMRequest], str]
RETURN = re.compile(r"return over the last \d+ quotes: ([+-][\d.]+) bps")
ANSWERS: dict[str, dict[str, Any]] = {
    "director": {
        "decision": "trade",
        "direction": "long",
        "thesis": "It moves.",
        "confidence_pct": 80,
        "key_levels": [],
        "horizon_minutes": 5,
    },
    "quant": {
        "thesis": "uncertain",
        "technical_score_pct": 60,
        "support": 100.0,
        "resistance": 100.0,
        "volatility": "pass",
    },
    "risk": {"size_pct": 50, "take_profit_bps": 60, "stop_loss_bps": 20, "reason": "It is enough."},
}
DECISIONS = {"director": "decision", "quant": "thesis", "risk": "decision"}
FITTING = {
    "director": ("trade", "no_trade"),
    "quant": ("supported", "refuted"),
    "risk": ("approve", "reject"),
}


def answer(request: LLMRequest, **changes: Any) -> str:
    """Returns a valid answer of the agent that is asked, with `changes`."""
    return json.dumps({"symbol": request.symbol, **ANSWERS[request.agent], **changes})


def first_named(request: LLMRequest) -> str:
    """Answers with the choice that the prompt lists first."""
    return _at_place(request, 0)


def last_named(request: LLMRequest) -> str:
    """Answers with the choice that the prompt lists last."""
    return _at_place(request, -1)


def reading(request: LLMRequest) -> str:
    """Answers by the sign of the return that the figures have; without figures it wants no entry."""
    found, (acts, refuses) = RETURN.search(request.messages[1].content), FITTING[request.agent]
    rises = found is not None and float(found[1]) > 0
    direction = {"direction": "long" if rises else "short"} if request.agent == "director" else {}
    return answer(request, **{DECISIONS[request.agent]: acts if rises else refuses}, **direction)


def eager(request: LLMRequest) -> str:
    """Follows the direction of the figures, and wants an entry even without figures."""
    return json.dumps(json.loads(reading(request)) | {"decision": "trade"})


def contrary(request: LLMRequest) -> str:
    """Takes each rise for a fall."""
    rises = json.loads(reading(request))["direction"] == "long"
    return answer(request, decision="no_trade", direction="short" if rises else "long")


def constant(**changes: Any) -> Model:
    """Returns a model that always gives the same answer."""
    return lambda request: answer(request, **changes)


def talking(_: LLMRequest) -> str:
    """Answers in prose."""
    return "I would rather wait."


def alternating() -> Model:
    """Returns a model with every third answer another, whatever it is asked."""
    turns = count()
    return lambda request: answer(request, decision="trade" if next(turns) % 3 else "no_trade")


def _at_place(request: LLMRequest, place: int) -> str:
    field = DECISIONS[request.agent]
    (listed,) = re.findall(rf'"{field}": (.*),', request.messages[0].content)
    return answer(request, **{field: re.findall(r'"(\w+)"', listed)[place]})


def probed(model: Model, settings: Settings, tape: Tape, plan: ProbePlan) -> ModelProbe:
    """Returns the probe of a model in this process."""
    builder = PromptBuilder.of(PromptFiles.of(settings), settings.tools, settings.resolved_agents)
    snapshots, prober = (
        probe_snapshots(settings, tape, plan),
        ProbeRunner(settings, ScriptedBackend(model), builder, {}),
    )
    return asyncio.run(prober.run(plan.agent, snapshots, lambda _: None))
