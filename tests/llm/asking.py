"""One question, and what is made of it by a backend that is opened and closed around it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import pytest
from pydantic import SecretStr

from autohedge.llm.backend import LLMBackend, Message, ModelFailure, Request, Response
from autohedge.llm.ollama import Ollama
from autohedge.llm.openai_compatible import OpenAICompatible
from tests.llm.servers import Imitation

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


def a_request(text: str = "Trade?", max_tokens: int = 160) -> Request:
    messages = (Message("system", "You judge markets."), Message("user", text))
    return Request("gate", "BTC/USD", messages, SCHEMA, 0.25, max_tokens, "prompt", "snapshot")


class Opens(Protocol):
    def __call__(self, server: Imitation, timeout_s: float = 10.0) -> LLMBackend: ...


def by_openai(server: Imitation, timeout_s: float = 10.0) -> OpenAICompatible:
    return OpenAICompatible(server.base_url, "m", api_key=KEY, timeout_s=timeout_s)


def by_ollama(server: Imitation, timeout_s: float = 10.0) -> Ollama:
    return Ollama(server.root, "llama3:8b", timeout_s=timeout_s)


async def asked(backend: LLMBackend, *requests: Request) -> list[Response]:
    try:
        return [await backend.complete(request) for request in requests or (a_request(),)]
    finally:
        await backend.close()


def ask(open_backend: Callable[[], LLMBackend], *requests: Request) -> Response:
    """In a loop of its own, as a backend demands."""

    async def run() -> Response:
        return (await asked(open_backend(), *requests))[-1]

    return asyncio.run(run())


def fails(doing: Callable[[], Awaitable[Any]]) -> ModelFailure:
    """The failure that this ends in; its text is one printable line without the key."""

    async def run() -> None:
        await doing()

    with pytest.raises(ModelFailure) as caught:
        asyncio.run(run())
    text = str(caught.value)
    assert text.isprintable() and 0 < len(text) <= 200
    assert KEY.get_secret_value() not in text
    return caught.value
