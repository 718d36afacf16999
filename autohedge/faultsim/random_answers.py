"""Random answers of the agents, and the faults of decisions."""

from collections.abc import Sequence
from math import ceil
from typing import Any

import msgspec

from autohedge.config import Settings
from autohedge.core.events import Proposal
from autohedge.core.ids import Randomness
from autohedge.core.snapshots import AgentLimits, DeliberationKind
from autohedge.core.units import NS_PER_S
from autohedge.engine.deliberations.coordinator import agent_limits
from autohedge.faultsim.history import ScriptedAnswer
from autohedge.faultsim.random_market import ROWS, TradingSessions
from autohedge.faultsim.scripted_decisions import DecisionFault, answers_of
from autohedge.faultsim.strikes import Strike

ANSWERS, LESSONS = 40, 6  # of a symbol; later questions begin again with the first
FAULT_RATE = 0.2
_VERDICTS: tuple[dict[str, Any], ...] = (
    {"verdict": "trade", "direction": "long"},
    {"verdict": "trade", "direction": "exit"},
    {"verdict": "no_trade"},
    {"verdict": "keep", "code": "no_edge"},
    {"verdict": "abstain", "code": "parse_failure"},
)
_WEIGHTS = (80, 3, 6, 8, 3)  # mostly buys: without entries a history tests nothing
_LESSONS: tuple[dict[str, Any], ...] = (
    {"verdict": "lesson"},
    {"verdict": "abstain", "code": "parse_failure"},
)
_OUTSIDE: tuple[dict[str, Any], ...] = (
    {"size_pct": 0},
    {"size_pct": 101},
    {"size_pct": -(10**9)},
    {"take_profit_bps": 10**9},
    {"take_profit_bps": 1},
    {"stop_loss_bps": 10**9},
    {"stop_loss_bps": 0},
    {"offset_bps": -50},
    {"offset_bps": 10**9},
)


def random_answers(
    draw: Randomness, settings: Settings, symbols: Sequence[str]
) -> dict[str, list[ScriptedAnswer]]:
    """Draws the answers to the questions of each symbol and kind; none in hft mode."""
    if settings.trading.mode == "hft":
        return {}
    kind: DeliberationKind = "trade" if settings.trading.mode == "llm" else "gate"
    answers = {}
    for symbol in symbols:
        bounds = agent_limits(settings.for_symbol(symbol))
        answers[answers_of(symbol, kind)] = [_verdict(draw, kind, bounds) for _ in range(ANSWERS)]
        if settings.hybrid.learn_every_trades:
            answers[answers_of(symbol, "learning")] = [
                ScriptedAnswer(_delay(draw), **draw.choice(_LESSONS)) for _ in range(LESSONS)
            ]
    return answers


def random_decision_strikes(
    draw: Randomness, settings: Settings, symbols: Sequence[str], sessions: TradingSessions
) -> list[Strike]:
    """Draws the faults of about a fifth of the answers."""
    if settings.trading.mode == "hft":
        return []
    count = round(FAULT_RATE * _expected_questions(settings, len(symbols), sessions))
    return [
        Strike(
            str(draw.choice(list(DecisionFault))),
            sessions.at_ns(draw.randrange(sessions.trading_ns)),
            values=tuple(round(draw.random(), 3) for _ in range(3)),
        )
        for _ in range(count)
    ]


def _expected_questions(settings: Settings, symbols: int, sessions: TradingSessions) -> float:
    """About how many questions will be asked."""
    trading_s = sessions.trading_ns / NS_PER_S
    if settings.trading.mode == "llm":
        pause_s = max(settings.llm.min_interval_s, 0.33 * settings.hybrid.deadline_s)
    else:
        refresh_s = settings.hybrid.gate_refresh_quotes * trading_s * symbols / ROWS
        pause_s = max(refresh_s, settings.hybrid.min_refresh_s)
    return symbols * trading_s / pause_s


def _verdict(draw: Randomness, kind: DeliberationKind, bounds: AgentLimits) -> ScriptedAnswer:
    (verdict_fields,) = draw.choices(_VERDICTS, _WEIGHTS)
    proposal = _proposal(draw, bounds) if kind == "trade" else None
    return ScriptedAnswer(_delay(draw), **verdict_fields, proposal=proposal)


def _delay(draw: Randomness) -> float:
    return round(draw.uniform(0.05, 0.6), 3)


def _proposal(draw: Randomness, bounds: AgentLimits) -> Proposal | None:
    """Draws a proposal: mostly within the bounds, sometimes outside, sometimes None."""
    stop_bps = draw.randint(*bounds.stop_losses_bps)
    least, most = bounds.take_profits_bps
    least = min(max(least, ceil(bounds.least_reward_to_risk * stop_bps)), most)
    inside = Proposal(
        size_pct=draw.randint(1, 100),
        take_profit_bps=draw.randint(least, most),
        stop_loss_bps=stop_bps,
        offset_bps=draw.randint(0, bounds.most_offset_bps),
        time_in_force=draw.choice(["ioc", "gtc"]),
    )
    sample = draw.random()
    if sample < 0.05:
        return None
    return inside if sample < 0.88 else msgspec.structs.replace(inside, **draw.choice(_OUTSIDE))
