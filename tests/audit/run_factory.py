"""Recorded runs of a few synthetic minutes, with answers of the rules or of a script."""

import json
from pathlib import Path
from typing import Any

from autohedge import app
from autohedge.config import load
from autohedge.journal import RunFolder

SMALL = [
    'trading.mode="hybrid"',
    "synthetic.hours=0.25",
    "momentum.min_edge_bps=1",
    "exits.take_profit_bps=3",
    "exits.stop_loss_bps=3",
    "hybrid.learn_every_trades=2",
    "hybrid.min_refresh_s=1",
    "hybrid.cache_verdicts=false",
    "risk.max_exposure_notional=205",
]
HOUR = ["synthetic.hours=0.4", "llm.min_interval_s=20", "risk.max_exposure_notional=1000000"]
HOSTILE = (
    "\x1b[2J\x1b]0;owned\x07[bold red]</pre><script>alert(1)</script><img src=http://evil.example/x>\u202e"
)


def recorded(*overrides: str) -> RunFolder:
    """Runs a short synthetic market in hybrid mode in the working directory; returns the run's folder."""
    settings = load(None, [*SMALL, *overrides])
    return RunFolder.find(app.run(settings, app.tape_for(settings, [])).run)


def scripted(script: Path, answers: list[Any], *overrides: str) -> RunFolder:
    """Runs with a scripted model that gives these answers in turn."""
    script.write_text("\n".join(json.dumps(answer) for answer in answers))
    return recorded('llm.provider="scripted"', f'llm.script="{script}"', *overrides)


def yes(symbol: str = "BTC/USD", thesis: str = "it rises") -> str:
    """Returns a Director's answer that opens the gate of a symbol."""
    return json.dumps(
        {
            "decision": "trade",
            "symbol": symbol,
            "direction": "long",
            "confidence_pct": 77,
            "thesis": thesis,
            "key_levels": [],
            "horizon_minutes": 5,
        }
    )


def agent_answer(agent: str, symbol: str = "BTC/USD", **changes: Any) -> dict[str, Any]:
    """Returns the answer of an agent that agrees to an entry, with `changes`."""
    return {"symbol": symbol} | TEAM[agent] | changes


TEAM: dict[str, dict[str, Any]] = {
    "director": {
        "decision": "trade",
        "direction": "long",
        "confidence_pct": 80,
        "thesis": "It rises.",
        "key_levels": [],
        "horizon_minutes": 5,
    },
    "quant": {
        "thesis": "supported",
        "technical_score_pct": 70,
        "support": 90_000.0,
        "resistance": 100_000.0,
        "volatility": "pass",
    },
    "risk": {
        "decision": "approve",
        "size_pct": 50,
        "take_profit_bps": 40,
        "stop_loss_bps": 20,
        "reason": "Enough of it.",
    },
    "execution": {"order_type": "market", "offset_bps": 0, "time_in_force": "ioc"},
}
"""The answer of each agent that agrees to an entry."""


def team(*answers: Any, **overrides: str) -> list[str]:
    """Returns settings for a run in llm mode on one symbol, with a script of these answers in turn."""
    Path("team.jsonl").write_text("\n".join(map(json.dumps, answers)))
    chosen = {
        "trading.mode": '"llm"',
        "llm.provider": '"scripted"',
        "llm.script": '"team.jsonl"',
        "synthetic.symbols": '["BTC/USD"]',
        "hybrid.learn_every_trades": "0",
    }
    return [f"{name}={value}" for name, value in chosen.items()] + [
        f"{name.replace('__', '.')}={value}" for name, value in overrides.items()
    ]
