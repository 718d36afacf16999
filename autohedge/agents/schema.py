"""What all agents' answers share: numbers are integers and words are from a list, for servers enforce no more."""

from typing import Annotated

from pydantic import Field

from autohedge.core.snapshots import Snapshot

Symbol = Annotated[str, Field(max_length=40)]
Percent = Annotated[int, Field(ge=0, le=100)]
Reason = Annotated[str, Field(max_length=200)]


def check_symbol(symbol: str, snapshot: Snapshot) -> tuple[str, str] | None:
    """What is wrong with an answer about another symbol, as code and sentence; None if it is not."""
    if symbol.strip().upper() == snapshot.symbol.upper():
        return None
    return "wrong_symbol", f'"symbol" must be "{snapshot.symbol}"'
