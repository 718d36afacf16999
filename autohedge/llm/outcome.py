"""The outcome of one query to a model, with all calls that were made for it."""

from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

import msgspec
from pydantic import BaseModel

from autohedge.llm.backend import LLMRequest, LLMResponse

Answer = TypeVar("Answer", bound=BaseModel)
Priority = Literal["continuation", "gate", "learning"]
ACCEPTED, REPAIRED = "accepted", "repaired"


class Call(msgspec.Struct, frozen=True):
    """One request and its result.

    `outcome` is `accepted`, `repaired`, or the code of the failure, which `failure` describes. `parse` is how
    the answer was extracted from the text. A call that was not sent has no response.
    """

    request: LLMRequest
    response: LLMResponse | None
    outcome: str
    failure: str
    parse: str
    tries: int
    queue_ms: float


@dataclass(frozen=True, slots=True)
class Outcome(Generic[Answer]):
    """An answer that passed all checks, or None and the code of the abstention; `calls` in order."""

    answer: Answer | None
    code: str
    calls: tuple[Call, ...]
