"""From settings to the backend that answers."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import SecretStr

from autohedge.config import Settings
from autohedge.config.sections import AgentsSettings, LLMSettings
from autohedge.core.errors import Misconfigured
from autohedge.core.ids import nonce_from_seed
from autohedge.core.log import warn
from autohedge.llm.backend import LLMBackend, LLMError
from autohedge.llm.backends.chaos import ChaosBackend
from autohedge.llm.backends.detection import PORTS, find_local_server
from autohedge.llm.backends.router import ModelRouter
from autohedge.llm.backends.scripted import ScriptedBackend
from autohedge.llm.errors import one_line

BackendFactory = Callable[[LLMSettings], Awaitable[LLMBackend]]
LONGEST = 300


async def open_backend(
    settings: Settings,
    api_key: SecretStr | None,
    *,
    on_tape: bool,
    rules: LLMBackend,
    ports: Sequence[int] = PORTS,
) -> LLMBackend:
    """The backend that `llm.provider` names; close it in the loop that opened it.

    Each other model that an agent names is opened beside it, on the same server. Rules, scripts and chaos answer
    for all agents, whatever models those name. `ports` of this machine are where `auto` looks for a server.

    Raises Misconfigured for settings that cannot work, LLMError if a server must be asked and fails.
    """
    llm = settings.llm
    match llm.provider:
        case "rules":
            return _shared_backend(settings, rules)
        case "chaos":
            return _shared_backend(settings, ChaosBackend(rules, nonce_from_seed(settings.seed)))
        case "scripted":
            return _shared_backend(settings, _scripted(llm))
        case "openai":
            return await _by_model(settings, partial(_openai, api_key=api_key))
        case "ollama":
            return await _by_model(settings, partial(_ollama, base_url=llm.base_url))
        case "auto":
            if on_tape and llm.base_url:
                warn(
                    "llm.base_url is not asked: on a tape provider auto means the rules",
                    cure="llm.provider=openai",
                )
            opening = None if on_tape else await _live_backend(llm, api_key, ports)
            return await _by_model(settings, opening) if opening else _shared_backend(settings, rules)


async def _live_backend(
    llm: LLMSettings, api_key: SecretStr | None, ports: Sequence[int]
) -> BackendFactory | None:
    """An address that was named, else a server of this machine, which gets no key, else none."""
    if llm.base_url:
        return partial(_openai, api_key=api_key)
    found = await find_local_server(ports)
    if found is None:
        return None
    if found.server == "ollama":
        return partial(_ollama, base_url=found.base_url)
    return partial(_compatible, base_url=found.base_url, api_key=None)


def _shared_backend(settings: Settings, backend: LLMBackend) -> LLMBackend:
    """What answers in a model's place answers for every agent."""
    named = _named(settings.agents)
    if named:
        warn(
            f"models of agents are not asked: {backend.name} answers for all",
            named=", ".join(named.values()),
            cure="llm.provider=openai or ollama",
        )
    return backend


async def _by_model(settings: Settings, opening: BackendFactory) -> LLMBackend:
    """The default model, and beside it every other that an agent names; all are closed if one cannot be opened."""
    default = await opening(settings.llm)
    others: dict[str, LLMBackend] = {}
    async with AsyncExitStack() as opened:
        opened.push_async_callback(default.close)
        for model, setting in _named(settings.agents).items():
            if model != default.model:
                others[model] = await _other(settings.llm, model, setting, opening)
                opened.push_async_callback(others[model].close)
        opened.pop_all()
    return ModelRouter(default, others) if others else default


async def _other(llm: LLMSettings, model: str, setting: str, opening: BackendFactory) -> LLMBackend:
    try:
        return await opening(llm.model_copy(update={"model": model}))
    except LLMError as failure:
        message = one_line(f"model {model!r} ({setting}): {failure}", longest=LONGEST)
        raise LLMError(failure.code, message, failure.after_s) from None


def _named(agents: AgentsSettings) -> dict[str, str]:
    """The models that agents name, each with the settings that name it."""
    found: dict[str, list[str]] = {}
    for name, agent in agents:
        if agent.model:
            found.setdefault(agent.model, []).append(f"agents.{name}.model")
    return {model: ", ".join(settings) for model, settings in found.items()}


def _scripted(llm: LLMSettings) -> LLMBackend:
    if not llm.script:
        raise Misconfigured(
            "llm.provider is scripted, but there is no script; set llm.script to a JSON-lines file"
        )
    return ScriptedBackend.from_file(Path(llm.script).expanduser())


async def _openai(llm: LLMSettings, api_key: SecretStr | None) -> LLMBackend:
    from autohedge.llm.backends.openai_compatible import OPENAI_URL

    base_url = address(llm.base_url, "/v1") if llm.base_url else OPENAI_URL
    if base_url == OPENAI_URL and not api_key:
        raise Misconfigured(
            "no key for OpenAI; set AUTOHEDGE_LLM_API_KEY, or llm.base_url for a server of your own"
        )
    if base_url == OPENAI_URL and not llm.model:
        raise Misconfigured("OpenAI lists many models and the first is no good choice; set llm.model")
    return await _compatible(llm, base_url, api_key)


async def _compatible(llm: LLMSettings, base_url: str, api_key: SecretStr | None) -> LLMBackend:
    from autohedge.llm.backends.openai_compatible import open_openai_compatible

    return await open_openai_compatible(base_url, llm.model, api_key, llm.timeout_s)


async def _ollama(llm: LLMSettings, base_url: str) -> LLMBackend:
    from autohedge.llm.backends.ollama import OLLAMA_URL, open_ollama

    where = address(base_url or OLLAMA_URL).removesuffix("/v1").removesuffix("/api")
    return await open_ollama(where, llm.model, llm.context_tokens, llm.timeout_s)


def address(base_url: str, usual_path: str = "") -> str:
    """`llm.base_url` without a slash at its end, with the usual path if it has none.

    Raises Misconfigured for what is no http address, and for one that would carry secrets into the record.
    """
    try:
        parts = urlsplit(base_url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if not usable or any(not each.isprintable() or each.isspace() for each in base_url):
        raise Misconfigured(
            f"llm.base_url is {base_url!r}; write an address like http://127.0.0.1:1234/v1 or leave it empty"
        )
    if parts.username is not None or parts.query or parts.fragment:
        raise Misconfigured("llm.base_url holds more than an address; a key goes into AUTOHEDGE_LLM_API_KEY")
    trimmed = base_url.rstrip("/")
    return trimmed if parts.path.strip("/") else trimmed + usual_path
