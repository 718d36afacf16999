"""Is a model server running on this machine? Asked on the ports where such servers usually listen."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from autohedge.llm.backend import ModelFailure
from autohedge.llm.kinds import Kind, first_that_answers, identify, root_of

PORTS = (1234, 11434, 8080, 8000)  # LM Studio, Ollama, llama.cpp, vLLM
PATIENCE_S = 0.5
_HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Local:
    """A server that said what it is: its kind, the address for that kind's protocol, what it lists."""

    server: Kind
    base_url: str
    models: tuple[str, ...]


async def find_local(ports: Sequence[int] = PORTS, timeout_s: float = PATIENCE_S) -> Local | None:
    """The first of `ports` behind which a model server identifies itself and lists a model, or None."""
    found = await asyncio.gather(*(_at(port, timeout_s) for port in ports))
    return next((local for local in found if local), None)


async def _at(port: int, timeout_s: float) -> Local | None:
    base_url = f"http://{_HOST}:{port}/v1"
    with suppress(ModelFailure, TimeoutError):
        async with asyncio.timeout(timeout_s):
            return await _identified(base_url, timeout_s)
    return None


async def _identified(base_url: str, timeout_s: float) -> Local | None:
    from autohedge.llm.transport import Json

    http = Json(base_url, None, timeout_s)
    try:
        kind, models = await identify(http, base_url)
    finally:
        await http.close()
    if kind == "unknown" or not first_that_answers(models):
        return None
    return Local(kind, root_of(base_url) if kind == "ollama" else base_url, models)
