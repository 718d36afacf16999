"""The Director decides whether a symbol may be traded, and why."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from autohedge.agents.schema import Percent, Symbol, check_reason, check_symbol
from autohedge.core.snapshots import Snapshot

SCHEMA_VERSION = 2


class Verdict(BaseModel):
    """The Director's answer.

    The schema of a request keeps the order of the fields. The thesis comes before the confidence, because
    small models that have just written a confidence of 0 tend to contradict their decision in the thesis.
    """

    decision: Literal["no_trade", "trade"]
    symbol: Symbol
    direction: Literal["short", "exit", "long"]
    thesis: Annotated[str, Field(max_length=400)]
    confidence_pct: Percent
    key_levels: Annotated[list[float], Field(max_length=4)]
    horizon_minutes: Annotated[int, Field(ge=1, le=10_080)]


def check_verdict(verdict: Verdict, snapshot: Snapshot) -> tuple[str, str] | None:
    """Returns the error of a verdict on another symbol, or with a thesis against its decision, or None."""
    return check_symbol(verdict.symbol, snapshot) or check_reason(verdict.thesis, verdict.decision)
