"""The Quant checks the Director's thesis against the figures."""

from typing import Literal

from pydantic import BaseModel

from autohedge.agents.schema import Percent, Symbol, check_symbol
from autohedge.core.snapshots import Snapshot

LEAST_SUPPORT_PCT = 50


class Finding(BaseModel):
    """The Quant's answer.

    `refuted` and a `fail` of the volatility end the deliberation. An `uncertain` thesis limits the size to
    `technical_score_pct`. `support` and `resistance` are prices that the Risk agent reads.
    """

    symbol: Symbol
    thesis: Literal["refuted", "uncertain", "supported"]
    technical_score_pct: Percent
    support: float
    resistance: float
    volatility: Literal["fail", "pass"]

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


def check_finding(finding: Finding, snapshot: Snapshot) -> tuple[str, str] | None:
    """Returns the error of another symbol, or of impossible levels or scores, as code and text, or None."""
    if wrong := check_symbol(finding.symbol, snapshot):
        return wrong
    least, most = snapshot.plausible_prices
    for name in ("support", "resistance"):
        if not least <= getattr(finding, name) <= most:
            return "implausible", f'"{name}" must be a price from {least:.10g} to {most:.10g}'
    if finding.support > finding.resistance:
        return "implausible", '"support" must not be above "resistance"'
    if finding.thesis == "supported" and finding.technical_score_pct < LEAST_SUPPORT_PCT:
        least_score = f'"technical_score_pct" of at least {LEAST_SUPPORT_PCT}'
        return "contradiction", f'"supported" needs a {least_score}; a weaker thesis is "uncertain"'
    return None
