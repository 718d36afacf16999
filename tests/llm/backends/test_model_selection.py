"""Which model of a server is taken, and what ends a run at its start."""

import asyncio

import pytest

from autohedge.llm.backend import LLMError
from autohedge.llm.backends import model_selection
from autohedge.llm.backends.model_listing import closest
from autohedge.llm.backends.ollama import open_ollama
from autohedge.llm.backends.openai_compatible import open_openai_compatible
from tests.llm.backend_harness import fails
from tests.llm.imitation_server import (
    Imitation,
    JsonObject,
    Page,
    ReceivedRequest,
    Reply,
    json_reply,
    llama_cpp,
    lm_studio,
    ollama,
    vllm,
)


def _model(server: Imitation, model: str = "", timeout_s: float = 10.0) -> str:
    async def run() -> str:
        backend = await open_openai_compatible(server.base_url, model, None, timeout_s)
        await backend.close()
        return backend.model

    return asyncio.run(run())


def _model_of_ollama(server: Imitation, model: str = "") -> str:
    async def run() -> str:
        backend = await open_ollama(server.root, model, 8192, 10.0)
        await backend.close()
        return backend.model

    return asyncio.run(run())


def _pulled(*names: str, chatting: str = "", rows: JsonObject | None = None) -> Imitation:
    """An Ollama server with these models, of which one can chat."""
    server = ollama()
    listed = [{"name": name, "digest": "d", **(rows or {}).get(name, {})} for name in names]

    def show(request: ReceivedRequest) -> Reply:
        can = ["completion", "tools"] if request.body["model"] == chatting else ["embedding"]
        return json_reply({"capabilities": can})

    def chat(request: ReceivedRequest) -> Reply:
        model = request.body["model"]
        if model not in names:
            return json_reply({"error": f"model '{model}' not found"}, 404)
        if chatting and model != chatting:
            return json_reply({"error": f'"{model}" does not support chat'}, 400)
        return answers(request)

    answers = _answering(server.pages["/api/chat"])
    server.pages |= {"/api/tags": lambda _: json_reply({"models": listed}), "/api/chat": chat}
    if chatting:
        server.pages["/api/show"] = show
    return server


def _answering(page: Page) -> Page:
    def answer(request: ReceivedRequest) -> Reply:
        return page(ReceivedRequest("POST", request.path, {}, {**request.body, "model": "llama3:8b"}))

    return answer


def test_unnamed_model_of_ollama_is_the_first_that_can_chat() -> None:
    with _pulled("snowflake-arctic:22m", "paraphrase:latest", "gemma3:4b", chatting="gemma3:4b") as server:
        assert _model_of_ollama(server) == "gemma3:4b"
        assert {request.body["model"] for request in server.chats()} == {"gemma3:4b"}


def test_older_ollama_is_known_by_the_family_of_its_models() -> None:
    rows = {"granite-vectors:latest": {"details": {"family": "nomic-bert-moe"}}}
    with _pulled("granite-vectors:latest", "qwen3:4b", rows=rows) as server:
        assert _model_of_ollama(server) == "qwen3:4b"


@pytest.mark.parametrize(("misspelt", "near"), [("gema3", "gemma3:4b"), ("mistrall:7b", "mistral:7b")])
def test_misspelt_model_of_ollama_ends_the_start_with_near_names(misspelt: str, near: str) -> None:
    with _pulled("gemma3:4b", "mistral:7b") as server:
        failure = fails(lambda: open_ollama(server.root, misspelt, 8192, 10.0))
    assert failure.code == "model_gone" and f"did you mean {near}?" in str(failure)


def test_removed_model_of_ollama_is_not_taken_from_the_cache() -> None:
    with _pulled("gemma3:4b", "mistral:7b") as server:
        assert _model_of_ollama(server, "gemma3:4b") == "gemma3:4b"
        server.pages["/api/tags"] = lambda _: json_reply({"models": [{"name": "mistral:7b", "digest": "d"}]})
        server.failing(json_reply({"error": "model 'gemma3:4b' not found"}, 404))
        assert fails(lambda: open_ollama(server.root, "gemma3:4b", 8192, 10.0)).code == "model_gone"


