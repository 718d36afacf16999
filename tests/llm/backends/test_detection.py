"""A server on this machine is identified by its replies, within a short time, or not found."""

import asyncio
from collections.abc import Callable
from time import perf_counter

import pytest

from autohedge.llm.backends.detection import LocalServer, find_local_server
from tests.llm.imitation_server import (
    CLOSED,
    Imitation,
    Reply,
    json_reply,
    llama_cpp,
    lm_studio,
    ollama,
    vllm,
)


@pytest.mark.parametrize(
    ("imitation", "kind", "model"),
    [
        (lm_studio, "lm_studio", "qwen"),
        (llama_cpp, "llama_cpp", "smollm2"),
        (vllm, "vllm", "meta/llama"),
        (ollama, "ollama", "llama3:8b"),
    ],
)
def test_each_server_is_found_under_the_address_of_its_protocol(
    imitation: Callable[[], Imitation], kind: str, model: str
) -> None:
    with imitation() as server:
        found = asyncio.run(find_local_server([server.port], 5.0))
    assert found and (found.server, found.models[-1]) == (kind, model)
    assert found.base_url == (server.root if kind == "ollama" else server.base_url)
    assert not server.chats()


def test_the_first_of_the_ports_is_taken() -> None:
    with vllm() as one, llama_cpp() as other:
        found = asyncio.run(find_local_server([other.port, one.port], 5.0))
    assert found == LocalServer("llama_cpp", other.base_url, ("smollm2",))


@pytest.mark.parametrize(
    "page",
    [
        json_reply({"object": "list", "data": [{"id": "gpt", "owned_by": "someone"}]}),
        json_reply({"error": "no such page"}),
        json_reply({"detail": "Not Found"}, 404),
        Reply(b"<html>My web server</html>"),
        CLOSED,
    ],
)
def test_unknown_server_at_port_is_not_detected(page: Reply) -> None:
    with Imitation({}, lambda _: page) as server:
        assert asyncio.run(find_local_server([server.port], 5.0)) is None


def test_server_without_chat_model_is_not_detected() -> None:
    with vllm() as server:
        rows = [{"id": "nomic-embed", "owned_by": "vllm"}]
        server.pages["/v1/models"] = lambda _: json_reply({"object": "list", "data": rows})
        assert asyncio.run(find_local_server([server.port], 5.0)) is None


def test_unresponsive_ports_are_probed_concurrently() -> None:
    with vllm() as one, vllm() as other:

        def silence(_: object) -> Reply:
            one.over.wait()
            return CLOSED

        one.pages["/v1/models"] = other.pages["/v1/models"] = silence
        begun_s = perf_counter()
        assert asyncio.run(find_local_server([one.port, other.port] * 4, 0.5)) is None
        assert perf_counter() - begun_s < 3.0
        one.over.set()
