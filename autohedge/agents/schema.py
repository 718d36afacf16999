"""Field types and checks that all agents' answers share."""

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
    # Models change the case of symbols, which is harmless.
    if symbol.strip().upper() == snapshot.symbol.upper():
        return None
    return "wrong_symbol", f'"symbol" must be "{snapshot.symbol}"'
