"""Detects the kind of model server at an address, and finds a server on this machine.

The kind is read from the JSON that the server returns, never from a status code alone.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from autohedge.llm.backend import LLMError
from autohedge.llm.backends.model_listing import (
    JsonObject,
    Server,
    ServerKind,
    chat_models,
    entries,
    model_names,
    root_of,
)

if TYPE_CHECKING:
    from autohedge.llm.backends.transport import JsonClient

PORTS = (1234, 11434, 8080, 8000)  # LM Studio, Ollama, llama.cpp, vLLM
# A local server lists its models in milliseconds; a port that accepts and stays silent must not delay the
# start.
PATIENCE_S = 1.0
_HOST = "127.0.0.1"

# Values of `owned_by` in the list of models; OpenAI uses three of them.
_OWNERS: dict[str, ServerKind] = {
    "llamacpp": "llama_cpp",
    "vllm": "vllm",
    "openai": "openai",
    "openai-internal": "openai",
    "system": "openai",
}


async def detect_server(http: "JsonClient") -> Server:
    """Identifies a server with GET requests only. Raises LLMError if it cannot be reached or is too slow.

    A list that is refused is no such failure: a key may be allowed to ask a model and not to list it.
    """
    failure: LLMError | None = None
    listed: JsonObject = {}
    try:
        listed = await http.get(f"{http.base_url}/models")
    except LLMError as error:
        if error.code in {"unreachable", "timeout", "certificate"}:
            raise
        failure = error
    kind, page = _by_owner(listed), JsonObject()
    if kind is None:
        kind, page = await _by_own_pages(http, root_of(http.base_url))
    rows = _described(listed, page if kind == "lm_studio" else {})
    return Server(kind, model_names(listed, "data", "id"), rows, failure)


async def _by_own_pages(http: "JsonClient", root: str) -> tuple[ServerKind, JsonObject]:
    for page, kind, fits in _PAGES:
        try:
            if fits(reply := await http.get(f"{root}{page}")):
                return kind, reply
        except LLMError:
            continue
    return "unknown", {}


def _described(listed: JsonObject, page: JsonObject) -> tuple[JsonObject, ...]:
    """Returns the rows of the list, each with what other lists of the server say of the model."""
    # llama.cpp repeats its models under "models", with their capabilities.
    others = {each.get("name"): each for each in entries(listed, "models")}
    others |= {each.get("id"): each for each in entries(page, "data")}
    return tuple(
        {**row, **others.get(row.get("id"), {}), "id": row.get("id")} for row in entries(listed, "data")
    )


def _by_owner(listed: JsonObject) -> ServerKind | None:
    owners = (_OWNERS.get(str(entry.get("owned_by"))) for entry in entries(listed, "data"))
    return next((kind for kind in owners if kind), None)


def _is_lm_studio(reply: JsonObject) -> bool:
    return reply.get("object") == "list" and _all_have(reply, "data", "state")


def _is_ollama(reply: JsonObject) -> bool:
    return _all_have(reply, "models", "digest")


def _is_llama_cpp(reply: JsonObject) -> bool:
    return "default_generation_settings" in reply


_PAGES: tuple[tuple[str, ServerKind, Callable[[JsonObject], bool]], ...] = (
    ("/api/v0/models", "lm_studio", _is_lm_studio),
    ("/api/tags", "ollama", _is_ollama),
    ("/props", "llama_cpp", _is_llama_cpp),
)


def _all_have(reply: JsonObject, table: str, key: str) -> bool:
    """Whether `table` is a list and each of its rows, if any, has a value under `key`."""
    rows = reply.get(table)
    return isinstance(rows, list) and all(isinstance(row, dict) and bool(row.get(key)) for row in rows)


@dataclass(frozen=True, slots=True)
class LocalServer:
    """An identified server: its kind, the address for that kind's protocol, and the models that it lists."""

    server: ServerKind
    base_url: str
    models: tuple[str, ...]


async def find_local_server(
    ports: Sequence[int] = PORTS, timeout_s: float = PATIENCE_S
) -> LocalServer | None:
    """Returns the first of `ports` with an identified model server that lists a chat model, or None."""
    from autohedge.llm.backends.transport import JsonClient

    clients = (JsonClient(f"http://{_HOST}:{port}/v1", None, timeout_s) for port in ports)
    found = await asyncio.gather(*(_by(http, timeout_s) for http in clients))
    return next((local for local in found if local), None)


async def _by(http: "JsonClient", timeout_s: float) -> LocalServer | None:
    try:
        async with asyncio.timeout(timeout_s):
            return await _usable(http, await detect_server(http))
    except (LLMError, TimeoutError):
        return None
    finally:
        await http.close()


async def _usable(http: "JsonClient", server: Server) -> LocalServer | None:
    if server.kind == "unknown" or not await chat_models(http, server):
        return None
    # Ollama's native protocol lives at the root; the address that was probed ends in /v1.
    base_url = root_of(http.base_url) if server.kind == "ollama" else http.base_url
    return LocalServer(server.kind, base_url, server.models)
