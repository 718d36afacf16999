"""Field types and checks that several agents' answers share.

In each list of literals the one that does no harm is first: a small model tends to take the first. The
lengths apply to an answer that came. The schema of a request allows shorter texts only, so that the answer
fits its tokens; a longer text that came whole does no harm.
"""

import re
from typing import Annotated

from pydantic import Field

from autohedge.core.snapshots import Snapshot

# Integers and literals only where possible: servers that enforce a schema enforce these, and often nothing
# else.
Symbol = Annotated[str, Field(max_length=40)]
Percent = Annotated[int, Field(ge=0, le=100)]
Reason = Annotated[str, Field(max_length=200)]


def check_symbol(symbol: str, snapshot: Snapshot) -> tuple[str, str] | None:
    """Returns the error of an answer about another symbol as code and text, or None."""
    # Other spellings have been read as the symbol already, by a rule that is recorded.
    if symbol == snapshot.symbol:
        return None
    return "wrong_symbol", f'"symbol" must be "{snapshot.symbol}"'


_YES = re.compile(r"(?:trade|approved?)+")
_NO = re.compile(r"(?:notrade|reject(?:ed)?)+")
_NOT_A_LETTER = re.compile(r"[\W\d_]+")


def check_reason(text: str, decision: str) -> tuple[str, str] | None:
    """Returns the error of a reason that is nothing but the opposite decision as code and text, or None.

    Case, punctuation and repetition do not count: ", No_Trade!" is `no_trade`.
    """
    opposite = _NO if decision in {"trade", "approve"} else _YES
    if not opposite.fullmatch(_NOT_A_LETTER.sub("", text).lower()):
        return None
    return "contradiction", f'"decision" is "{decision}", but its reason is the opposite decision'
