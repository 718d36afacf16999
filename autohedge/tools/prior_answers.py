"""What an agent is told of those who answered before it.

A thesis is a model's sentence, and fenced like any text from outside; of other answers only numbers, and words of
a list, are passed on.
"""

from typing import NamedTuple

from autohedge.tools.formatting import format_price
from autohedge.tools.untrusted import fenced

THESIS_LIMIT = 400


class PriorAnswers(NamedTuple):
    """One text for each agent that may have answered."""

    thesis: str = "n/a"
    finding: str = "n/a"
    assessment: str = "n/a"


NO_PRIOR_ANSWERS = PriorAnswers()


def thesis_text(direction: str, confidence_pct: int, thesis: str, unsupported: tuple[str, ...]) -> str:
    """What the Director claims, and which of its figures nothing bears out."""
    lines = [f"direction {direction}, confidence {confidence_pct} %", fenced(thesis, THESIS_LIMIT)]
    if unsupported:
        lines.append(f"figures in it that are not in the data: {', '.join(unsupported)}")
    return "\n".join(lines)


def finding_text(thesis: str, score_pct: int, support: float, resistance: float, volatility: str) -> str:
    """What the Quant found."""
    levels = f"support {format_price(support)}, resistance {format_price(resistance)}"
    return f"claim {thesis}, technical score {score_pct} %, {levels}, volatility {volatility}"


def assessment_text(size_pct: int, take_profit_bps: int, stop_loss_bps: int) -> str:
    """What Risk approved."""
    return f"buy {size_pct} % of the usual size, take-profit +{take_profit_bps} bps, stop-loss -{stop_loss_bps} bps"
