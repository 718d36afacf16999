"""A small real model behind a real llama.cpp server."""

import asyncio

import pytest
from pydantic import BaseModel, Field

from autohedge.llm.backend import LLMRequest, LLMResponse, Message
from autohedge.llm.backends import capabilities
from autohedge.llm.backends.capabilities import ModelCapability
from autohedge.llm.backends.openai_compatible import open_openai_compatible
from tests.llm.backend_harness import fails
from tests.llm.real_model import SLOT_TOKENS

pytestmark = pytest.mark.model


class Verdict(BaseModel):
    """This server's grammar enforces integers and enums, but not ranges of numbers."""

    action: str = Field(pattern="^(trade|no_trade)$", json_schema_extra={"enum": ["trade", "no_trade"]})
    confidence_pct: int = Field(ge=0, le=100)


def _request(text: str) -> LLMRequest:
    message = Message("user", text)
    schema = Verdict.model_json_schema()
    return LLMRequest("gate", "BTC/USD", (message,), schema, 0.0, 160, "prompt", "snapshot")


async def _complete(base_url: str, text: str) -> tuple[str, str, str, LLMResponse]:
    backend = await open_openai_compatible(base_url, "", None, 120.0)
    try:
        return backend.server, backend.known.form, backend.model, await backend.complete(_request(text))
    finally:
        await backend.close()


def test_real_model_is_detected_probed_and_answers_within_schema(real_model: str) -> None:
    text = "BTC rose 2 % in an hour on rising volume. Trade? Give a confidence in percent."
    server, output_mode, model, answer = asyncio.run(_complete(real_model, text))
    assert (server, output_mode, model) == ("llama_cpp", "json_schema", "smollm2")
    assert Verdict.model_validate_json(answer.text)
    assert (answer.finish_reason, answer.sent_as) == ("stop", "json_schema")
    assert answer.usage and answer.usage.prompt_tokens > 0 and answer.usage.completion_tokens > 0


def test_a_real_server_refuses_what_its_context_cannot_hold(real_model: str) -> None:
    capabilities.store(ModelCapability(real_model, "smollm2", "llama_cpp", "json_schema", 0))
    failure = fails(lambda: _complete(real_model, "quote " * (SLOT_TOKENS + 1000)))
    assert failure.code == "context_overflow"
