"""The model router: each request reaches the model that it names, and all models are closed."""

import asyncio

import msgspec
import pytest

from autohedge.llm.backend import LLMBackend, LLMError
from autohedge.llm.backends.capabilities import ModelCapability
from autohedge.llm.backends.openai_compatible import OpenAICompatible
from autohedge.llm.backends.router import ModelRouter
from tests.llm.request_factory import GOOD, Script, make_request, make_response


class Fragile(Script):
    """A backend whose `close` fails."""

    async def close(self) -> None:
        await super().close()
        raise OSError("the connection is gone")


def named(model: str, backend: Script) -> Script:
    backend.model = model
    return backend


def test_each_request_reaches_the_model_that_it_names() -> None:
    large, small = (
        named("large", Script(make_response(GOOD), make_response(GOOD))),
        named("small", Script(make_response(GOOD))),
    )
    backend: LLMBackend = ModelRouter(large, {"small": small})
    requests = [msgspec.structs.replace(make_request(), model=model) for model in ("", "small", "large")]

    async def run() -> None:
        for request in requests:
            await backend.complete(request)

    asyncio.run(run())
    assert large.requests == [requests[0], requests[2]] and small.requests == [requests[1]]
    assert (backend.name, backend.model, backend.server) == ("script", "large", "scripted")


def test_longest_answer_is_that_of_the_model_that_is_named() -> None:
    server = "http://127.0.0.1:1/v1"
    large = OpenAICompatible(server, "large", known=ModelCapability(server, "large", least_tokens=4096))
    router = ModelRouter(large, {"small": named("small", Script())})
    request = make_request(max_tokens=100)
    assert router.answer_tokens(request) == 4096
    assert router.answer_tokens(msgspec.structs.replace(request, model="small")) == 100
    assert router.answer_tokens(msgspec.structs.replace(request, model="gone")) == 100
    asyncio.run(router.close())


def test_a_model_that_was_not_opened_is_gone() -> None:
    backend = ModelRouter(named("large", Script()), {"small": named("small", Script())})
    with pytest.raises(LLMError, match="tiny was not opened, only small, large") as raised:
        asyncio.run(backend.complete(msgspec.structs.replace(make_request(), model="tiny")))
    assert raised.value.code == "model_gone"


def test_router_closes_all_backends_when_one_fails() -> None:
    backends = [named("a", Fragile()), named("b", Script()), named("c", Fragile())]
    with pytest.raises(OSError, match="the connection is gone"):
        asyncio.run(ModelRouter(backends[0], {each.model: each for each in backends[1:]}).close())
    assert all(each.closed for each in backends)
