"""Risk: how much of it, and with which exits. What it may ask for is bounded by code."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from autohedge.agents.schema import Percent, Reason, Symbol, check_symbol
from autohedge.core.snapshots import AgentLimits, Snapshot
from autohedge.llm.backend import LLMRequest
from autohedge.llm.client import LLMClient
from autohedge.llm.outcome import Outcome

NAME = "risk"
Bps = Annotated[int, Field(ge=1, le=100_000)]


class Assessment(BaseModel):
    """Risk's answer: `size_pct` is of what sizing allows, the exits are in bps of the mid."""

    symbol: Symbol
    decision: Literal["approve", "reject"]
    size_pct: Percent
    take_profit_bps: Bps
    stop_loss_bps: Bps
    reason: Reason

    @property
    def refusal(self) -> str:
        """The code of why nothing is to be bought; empty if it may be."""
        return "" if self.decision == "approve" and self.size_pct else "rejected"


def ranges(bounds: AgentLimits) -> dict[str, tuple[int, int]]:
    """The bounds of each number, for the schema that goes out: some servers enforce them.

    Nothing of its size is no approval; a word says that, so that a small model does not by its first number.
    """
    exits = {"take_profit_bps": bounds.take_profits_bps, "stop_loss_bps": bounds.stop_losses_bps}
    return {"size_pct": (1, 100)} | exits


async def ask(
    snapshot: Snapshot, request: LLMRequest, client: LLMClient, deadline_s: float | None = None
) -> Outcome[Assessment]:
    """Ask for size and exits; an approval outside the bounds is none."""

    def check(found: Assessment) -> tuple[str, str] | None:
        return check_symbol(found.symbol, snapshot) or check_limits(found, snapshot.bounds)

    key = (snapshot.symbol, NAME)
    return await client.ask(
        request, Assessment, lane="continuation", key=key, deadline_s=deadline_s, check=check
    )


def check_limits(found: Assessment, bounds: AgentLimits) -> tuple[str, str] | None:
    """What is wrong with an approval's exits, as code and sentence; None if they may be."""
    if found.refusal:
        return None
    for name, (least, most) in ranges(bounds).items():
        if not least <= getattr(found, name) <= most:
            return "out_of_bounds", f'"{name}" must be from {least} to {most}'
    if found.take_profit_bps < bounds.least_reward_to_risk * found.stop_loss_bps:
        times = f"{bounds.least_reward_to_risk:g} times"
        return "reward_to_risk", f'"take_profit_bps" must be at least {times} "stop_loss_bps"'
    return None
