"""The model router: each request reaches the model that it names, and all models are closed."""

import asyncio

import msgspec
import pytest

from autohedge.llm.backend import LLMBackend, LLMError
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
