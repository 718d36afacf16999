"""The Quant: whether the figures bear the Director's thesis out."""

from typing import Literal

from pydantic import BaseModel

from autohedge.agents.schema import Percent, Symbol, check_symbol
from autohedge.core.snapshots import Snapshot
from autohedge.llm.backend import LLMRequest
from autohedge.llm.client import LLMClient
from autohedge.llm.outcome import Outcome

NAME = "quant"


class Finding(BaseModel):
    """The Quant's answer.

    `refuted` and a volatility that fails end the deliberation; an `uncertain` thesis is worth no more than
    `technical_score_pct` of its size. `support` and `resistance` are prices, for the Risk agent to read.
    """

    symbol: Symbol
    thesis: Literal["supported", "refuted", "uncertain"]
    technical_score_pct: Percent
    support: float
    resistance: float
    volatility: Literal["pass", "fail"]

    @property
    def refusal(self) -> str:
        """The code of why nothing is to be bought; empty if it may be."""
        if self.thesis == "refuted":
            return "refuted"
        return "too_volatile" if self.volatility == "fail" else ""

    @property
    def max_size_pct(self) -> int:
        """How much of what sizing allows this finding leaves."""
        return 100 if self.thesis == "supported" else self.technical_score_pct


async def ask(
    snapshot: Snapshot, request: LLMRequest, client: LLMClient, deadline_s: float | None = None
) -> Outcome[Finding]:
    """Ask whether the indicators bear the thesis out."""

    def check(finding: Finding) -> tuple[str, str] | None:
        return check_symbol(finding.symbol, snapshot)

    key = (snapshot.symbol, NAME)
    return await client.ask(
        request, Finding, lane="continuation", key=key, deadline_s=deadline_s, check=check
    )
