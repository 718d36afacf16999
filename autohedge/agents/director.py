"""The Director: may this symbol be traded, and why."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from autohedge.agents.answers import Percent, Symbol, about_it
from autohedge.core.snapshots import Snapshot
from autohedge.llm.asking import Asker
from autohedge.llm.backend import Request
from autohedge.llm.outcome import Outcome

NAME = "director"
SCHEMA_VERSION = 1


class Verdict(BaseModel):
    """The Director's answer."""

    decision: Literal["trade", "no_trade"]
    symbol: Symbol
    direction: Literal["long", "short", "exit"]
    confidence_pct: Percent
    thesis: Annotated[str, Field(max_length=400)]
    key_levels: Annotated[list[float], Field(max_length=4)]
    horizon_minutes: Annotated[int, Field(ge=1, le=10_080)]


async def judge(
    snapshot: Snapshot, request: Request, asker: Asker, deadline_s: float | None = None
) -> Outcome[Verdict]:
    """Ask the Director about a snapshot; an answer about another symbol is none."""

    def check(verdict: Verdict) -> tuple[str, str] | None:
        return about_it(verdict.symbol, snapshot)

    key = (snapshot.symbol, NAME)
    return await asker.ask(request, Verdict, lane="gate", key=key, deadline_s=deadline_s, check=check)
