"""The Risk agent sets size and exit levels of an entry, within bounds that the code enforces."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from autohedge.agents.schema import Percent, Reason, Symbol, check_reason, check_symbol
from autohedge.core.snapshots import AgentLimits, Snapshot

Bps = Annotated[int, Field(ge=1, le=100_000)]


class Assessment(BaseModel):
    """Risk's answer: `size_pct` is a percentage of the computed size, the exits are in bps of the mid."""

    symbol: Symbol
    decision: Literal["reject", "approve"]
    size_pct: Percent
    take_profit_bps: Bps
    stop_loss_bps: Bps
    reason: Reason

    @property
    def refusal(self) -> str:
        """The code of the reason against an entry; empty if there is none."""
        # Approval of nothing is a rejection.
        return "" if self.decision == "approve" and self.size_pct else "rejected"


def ranges(bounds: AgentLimits) -> dict[str, tuple[int, int]]:
    """Returns the bounds of each number for the schema of the request; some servers enforce them.

    `size_pct` starts at 1: a rejection is expressed by `decision`. With 0 allowed, small models tend to
    reject by their first number.
    """
    exits = {"take_profit_bps": bounds.take_profits_bps, "stop_loss_bps": bounds.stop_losses_bps}
    return {"size_pct": (1, 100)} | exits


def check_assessment(found: Assessment, snapshot: Snapshot) -> tuple[str, str] | None:
    """Returns the error of another symbol, a contradiction, or an approval outside the bounds, or None."""
    return (
        check_symbol(found.symbol, snapshot)
        or check_reason(found.reason, found.decision)
        or check_limits(found, snapshot.limits)
    )


def check_limits(found: Assessment, bounds: AgentLimits) -> tuple[str, str] | None:
    """Returns the error in an approval's size and exits as code and text, or None."""
    if found.refusal:
        return None
    for name, (least, most) in ranges(bounds).items():
        if not least <= getattr(found, name) <= most:
            return "out_of_bounds", f'"{name}" must be from {least} to {most}'
    if found.take_profit_bps < bounds.least_reward_to_risk * found.stop_loss_bps:
        times = f"{bounds.least_reward_to_risk:g} times"
        return "reward_to_risk", f'"take_profit_bps" must be at least {times} "stop_loss_bps"'
    return None
