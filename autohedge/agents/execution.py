"""The Execution agent sets the limit price and the time in force of an entry."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from autohedge.agents.schema import Symbol, check_symbol
from autohedge.core.snapshots import AgentLimits, Snapshot


class Placement(BaseModel):
    """Execution's answer.

    `market` buys at the limit price of the settings; `limit` buys `offset_bps` below it. An `ioc` order fills
    at once or is cancelled; a `gtc` order rests for up to `execution.cancel_after_s`.
    """

    symbol: Symbol
    order_type: Literal["limit", "market"]
    offset_bps: Annotated[int, Field(ge=0, le=1000)]
    time_in_force: Literal["ioc", "gtc"]

    @property
    def limit_offset_bps(self) -> int:
        """The distance below the limit price of the settings, in bps."""
        # An offset that a model sends together with `market` has no meaning.
        return 0 if self.order_type == "market" else self.offset_bps


def ranges(bounds: AgentLimits) -> dict[str, tuple[int, int]]:
    """Returns the bounds of each number for the schema of the request; some servers enforce them."""
    return {"offset_bps": (0, bounds.most_offset_bps)}


def check_placement(placement: Placement, snapshot: Snapshot) -> tuple[str, str] | None:
    """Returns the error of an offset outside the bounds, or of another symbol, as code and text, or None."""
    most = snapshot.limits.most_offset_bps
    if placement.limit_offset_bps > most:
        return "out_of_bounds", f'"offset_bps" must be from 0 to {most}'
    return check_symbol(placement.symbol, snapshot)
