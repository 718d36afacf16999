"""The Quant checks the Director's thesis against the figures."""

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

    `refuted` and a `fail` of the volatility end the deliberation. An `uncertain` thesis limits the size to
    `technical_score_pct`. `support` and `resistance` are prices that the Risk agent reads.
    """

    symbol: Symbol
    thesis: Literal["supported", "refuted", "uncertain"]
    technical_score_pct: Percent
    support: float
    resistance: float
    volatility: Literal["pass", "fail"]

    @property
    def refusal(self) -> str:
        """The code of the reason against an entry; empty if there is none."""
        if self.thesis == "refuted":
            return "refuted"
        return "too_volatile" if self.volatility == "fail" else ""

    @property
    def max_size_pct(self) -> int:
        """The largest size that this finding allows, in percent of the computed size."""
        return 100 if self.thesis == "supported" else self.technical_score_pct


async def ask(
    snapshot: Snapshot, request: LLMRequest, client: LLMClient, deadline_s: float | None = None
) -> Outcome[Finding]:
    """Asks whether the indicators support the thesis; rejects an answer about another symbol."""

    def check(finding: Finding) -> tuple[str, str] | None:
        return check_symbol(finding.symbol, snapshot)

    key = (snapshot.symbol, NAME)
    return await client.ask(
        request, Finding, lane="continuation", key=key, deadline_s=deadline_s, check=check
    )
