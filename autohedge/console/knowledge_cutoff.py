"""Says whether a model may know how the market of a tape went on, because it learned from later text."""

from collections.abc import Mapping

from autohedge.core.clock import format_utc
from autohedge.core.results import RunReport
from autohedge.core.text import one_line

DAY_CHARS = 10
SHOWN_CHARS = 200


def cutoff_warning(report: RunReport, cutoffs: Mapping[str, str]) -> str:
    """Returns a line if the tape begins before the knowledge cutoff of a model, else an empty string.

    `cutoffs` are days as YYYY-MM-DD, by model. The synthetic market is in no text.
    """
    begins = format_utc(report.first_ns)[:DAY_CHARS]
    knowing = [f"{model} ({cutoff})" for model, cutoff in cutoffs.items() if begins < cutoff]
    if not knowing or report.synthetic or not report.last_ns:
        return ""
    named = one_line(", ".join(knowing), SHOWN_CHARS)
    return f"the model may know what happened: the tape begins on {begins}, before the cutoff of {named}"
