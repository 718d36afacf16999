"""The Director: may this symbol be traded, and why."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from autohedge.core.snapshots import Snapshot
from autohedge.llm.asking import Asker
from autohedge.llm.backend import Request
from autohedge.llm.outcome import Outcome

NAME = "director"


class Verdict(BaseModel):
    """The Director's answer: numbers are integers and words are from a list, for servers enforce no more."""

    decision: Literal["trade", "no_trade"]
    symbol: Annotated[str, Field(max_length=40)]
    direction: Literal["long", "short", "exit"]
    confidence_pct: Annotated[int, Field(ge=0, le=100)]
    thesis: Annotated[str, Field(max_length=400)]
    key_levels: Annotated[list[float], Field(max_length=4)]
    horizon_minutes: Annotated[int, Field(ge=1, le=10_080)]


async def judge(
    snapshot: Snapshot, request: Request, asker: Asker, deadline_s: float | None = None
) -> Outcome[Verdict]:
    """Ask the Director about a snapshot; an answer about another symbol is none."""

    def about_it(verdict: Verdict) -> tuple[str, str] | None:
        if verdict.symbol.strip().upper() == snapshot.symbol.upper():
            return None
        return "wrong_symbol", f'"symbol" must be "{snapshot.symbol}"'

    key = (snapshot.symbol, NAME)
    return await asker.ask(request, Verdict, lane="gate", key=key, deadline_s=deadline_s, check=about_it)
