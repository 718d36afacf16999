"""Detects the kind of model server at an address, and finds a server on this machine.

The kind is read from the JSON that the server returns, never from a status code alone.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from urllib.parse import urlsplit

from autohedge.llm.backend import RETRYABLE, LLMError

if TYPE_CHECKING:
    from autohedge.llm.backends.transport import JsonClient

ServerKind = Literal["lm_studio", "ollama", "llama_cpp", "vllm", "openai", "unknown"]
JsonObject = dict[str, Any]

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


class Server(NamedTuple):
    """The kind of server at an address, and the models that it lists, in the server's order."""

    kind: ServerKind
    models: tuple[str, ...]


def root_of(base_url: str) -> str:
    """Returns the address without a path, where servers have the pages outside the OpenAI protocol."""
    parts = urlsplit(base_url)
    return f"{parts.scheme}://{parts.netloc}"


async def detect_server(http: "JsonClient") -> Server:
    """Identifies a server with GET requests only. Raises LLMError if it is down, busy or rejects the key."""
    try:
        listed = await http.get(f"{http.base_url}/models")
    except LLMError as error:
        if error.code in RETRYABLE or error.code == "unauthorized":
            raise
        # Other failures only mean that the server has no such page.
        listed = {}
    return Server(
        _by_owner(listed) or await _by_own_pages(http, root_of(http.base_url)),
        model_names(listed, "data", "id"),
    )


async def _by_own_pages(http: "JsonClient", root: str) -> ServerKind:
    for page, kind, fits in _PAGES:
        try:
            if fits(await http.get(f"{root}{page}")):
                return kind
        except LLMError:
            continue
    return "unknown"


def _by_owner(listed: JsonObject) -> ServerKind | None:
    owners = (_OWNERS.get(str(entry.get("owned_by"))) for entry in _entries(listed, "data"))
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


def model_names(reply: JsonObject, table: str, key: str) -> tuple[str, ...]:
    """Returns the names in a server's list of models."""
    found = (entry.get(key) for entry in _entries(reply, table))
    return tuple(name for name in found if isinstance(name, str) and name)


def _entries(reply: JsonObject, table: str) -> Iterable[JsonObject]:
    rows = reply.get(table)
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def first_chat_model(models: Iterable[str]) -> str:
    """Returns the first listed model that is not an embedding model, or ""."""
    listed = list(models)
    return next((name for name in listed if "embed" not in name.lower()), "")


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
            return _counted(http.base_url, await detect_server(http))
    except (LLMError, TimeoutError):
        return None
    finally:
        await http.close()


def _counted(base_url: str, server: Server) -> LocalServer | None:
    if server.kind == "unknown" or not first_chat_model(server.models):
        return None
    # Ollama's native protocol lives at the root; the address that was probed ends in /v1.
    return LocalServer(server.kind, root_of(base_url) if server.kind == "ollama" else base_url, server.models)
