"""What one question to a model came to, with everything that was said on the way."""

from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

import msgspec
from pydantic import BaseModel

from autohedge.llm.backend import LLMRequest, LLMResponse

Answer = TypeVar("Answer", bound=BaseModel)
Priority = Literal["continuation", "gate", "learning"]
ACCEPTED, REPAIRED = "accepted", "repaired"


class Call(msgspec.Struct, frozen=True):
    """One request on its way and what came of it.

    `outcome` is `accepted`, `repaired`, or the code of what was wrong; `failure` is a sentence about that.
    `parse` says how the answer was found in the text. A call that never left has no response and no `service_ms`.
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
    """An answer that passed all checks, or None and the abstention's code; `calls` as they were made."""

    answer: Answer | None
    code: str
    calls: tuple[Call, ...]
