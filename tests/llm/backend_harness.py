"""One request, and its result from a backend that is opened and closed around it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import pytest
from pydantic import SecretStr

from autohedge.llm.backend import LLMBackend, LLMError, LLMRequest, LLMResponse, Message
from autohedge.llm.backends.ollama import OllamaBackend
from autohedge.llm.backends.openai_compatible import OpenAICompatible
from tests.llm.imitation_server import Imitation

KEY = SecretStr("sk-very-secret-0123456789")
SCHEMA: dict[str, Any] = {
    "title": "Verdict",
    "type": "object",
    "properties": {
        "action": {"type": "string", "enum": ["no_trade", "trade"]},
        "confidence_pct": {"type": "integer", "minimum": 0, "maximum": 100},
    },
    "required": ["action", "confidence_pct"],
    "additionalProperties": False,
}
FITTING = '{"action": "no_trade", "confidence_pct": 50}'


def a_request(text: str = "Trade?", max_tokens: int = 160) -> LLMRequest:
    messages = (Message("system", "You judge markets."), Message("user", text))
    return LLMRequest("gate", "BTC/USD", messages, SCHEMA, 0.25, max_tokens, "prompt", "snapshot")


class Opens(Protocol):
    def __call__(self, server: Imitation, timeout_s: float = 10.0) -> LLMBackend: ...


def by_openai(server: Imitation, timeout_s: float = 10.0) -> OpenAICompatible:
    return OpenAICompatible(server.base_url, "m", api_key=KEY, timeout_s=timeout_s)


def by_ollama(server: Imitation, timeout_s: float = 10.0) -> OllamaBackend:
    return OllamaBackend(server.root, "llama3:8b", timeout_s=timeout_s)


async def complete_all(backend: LLMBackend, *requests: LLMRequest) -> list[LLMResponse]:
    try:
        return [await backend.complete(request) for request in requests or (a_request(),)]
    finally:
        await backend.close()


def complete_sync(open_backend: Callable[[], LLMBackend], *requests: LLMRequest) -> LLMResponse:
    """Runs in an event loop of its own, as a backend requires."""

    async def run() -> LLMResponse:
        return (await complete_all(open_backend(), *requests))[-1]

    return asyncio.run(run())


def fails(doing: Callable[[], Awaitable[Any]]) -> LLMError:
    """Returns the LLMError that this raises; its text must be one printable line without the key."""

    async def run() -> None:
        await doing()

    with pytest.raises(LLMError) as caught:
        asyncio.run(run())
    text = str(caught.value)
    assert text.isprintable() and 0 < len(text) <= 300
    assert KEY.get_secret_value() not in text
    return caught.value
