"""The part of a prompt that shows the answers of earlier agents.

A thesis is free text of a model, so it is fenced like any untrusted text. Of the other answers only numbers
and literals from a fixed list are shown.
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
    """Returns the Director's thesis, and its figures that the data do not support."""
    lines = [f"direction {direction}, confidence {confidence_pct} %", fenced(thesis, THESIS_LIMIT)]
    if unsupported:
        lines.append(f"figures in it that are not in the data: {', '.join(unsupported)}")
    return "\n".join(lines)


def finding_text(thesis: str, score_pct: int, support: float, resistance: float, volatility: str) -> str:
    """Returns the Quant's finding."""
    levels = f"support {format_price(support)}, resistance {format_price(resistance)}"
    return f"claim {thesis}, technical score {score_pct} %, {levels}, volatility {volatility}"


def assessment_text(
    size_pct: int, take_profit_bps: int, stop_loss_bps: int, *, is_short: bool = False
) -> str:
    """Returns the size and exits that Risk approved."""
    if is_short:
        return (
            f"sell short {size_pct} % of the usual size, "
            f"take-profit -{take_profit_bps} bps, stop-loss +{stop_loss_bps} bps; "
            "a limit with an offset waits for a higher price"
        )
    return (
        f"buy {size_pct} % of the usual size, "
        f"take-profit +{take_profit_bps} bps, stop-loss -{stop_loss_bps} bps"
    )
