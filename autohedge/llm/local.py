"""Is a model server running on this machine? Asked on the ports where such servers usually listen."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from autohedge.llm.backend import ModelFailure
from autohedge.llm.kinds import Kind, Server, first_that_answers, identify, root_of

if TYPE_CHECKING:
    from autohedge.llm.transport import Json

PORTS = (1234, 11434, 8080, 8000)  # LM Studio, Ollama, llama.cpp, vLLM
PATIENCE_S = 1.0
_HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Local:
    """A server that said what it is: its kind, the address for that kind's protocol, what it lists."""

    server: Kind
    base_url: str
    models: tuple[str, ...]


async def find_local(ports: Sequence[int] = PORTS, timeout_s: float = PATIENCE_S) -> Local | None:
    """The first of `ports` behind which a model server identifies itself and lists a model, or None."""
    from autohedge.llm.transport import Json

    asked = (Json(f"http://{_HOST}:{port}/v1", None, timeout_s) for port in ports)
    found = await asyncio.gather(*(_by(http, timeout_s) for http in asked))
    return next((local for local in found if local), None)


async def _by(http: "Json", timeout_s: float) -> Local | None:
    try:
        async with asyncio.timeout(timeout_s):
            return _counted(http.base_url, await identify(http))
    except (ModelFailure, TimeoutError):
        return None
    finally:
        await http.close()


def _counted(base_url: str, said: Server) -> Local | None:
    if said.kind == "unknown" or not first_that_answers(said.models):
        return None
    return Local(said.kind, root_of(base_url) if said.kind == "ollama" else base_url, said.models)
