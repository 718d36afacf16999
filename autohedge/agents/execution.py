"""Execution: at which limit, and for how long."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from autohedge.agents.answers import Symbol, about_it
from autohedge.core.snapshots import Bounds, Snapshot
from autohedge.llm.asking import Asker
from autohedge.llm.backend import Request
from autohedge.llm.outcome import Outcome

NAME = "execution"


class Placement(BaseModel):
    """Execution's answer.

    `market` takes what is offered, at the limit that the settings give; `limit` lies `offset_bps` below it.
    `ioc` is now or never, `gtc` rests as long as execution.cancel_after_s lets it.
    """

    symbol: Symbol
    order_type: Literal["limit", "market"]
    offset_bps: Annotated[int, Field(ge=0, le=1000)]
    time_in_force: Literal["ioc", "gtc"]

    @property
    def below_bps(self) -> int:
        """How far below the settings' limit it buys."""
        return 0 if self.order_type == "market" else self.offset_bps


def ranges(bounds: Bounds) -> dict[str, tuple[int, int]]:
    """The bounds of each number, for the schema that goes out: some servers enforce them."""
    return {"offset_bps": (0, bounds.most_offset_bps)}


async def place(
    snapshot: Snapshot, request: Request, asker: Asker, deadline_s: float | None = None
) -> Outcome[Placement]:
    """Ask for limit and time in force; an offset outside the bounds is none."""
    most = snapshot.bounds.most_offset_bps

    def check(placement: Placement) -> tuple[str, str] | None:
        if placement.below_bps > most:
            return "out_of_bounds", f'"offset_bps" must be from 0 to {most}'
        return about_it(placement.symbol, snapshot)

    key = (snapshot.symbol, NAME)
    return await asker.ask(
        request, Placement, lane="continuation", key=key, deadline_s=deadline_s, check=check
    )
