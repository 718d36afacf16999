"""Fills all fields of a prompt template from one snapshot and the given files.

`autohedge.prompts.fields` lists the fields. The same snapshot and files give the same bytes.
"""

from collections.abc import Sequence

from autohedge.config.sections import ToolsSettings
from autohedge.core.clock import format_utc
from autohedge.core.quote_table import quote_table
from autohedge.core.snapshots import Snapshot
from autohedge.tools.account import account_text, bounds_text
from autohedge.tools.formatting import clean_name
from autohedge.tools.headlines import Headlines, headlines_text
from autohedge.tools.indicators import indicators_text
from autohedge.tools.lessons import Lesson, lessons_text
from autohedge.tools.market import market_text
from autohedge.tools.prior_answers import NO_PRIOR_ANSWERS, PriorAnswers
from autohedge.tools.trades import trades_text


def fields_for(
    snapshot: Snapshot,
    tools: ToolsSettings,
    headlines: Headlines,
    lessons: Sequence[Lesson],
    colleagues: PriorAnswers = NO_PRIOR_ANSWERS,
) -> dict[str, str]:
    """Returns the value of every field in `prompts.FIELDS`; `colleagues` are earlier agents' answers."""
    rows = tools.table_rows
    return {
        "symbol": clean_name(snapshot.symbol),
        "at": f"{format_utc(snapshot.at_ns)} UTC",
        "rows": str(min(rows, len(snapshot.quotes))),
        "table": quote_table(snapshot.quotes[-rows:]),
        "indicators": indicators_text(snapshot, rows),
        "market": market_text(snapshot),
        "account": account_text(snapshot),
        "bounds": bounds_text(snapshot.limits),
        "thesis": colleagues.thesis,
        "finding": colleagues.finding,
        "assessment": colleagues.assessment,
        "trades": trades_text(snapshot),
        "headlines": headlines_text(snapshot, headlines, tools.headlines_shown),
        "lessons": lessons_text(snapshot, lessons, tools.lessons_shown),
    }