def test_named_model_that_cannot_chat_ends_the_start() -> None:
    with _pulled("vectors:1", "gemma3:4b", chatting="gemma3:4b") as server:
        failure = fails(lambda: open_ollama(server.root, "vectors:1", 8192, 10.0))
        assert len(server.chats()) == 1
    assert "does not support chat" in str(failure) and "set llm.model" in str(failure)


def test_named_model_of_an_ollama_that_is_down_starts_unmeasured() -> None:
    with ollama() as server:
        pass
    assert _model_of_ollama(server, "gemma3:4b") == "gemma3:4b"
    assert fails(lambda: open_ollama(server.root, "", 8192, 10.0)).code == "unreachable"


def _studio(*rows: tuple[str, str, str]) -> Imitation:
    server = lm_studio()
    listed = [{"id": name, "object": "model", "owned_by": "organization_owner"} for name, _, _ in rows]
    known = [{"id": name, "type": kind, "state": state} for name, kind, state in rows]
    server.pages["/v1/models"] = lambda _: json_reply({"object": "list", "data": listed})
    server.pages["/api/v0/models"] = lambda _: json_reply({"object": "list", "data": known})
    return server


@pytest.mark.parametrize(
    ("rows", "taken"),
    [
        ([("a", "llm", "not-loaded"), ("b", "embeddings", "loaded"), ("c", "vlm", "loaded")], "c"),
        ([("x-embed-chat", "llm", "loaded"), ("c", "embeddings", "loaded")], "x-embed-chat"),
        ([("vectors", "embeddings", "loaded"), ("a", "llm", "not-loaded")], "a"),
    ],
)
def test_unnamed_model_of_lm_studio_can_chat_and_is_loaded(
    rows: list[tuple[str, str, str]], taken: str
) -> None:
    with _studio(*rows) as server:
        assert _model(server) == taken


@pytest.mark.parametrize(
    ("rows", "taken"),
    [
        ([{"id": "v1", "type": "embedding"}, {"id": "c1", "type": "chat"}], "c1"),
        ([{"id": "v1", "capabilities": {"completion_chat": False}}, {"id": "c1"}], "c1"),
        ([{"id": "c1", "status": {"value": "unloaded"}}, {"id": "c2", "status": {"value": "loaded"}}], "c2"),
        ([{"id": "org/bge-large"}, {"id": "all-MiniLM-L6"}, {"id": "whisper-1"}, {"id": "phi-4"}], "phi-4"),
    ],
)
def test_unnamed_model_is_chosen_by_what_a_list_reports(rows: list[JsonObject], taken: str) -> None:
    with vllm() as server:
        server.pages["/v1/models"] = lambda _: json_reply({"object": "list", "data": rows})
        assert _model(server) == taken


def test_capabilities_that_llama_cpp_lists_apart_count() -> None:
    with llama_cpp() as server:
        data = [{"id": name, "owned_by": "llamacpp"} for name in ("vec", "talk")]
        able = [
            {"name": "vec", "capabilities": ["embedding"]},
            {"name": "talk", "capabilities": ["completion"]},
        ]
        server.pages["/v1/models"] = lambda _: json_reply({"object": "list", "data": data, "models": able})
        assert _model(server) == "talk"


def test_model_that_cannot_be_loaded_is_passed_over_without_a_name() -> None:
    with vllm() as server:
        answers = server.pages["/v1/chat/completions"]
        rows = [{"id": name, "owned_by": "vllm"} for name in ("broken", "sound")]
        server.pages["/v1/models"] = lambda _: json_reply({"object": "list", "data": rows})
        broken = json_reply({"error": "Failed to load model broken"}, 400)
        server.pages["/v1/chat/completions"] = lambda request: (
            broken if request.body["model"] == "broken" else answers(request)
        )
        assert _model(server) == "sound"
        assert len(server.chats()) == 2


