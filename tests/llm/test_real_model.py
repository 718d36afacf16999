"""A real model behind a real llama.cpp server: small, without judgement, but nobody's imitation."""

import asyncio

import pytest
from pydantic import BaseModel, Field

from autohedge.llm import probe
from autohedge.llm.backend import Message, Request, Response
from autohedge.llm.openai_compatible import open_openai_compatible
from autohedge.llm.probe import Capability
from tests.llm.asking import fails
from tests.llm.real_model import SLOT_TOKENS

pytestmark = pytest.mark.model


class Verdict(BaseModel):
    """Integers and enums are what this server's grammar enforces; ranges of numbers it does not."""

    action: str = Field(pattern="^(trade|no_trade)$", json_schema_extra={"enum": ["trade", "no_trade"]})
    confidence_pct: int = Field(ge=0, le=100)


def _request(text: str) -> Request:
    asked = Message("user", text)
    schema = Verdict.model_json_schema()
    return Request("gate", "BTC/USD", (asked,), schema, 0.0, 160, "prompt", "snapshot")


async def _asked(base_url: str, text: str) -> tuple[str, str, str, Response]:
    backend = await open_openai_compatible(base_url, "", None, 120.0)
    try:
        return backend.server, backend.form, backend.model, await backend.complete(_request(text))
    finally:
        await backend.close()


def test_a_real_model_is_known_probed_and_answers_within_the_schema(real_model: str) -> None:
    text = "BTC rose 2 % in an hour on rising volume. Trade? Give a confidence in percent."
    server, form, model, answer = asyncio.run(_asked(real_model, text))
    assert (server, form, model) == ("llama_cpp", "json_schema", "smollm2")
    assert Verdict.model_validate_json(answer.text)
    assert (answer.finish_reason, answer.sent_as) == ("stop", "json_schema")
    assert answer.usage and answer.usage.prompt_tokens > 0 and answer.usage.completion_tokens > 0


def test_a_real_server_refuses_what_its_context_cannot_hold(real_model: str) -> None:
    probe.remember(Capability(real_model, "smollm2", "llama_cpp", "json_schema", 0))
    failure = fails(lambda: _asked(real_model, "quote " * (SLOT_TOKENS + 1000)))
    assert failure.code == "context_overflow"
