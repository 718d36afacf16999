"""Capabilities of models: measured, cached, and discarded when expired or damaged."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

import autohedge
from autohedge.core.clock import wall_ns
from autohedge.core.units import NS_PER_DAY
from autohedge.llm.backends import capabilities
from autohedge.llm.backends.capabilities import ModelCapability
from autohedge.llm.backends.openai_compatible import open_openai_compatible
from tests.llm.backend_harness import fails
from tests.llm.imitation_server import (
    Imitation,
    ReceivedRequest,
    Reply,
    completion,
    json_reply,
    llama_cpp,
    lm_studio,
    ollama,
    vllm,
)


def _found(server: Imitation, model: str = "m") -> tuple[str, str]:
    """Returns server kind and output mode of a newly opened backend."""

    async def run() -> tuple[str, str]:
        backend = await open_openai_compatible(server.base_url, model, None, 10.0)
        await backend.close()
        return backend.server, backend.known.form

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("imitation", "kind"),
    [(lm_studio, "lm_studio"), (llama_cpp, "llama_cpp"), (vllm, "vllm"), (ollama, "ollama")],
)
def test_each_server_is_known_by_its_json_and_honours_a_schema(
    imitation: Callable[[], Imitation], kind: str
) -> None:
    with imitation() as server:
        assert _found(server) == (kind, "json_schema")
        assert len(server.chats()) == 1


@pytest.mark.parametrize(
    "page",
    [
        json_reply({"error": "Unexpected endpoint"}),
        json_reply({"models": [{"name": "x", "digest": ""}]}),
        json_reply({"data": "none"}),
        json_reply({"models": {"digest": 1}}),
        Reply(b"<html>Welcome</html>"),
    ],
)
def test_status_200_without_known_body_leaves_server_unknown(page: Reply) -> None:
    with Imitation(
        {"/v1/chat/completions": lambda _: json_reply(completion("{}"))}, lambda _: page
    ) as server:
        assert _found(server) == ("unknown", "json_object")


def _taking(*output_modes: str) -> Callable[[ReceivedRequest], Reply]:
    """Rejects all output modes except these; answers with a guess where no schema is enforced."""

    def chat(request: ReceivedRequest) -> Reply:
        output_mode = request.body.get("response_format", {"type": "text"})["type"]
        if output_mode in output_modes:
            return json_reply(completion('{"blue": true}'))
        return json_reply(
            {"error": {"message": f"'response_format' of type '{output_mode}' is not supported"}}, 400
        )

    return chat


@pytest.mark.parametrize(
    ("taken", "output_mode"),
    [(("json_object", "text"), "json_object"), (("text",), "text"), (("json_schema", "text"), "text")],
)
def test_output_mode_refused_or_ignored_is_not_supported(taken: tuple[str, ...], output_mode: str) -> None:
    with vllm() as server:
        server.pages["/v1/chat/completions"] = _taking(*taken)
        assert _found(server) == ("vllm", output_mode)


def test_a_schema_is_not_honoured_by_prose() -> None:
    with vllm().failing(json_reply(completion("Yes, it is."))) as server:
        assert _found(server) == ("vllm", "text")


def test_probe_truncated_by_token_limit_leaves_json_schema_mode() -> None:
    with vllm().failing(json_reply(completion("", "length"))) as server:
        assert _found(server) == ("vllm", "json_schema")


def test_capability_is_probed_once_per_address_and_model() -> None:
    with llama_cpp() as server:
        assert _found(server, "one") == _found(server, "one")
        assert len(server.received) == 2
        _found(server, "two")
        assert [request.body["model"] for request in server.chats()] == ["one", "two"]


def test_transient_failure_of_probe_is_not_stored() -> None:
    with vllm().failing(json_reply({"error": "busy"}, 503)) as server:
        assert _found(server)[1] == "json_schema"
        assert capabilities.load(server.base_url, "m") is None


def test_permanent_failure_of_probe_fails_opening_of_backend() -> None:
    with vllm().failing(json_reply({"error": "The model `m` does not exist"}, 404)) as server:
        failure = fails(lambda: open_openai_compatible(server.base_url, "m", None, 10.0))
    assert failure.code == "model_gone"


GONE = ModelCapability("http://a/v1", "m", "vllm", "json_object")


@pytest.mark.parametrize(
    "damage",
    [b"", b"{", b"\xff", b"[" * 100_000, b'{"base_url":"http://a/v1"}', b'{"form":"xml"}'],
)
def test_damaged_capability_file_is_ignored_and_replaced(own_cache: Path, damage: bytes) -> None:
    capabilities.store(GONE)
    [file] = own_cache.rglob("*.json")
    file.write_bytes(damage)
    assert capabilities.load("http://a/v1", "m") is None
    stored = capabilities.store(GONE)
    assert capabilities.load("http://a/v1", "m") == stored


@pytest.mark.parametrize("age_days", [31, -1])
def test_capability_expired_or_dated_in_future_is_not_loaded(own_cache: Path, age_days: int) -> None:
    capabilities.store(GONE)
    [file] = own_cache.rglob("*.json")
    ago_ns = age_days * NS_PER_DAY
    dated = msgspec.structs.replace(GONE, probed_ns=wall_ns() - ago_ns, version=autohedge.__version__)
    file.write_bytes(msgspec.json.encode(dated))
    assert capabilities.load("http://a/v1", "m") is None


def test_unwritable_capability_cache_is_ignored_without_error(own_cache: Path) -> None:
    own_cache.write_text("a file, where a folder should be")
    assert capabilities.store(GONE).form == "json_object"
    assert capabilities.load("http://a/v1", "m") is None


def test_storing_capability_leaves_no_temporary_files(own_cache: Path) -> None:
    for _ in range(3):
        capabilities.store(GONE)
    assert len(list((own_cache / "models").iterdir())) == 1