@pytest.mark.parametrize("status", [400, 401, 403, 404, 500])
def test_list_that_fails_does_not_matter_to_a_named_model(status: int) -> None:
    with vllm() as server:
        server.pages["/v1/models"] = lambda _: json_reply({"error": "not for you"}, status)
        assert _model(server, "mine") == "mine"
        assert len(server.chats()) == 1


@pytest.mark.parametrize("status", [400, 403, 500])
def test_failed_list_is_described_if_no_model_is_named(status: int) -> None:
    with vllm() as server:
        server.pages["/v1/models"] = lambda _: json_reply({"error": {"message": "Database is away."}}, status)
        failure = fails(lambda: open_openai_compatible(server.base_url, "", None, 10.0))
    assert "Database is away." in str(failure) and "llm.model is empty" in str(failure)


def test_list_that_is_no_json_is_described_once() -> None:
    with vllm() as server:
        server.pages["/v1/models"] = lambda _: Reply(b"<html>Welcome</html>")
        failure = str(fails(lambda: open_openai_compatible(server.base_url, "", None, 10.0)))
    assert failure.count(server.base_url) == 1 and failure.count("set llm.base_url") == 1
    assert "<html>Welcome</html>" in failure


def _loading_then(server: Imitation, path: str, *replies: Reply) -> Imitation:
    """Gives these replies first."""
    waiting, later = iter(replies), server.pages[path]
    server.pages[path] = lambda request: next(waiting, None) or later(request)
    return server


LOADING = json_reply({"error": {"message": "Loading model", "code": 503}}, 503)
EMPTY = json_reply({"object": "list", "data": []})


@pytest.fixture
def brief_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_selection, "POLL_S", 0.01)


@pytest.mark.usefixtures("brief_pause")
@pytest.mark.parametrize("path", ["/v1/models", "/v1/chat/completions"])
def test_server_that_is_loading_is_waited_for(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    with _loading_then(llama_cpp(), path, LOADING, LOADING, LOADING) as server:
        assert _model(server) == "smollm2"
    assert capsys.readouterr().err.count("waiting for the model server") == 1


@pytest.mark.usefixtures("brief_pause")
def test_empty_list_of_a_loading_server_is_waited_for() -> None:
    with _loading_then(vllm(), "/v1/models", EMPTY, EMPTY) as server:
        server.pages["/health"] = lambda _: LOADING
        assert _model(server) == "meta/llama"


@pytest.mark.usefixtures("brief_pause")
def test_waiting_for_a_loading_server_ends_at_the_time_limit() -> None:
    with llama_cpp().failing(LOADING) as server:
        failure = fails(lambda: open_openai_compatible(server.base_url, "", None, 0.3))
    assert failure.code == "server_error" and "Loading model" in str(failure)


def test_server_without_chat_models_is_described(capsys: pytest.CaptureFixture[str]) -> None:
    with _studio(("vectors", "embeddings", "loaded")) as server:
        failure = fails(lambda: open_openai_compatible(server.base_url, "", None, 10.0))
    assert failure.code == "model_gone" and "only vectors" in str(failure)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        (["qwen3:8b", "gemma3:4b"], "did you mean qwen3:8b?"),
        (["a", "b", "c", "d"], "it lists a, b, c"),
        ([], ""),
    ],
)
def test_near_names_are_suggested_else_the_first(listed: list[str], expected: str) -> None:
    assert closest("qwen3", listed) == expected


def test_hostile_model_names_stay_printable_and_short() -> None:
    with _pulled("gem\x1b[31m\u202ema" + "x" * 5000) as server:
        failure = fails(lambda: open_ollama(server.root, "gem", 8192, 10.0))
    assert isinstance(failure, LLMError)
