"""The Director decides whether a symbol may be traded, and why."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from autohedge.agents.schema import Percent, Symbol, check_reason, check_symbol
from autohedge.core.snapshots import Snapshot
from autohedge.llm.backend import LLMRequest
from autohedge.llm.client import LLMClient
from autohedge.llm.outcome import Outcome

NAME = "director"
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


async def ask(
    snapshot: Snapshot, request: LLMRequest, client: LLMClient, deadline_s: float | None = None
) -> Outcome[Verdict]:
    """Asks the Director about a snapshot; rejects another symbol and a thesis against the decision."""

    def check(verdict: Verdict) -> tuple[str, str] | None:
        return check_symbol(verdict.symbol, snapshot) or check_reason(verdict.thesis, verdict.decision)

    # A newer request under the same key replaces one that still waits in the queue.
    key = (snapshot.symbol, NAME)
    return await client.ask(request, Verdict, lane="gate", key=key, deadline_s=deadline_s, check=check)
