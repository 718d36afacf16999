"""The composition root: wires settings, market, strategy, engine, venue, agents and record together."""

from autohedge.app.compose import as_read, engine_for, recipe_for, tape_for, venue_for
from autohedge.app.memory_run import run_in_memory
from autohedge.app.records import (
    open_record,
    origins_of,
    pack,
    recorded_settings,
    replay_as_dict,
    replay_deliberations,
    replay_engine,
)
from autohedge.app.trust import require_trust
from autohedge.app.virtual_run import (
    estimate_calls,
    finish_run,
    open_agents,
    run,
    run_in_runtime,
)

__all__ = [
    "as_read",
    "engine_for",
    "estimate_calls",
    "finish_run",
    "open_agents",
    "open_record",
    "origins_of",
    "pack",
    "recipe_for",
    "recorded_settings",
    "replay_as_dict",
    "replay_deliberations",
    "replay_engine",
    "require_trust",
    "run",
    "run_in_memory",
    "run_in_runtime",
    "tape_for",
    "venue_for",
]
