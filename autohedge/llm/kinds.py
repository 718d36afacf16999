"""Which kind of server answers at an address, told by the JSON that it gives, never by a status alone."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from urllib.parse import urlsplit

from autohedge.llm.backend import RETRIED, ModelFailure

if TYPE_CHECKING:
    from autohedge.llm.transport import Json

Kind = Literal["lm_studio", "ollama", "llama_cpp", "vllm", "openai", "unknown"]
Said = dict[str, Any]

_OWNERS: dict[str, Kind] = {
    "llamacpp": "llama_cpp",
    "vllm": "vllm",
    "openai": "openai",
    "openai-internal": "openai",
    "system": "openai",
}


class Server(NamedTuple):
    """What answers at an address, and the models that it lists, in its order."""

    kind: Kind
    models: tuple[str, ...]


def root_of(base_url: str) -> str:
    """The address without a path: where servers keep what is not part of the common protocol."""
    parts = urlsplit(base_url)
    return f"{parts.scheme}://{parts.netloc}"


async def identify(http: "Json") -> Server:
    """Ask a few harmless questions. Raises ModelFailure if the server is down or busy or refuses the key."""
    try:
        listed = await http.get(f"{http.base_url}/models")
    except ModelFailure as error:
        if error.code in RETRIED or error.code == "unauthorized":
            raise
        listed = {}
    return Server(
        _by_owner(listed) or await _by_own_pages(http, root_of(http.base_url)), names(listed, "data", "id")
    )


async def _by_own_pages(http: "Json", root: str) -> Kind:
    for page, kind, fits in _PAGES:
        try:
            if fits(await http.get(f"{root}{page}")):
                return kind
        except ModelFailure:
            continue
    return "unknown"


def _by_owner(listed: Said) -> Kind | None:
    owners = (_OWNERS.get(str(entry.get("owned_by"))) for entry in _entries(listed, "data"))
    return next((kind for kind in owners if kind), None)


def _is_lm_studio(said: Said) -> bool:
    return said.get("object") == "list" and _all_have(said, "data", "state")


def _is_ollama(said: Said) -> bool:
    return _all_have(said, "models", "digest")


def _is_llama_cpp(said: Said) -> bool:
    return "default_generation_settings" in said


_PAGES: tuple[tuple[str, Kind, Callable[[Said], bool]], ...] = (
    ("/api/v0/models", "lm_studio", _is_lm_studio),
    ("/api/tags", "ollama", _is_ollama),
    ("/props", "llama_cpp", _is_llama_cpp),
)


def _all_have(said: Said, table: str, key: str) -> bool:
    """Whether a table is there and each of its rows, if any, names something under `key`."""
    rows = said.get(table)
    return isinstance(rows, list) and all(isinstance(row, dict) and bool(row.get(key)) for row in rows)


def names(said: Said, table: str, key: str) -> tuple[str, ...]:
    """The names in a server's table of models."""
    found = (entry.get(key) for entry in _entries(said, table))
    return tuple(name for name in found if isinstance(name, str) and name)


def _entries(said: Said, table: str) -> Iterable[Said]:
    rows = said.get(table)
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def first_that_answers(models: Iterable[str]) -> str:
    """The first listed model, past those for embeddings, which servers list too; "" without any."""
    listed = list(models)
    return next((name for name in listed if "embed" not in name.lower()), "")
