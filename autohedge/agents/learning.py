"""The Learning agent derives a lesson with evidence and expiry from closed trades."""

from typing import Annotated

from pydantic import BaseModel, Field

from autohedge.core.snapshots import Snapshot
from autohedge.llm.backend import LLMRequest
from autohedge.llm.client import LLMClient
from autohedge.llm.outcome import Outcome

NAME = "learning"


class LessonAnswer(BaseModel):
    """Learning's answer."""

    expected: Annotated[str, Field(max_length=200)]
    happened: Annotated[str, Field(max_length=200)]
    lesson: Annotated[str, Field(min_length=1, max_length=200)]
    evidence: Annotated[str, Field(max_length=200)]
    valid_for_minutes: Annotated[int, Field(ge=1, le=10_080)]


async def ask(
    snapshot: Snapshot, request: LLMRequest, client: LLMClient, deadline_s: float | None = None
) -> Outcome[LessonAnswer]:
    """Asks for a lesson from the snapshot's closed trades."""
    key = (snapshot.symbol, NAME)
    return await client.ask(request, LessonAnswer, lane="learning", key=key, deadline_s=deadline_s)
