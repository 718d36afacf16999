"""What a model honours is measured, kept, and forgotten when it is no longer to be trusted."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from autohedge.core.clock import DAY_NS, wall_ns
from autohedge.llm import probe
from autohedge.llm.openai_compatible import open_openai_compatible
from autohedge.llm.probe import Capability
from tests.llm.asking import fails
from tests.llm.servers import Heard, Imitation, Reply, completion, llama_cpp, lm_studio, ollama, said, vllm


def _found(server: Imitation, model: str = "m") -> tuple[str, str]:
    """Server kind and form of a freshly opened backend."""

    async def run() -> tuple[str, str]:
        backend = await open_openai_compatible(server.base_url, model, None, 10.0)
        await backend.close()
        return backend.server, backend.form

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
        said({"error": "Unexpected endpoint"}),
        said({"models": [{"name": "x", "digest": ""}]}),
        said({"data": "none"}),
        said({"models": {"digest": 1}}),
        Reply(b"<html>Welcome</html>"),
    ],
)
def test_a_good_status_alone_identifies_nothing(page: Reply) -> None:
    with Imitation({"/v1/chat/completions": lambda _: said(completion("{}"))}, lambda _: page) as server:
        assert _found(server) == ("unknown", "json_object")


def _taking(*forms: str) -> Callable[[Heard], Reply]:
    """Refuses all forms but these; writes a guess where no schema is enforced."""

    def chat(heard: Heard) -> Reply:
        form = heard.body.get("response_format", {"type": "text"})["type"]
        if form in forms:
            return said(completion('{"blue": true}'))
        return said({"error": {"message": f"'response_format' of type '{form}' is not supported"}}, 400)

    return chat


@pytest.mark.parametrize(
    ("taken", "form"),
    [(("json_object", "text"), "json_object"), (("text",), "text"), (("json_schema", "text"), "text")],
)
def test_a_form_that_is_refused_or_ignored_is_not_honoured(taken: tuple[str, ...], form: str) -> None:
    with vllm() as server:
        server.pages["/v1/chat/completions"] = _taking(*taken)
        assert _found(server) == ("vllm", form)


def test_a_schema_is_not_honoured_by_prose() -> None:
    with vllm().failing(said(completion("Yes, it is."))) as server:
        assert _found(server) == ("vllm", "text")


def test_a_model_that_thinks_past_the_limit_leaves_the_form_as_it_was_taken() -> None:
    with vllm().failing(said(completion("", "length"))) as server:
        assert _found(server) == ("vllm", "json_schema")


def test_what_was_found_is_asked_for_once_per_address_and_model() -> None:
    with llama_cpp() as server:
        assert _found(server, "one") == _found(server, "one")
        assert len(server.heard) == 2
        _found(server, "two")
        assert [heard.body["model"] for heard in server.chats()] == ["one", "two"]


def test_a_passing_fault_is_not_kept() -> None:
    with vllm().failing(said({"error": "busy"}, 503)) as server:
        assert _found(server)[1] == "json_schema"
        assert probe.recall(server.base_url, "m") is None


def test_a_lasting_fault_is_told_when_the_backend_is_opened() -> None:
    with vllm().failing(said({"error": "The model `m` does not exist"}, 404)) as server:
        failure = fails(lambda: open_openai_compatible(server.base_url, "m", None, 10.0))
    assert failure.code == "model_gone"


GONE = Capability("http://a/v1", "m", "vllm", "json_object", 0)


@pytest.mark.parametrize(
    "damage",
    [b"", b"{", b"\xff", b"[" * 100_000, b'{"base_url":"http://a/v1"}', b'{"form":"xml"}'],
)
def test_a_damaged_cache_is_as_good_as_none(own_cache: Path, damage: bytes) -> None:
    probe.remember(GONE)
    [file] = own_cache.rglob("*.json")
    file.write_bytes(damage)
    assert probe.recall("http://a/v1", "m") is None
    kept = probe.remember(GONE)
    assert probe.recall("http://a/v1", "m") == kept


@pytest.mark.parametrize("age_days", [31, -1])
def test_what_is_old_or_of_the_future_is_measured_again(own_cache: Path, age_days: int) -> None:
    probe.remember(GONE)
    [file] = own_cache.rglob("*.json")
    dated = msgspec.structs.replace(GONE, probed_ns=wall_ns() - age_days * DAY_NS)
    file.write_bytes(msgspec.json.encode(dated))
    assert probe.recall("http://a/v1", "m") is None


def test_a_cache_that_cannot_be_written_costs_another_probe_and_no_more(own_cache: Path) -> None:
    own_cache.write_text("a file, where a folder should be")
    assert probe.remember(GONE).form == "json_object"
    assert probe.recall("http://a/v1", "m") is None


def test_nothing_half_written_is_left_beside_the_cache(own_cache: Path) -> None:
    for _ in range(3):
        probe.remember(GONE)
    assert len(list((own_cache / "models").iterdir())) == 1
