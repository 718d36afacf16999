"""The Learning agent derives a lesson with evidence and expiry from closed trades."""

from typing import Annotated

from pydantic import BaseModel, Field


class LessonAnswer(BaseModel):
    """Learning's answer."""

    expected: Annotated[str, Field(max_length=200)]
    happened: Annotated[str, Field(max_length=200)]
    lesson: Annotated[str, Field(min_length=1, max_length=200)]
    evidence: Annotated[str, Field(max_length=200)]
    valid_for_minutes: Annotated[int, Field(ge=1, le=10_080)]
