"""The models that a server lists, and which of them can chat, by what the server reports of them."""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from urllib.parse import urlsplit

from autohedge.llm.backend import LLMError

if TYPE_CHECKING:
    from autohedge.llm.backends.transport import JsonClient

ServerKind = Literal["lm_studio", "ollama", "llama_cpp", "vllm", "openai", "unknown"]
JsonObject = dict[str, Any]

# Values of a model's `type`, `mode` or `task` in the lists of servers and gateways.
_CHAT_TYPES = frozenset({"llm", "vlm", "chat", "language", "completion", "text-generation", "generate"})
_OTHER_TYPES = re.compile(
    r"embed|rerank|image|audio|speech|transcri|tts|stt|video|moderation|classif|score|pooling", re.IGNORECASE
)
# Only for servers that report nothing: families of models for embeddings, ranking, speech and pictures.
_OTHER_NAMES = re.compile(
    r"embed|rerank|minilm|mpnet|whisper|moderation|dall-e|stable-diffusion|sdxl"
    r"|(^|[-/_])(bge|gte|e5|clip|tts|flux)([-_.:]|$)",
    re.IGNORECASE,
)
_NEAR = 0.5


class Server(NamedTuple):
    """The kind of server at an address, and the models that it lists, in the server's order.

    `rows` is what the server reports of each model, `failure` why it lists none.
    """

    kind: ServerKind
    models: tuple[str, ...]
    rows: tuple[JsonObject, ...] = ()
    failure: LLMError | None = None


def root_of(base_url: str) -> str:
    """Returns the address without a path, where servers have the pages outside the OpenAI protocol."""
    parts = urlsplit(base_url)
    return f"{parts.scheme}://{parts.netloc}"


def model_names(reply: JsonObject, table: str, key: str) -> tuple[str, ...]:
    """Returns the names in a server's list of models."""
    found = (entry.get(key) for entry in entries(reply, table))
    return tuple(name for name in found if isinstance(name, str) and name)


def entries(reply: JsonObject, table: str) -> list[JsonObject]:
    """Returns the rows of a list in a reply; empty if it is none."""
    rows = reply.get(table)
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


async def chat_models(http: "JsonClient", server: Server) -> list[str]:
    """Returns the listed models that can chat, those that are loaded first."""
    rows = [await _shown(http, row) for row in server.rows] if server.kind == "ollama" else server.rows
    usable = [row for row in rows if _can_chat(row)]
    usable.sort(key=lambda row: not is_in_state(row, "loaded"))
    return [name for row in usable if isinstance(name := row.get("id"), str) and name]


async def _shown(http: "JsonClient", row: JsonObject) -> JsonObject:
    """Returns a row with the capabilities that Ollama reports of its model; older versions report none."""
    try:
        shown = await http.post(f"{root_of(http.base_url)}/api/show", {"model": row.get("id")})
    except LLMError:
        return row
    return {**row, **{name: shown[name] for name in ("capabilities", "details") if name in shown}}


def _can_chat(row: JsonObject) -> bool:
    capabilities = row.get("capabilities")
    if isinstance(capabilities, list) and capabilities:
        return bool({"completion", "chat", "chat_completion"} & set(map(str, capabilities)))
    if isinstance(capabilities, dict) and "completion_chat" in capabilities:
        return bool(capabilities["completion_chat"])
    types = [str(row[name]) for name in ("type", "mode", "task") if row.get(name)]
    if any(each.lower() in _CHAT_TYPES for each in types):
        return True
    if any(_OTHER_TYPES.search(each) for each in types):
        return False
    details = row.get("details")
    family = str(details.get("family")) if isinstance(details, dict) else ""
    return "bert" not in family.lower() and not _OTHER_NAMES.search(str(row.get("id")))


def is_in_state(row: JsonObject, state: str) -> bool:
    """Whether a model is in this state, as LM Studio (`state`) or llama.cpp (`status`) report it."""
    status = row.get("status")
    return state in (row.get("state"), status.get("value") if isinstance(status, dict) else status)


def closest(model: str, listed: Iterable[str]) -> str:
    """Returns the listed names that are most like a name, as a question; else the first ones, or ""."""
    names = list(listed)
    near = get_close_matches(model, names, n=3, cutoff=_NEAR)
    if near:
        return f"did you mean {' or '.join(near)}?"
    return f"it lists {', '.join(names[:3])}" if names else ""
