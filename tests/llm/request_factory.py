"""A model with answers from the test, and a clock that the test moves."""

import asyncio
from collections.abc import Callable
from typing import Any, Literal

from pydantic import BaseModel, Field

from autohedge.config.sections import LLMSettings
from autohedge.llm.backend import LLMRequest, LLMResponse, Message, Usage
from tests.run_harness import settings

Reply = LLMResponse | Exception | Callable[[LLMRequest], LLMResponse]


class Verdict(BaseModel):
    """The answer that the tests request."""

    symbol: str
    action: Literal["trade", "no_trade"]
    confidence: int = Field(ge=0, le=100)


GOOD = '{"symbol":"BTC/USD","action":"trade","confidence":70}'


class Clock:
    """A clock in seconds that the test advances."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s

    async def pause(self, seconds: float) -> None:
        self.now_s += seconds


def make_request(
    text: str = "Trade BTC/USD or not?", max_tokens: int = 100, agent: str = "director"
) -> LLMRequest:
    messages = (Message("system", "You answer in JSON."), Message("user", text))
    return LLMRequest(agent, "BTC/USD", messages, {"type": "object"}, 0.0, max_tokens, "p1", "s1")


def make_response(
    text: str, finish_reason: str = "stop", usage: Usage | None = None, refusal: str | None = None
) -> LLMResponse:
    return LLMResponse(text, finish_reason, "m", "scripted", "json_schema", usage, 12.5, refusal)


class Script:
    """A backend that returns its replies in turn and records the requests."""

    name = "script"
    model = "m"
    server = "scripted"

    def __init__(self, *replies: Reply) -> None:
        self.replies = list(replies)
        self.requests: list[LLMRequest] = []
        self.closed = False

    async def complete(self, request: LLMRequest) -> LLMResponse:
        self.requests.append(request)
        reply = self.replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return reply if isinstance(reply, LLMResponse) else reply(request)

    async def close(self) -> None:
        self.closed = True


class Stuck(Script):
    """A backend that answers only after it is released."""

    def __init__(self, *replies: Reply) -> None:
        super().__init__(*replies)
        self.requested = asyncio.Event()
        self.free = asyncio.Event()

    async def complete(self, request: LLMRequest) -> LLMResponse:
        self.requested.set()
        await self.free.wait()
        return await super().complete(request)


def llm(**changed: Any) -> LLMSettings:
    """The default LLM settings with some changes."""
    return settings(**{f"llm__{name}": value for name, value in changed.items()}).llm
