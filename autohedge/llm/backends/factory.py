"""Creates the backend that the settings name."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr

from autohedge.config import Settings
from autohedge.config.sections import AgentsSettings, LLMSettings
from autohedge.config.settings import ANSWER_SETTINGS
from autohedge.core.errors import Misconfigured
from autohedge.core.ids import nonce_from_seed
from autohedge.core.log import warn
from autohedge.llm.backend import LLMBackend, LLMError
from autohedge.llm.backends.api_keys import OPENAI_URL
from autohedge.llm.backends.capabilities import AnswerSettings
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
    """Returns the backend of `llm.provider`; close it in the event loop that opened it.

    Every other model that an agent names is opened too, on the same server. `rules`, `scripted` and `chaos`
    answer for all agents, whatever models they name. `auto` looks for a server at `ports` of this machine.

    Raises Misconfigured for settings that cannot work, and LLMError if a server is needed and fails.
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
                    "llm.base_url is ignored: on a tape llm.provider=auto uses the rules",
                    cure="llm.provider=openai",
                )
            opening = None if on_tape else await _live_backend(llm, api_key, ports)
            return await _by_model(settings, opening) if opening else _shared_backend(settings, rules)


async def _live_backend(
    llm: LLMSettings, api_key: SecretStr | None, ports: Sequence[int]
) -> BackendFactory | None:
    """Returns the factory for `llm.base_url`, else for a server found on this machine, else None."""
    if llm.base_url:
        return partial(_openai, api_key=api_key)
    found = await find_local_server(ports)
    if found is None:
        return None
    if found.server == "ollama":
        return partial(_ollama, base_url=found.base_url)
    # The key is meant for a provider that the user chose, not for any process that listens on a known port.
    return partial(_compatible, base_url=found.base_url, api_key=None)


def _shared_backend(settings: Settings, backend: LLMBackend) -> LLMBackend:
    """Returns the backend that answers for every agent, and warns about models that agents name."""
    named = _named(settings.agents)
    if named:
        warn(
            f"the models of agents are ignored: {backend.name} answers for all",
            named=", ".join(named.values()),
            cure="llm.provider=openai or ollama",
        )
    return backend


async def _by_model(settings: Settings, opening: BackendFactory) -> LLMBackend:
    """Opens the default model and every other that an agent names; closes all of them if one fails."""
    default = await opening(settings.llm)
    agents = settings.resolved_agents
    others: dict[str, LLMBackend] = {}
    async with AsyncExitStack() as opened:
        opened.push_async_callback(default.close)
        for model, setting in _named(settings.agents).items():
            if model != default.model:
                llm = settings.llm.model_copy(update={"model": model, **_answer_settings(agents, model)})
                others[model] = await _other(llm, setting, opening)
                opened.push_async_callback(others[model].close)
        opened.pop_all()  # every model is open, so the router takes over closing them
    return ModelRouter(default, others) if others else default


def _answer_settings(agents: AgentsSettings, model: str) -> dict[str, Any]:
    """Returns the settings of answers of the first agent that names a model: it is measured under them."""
    agent = next(agent for _, agent in agents if agent.model == model)
    return {name: getattr(agent, name) for name in ANSWER_SETTINGS}


async def _other(llm: LLMSettings, setting: str, opening: BackendFactory) -> LLMBackend:
    try:
        return await opening(llm)
    except LLMError as failure:
        message = one_line(f"model {llm.model!r} ({setting}): {failure}", longest=LONGEST)
        raise LLMError(failure.code, message, failure.after_s) from None


def _named(agents: AgentsSettings) -> dict[str, str]:
    """Returns the models that agents name, each with the settings that name it."""
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
    base_url = address(llm.base_url, "/v1") if llm.base_url else OPENAI_URL
    if base_url == OPENAI_URL and not api_key:
        raise Misconfigured(
            "no API key for OpenAI; set AUTOHEDGE_LLM_API_KEY, or llm.base_url for another server"
        )
    if base_url == OPENAI_URL and not llm.model:
        raise Misconfigured("llm.model is empty, and OpenAI has no default model; set llm.model")
    return await _compatible(llm, base_url, api_key)


async def _compatible(llm: LLMSettings, base_url: str, api_key: SecretStr | None) -> LLMBackend:
    from autohedge.llm.backends.openai_compatible import open_openai_compatible

    return await open_openai_compatible(base_url, llm.model, api_key, llm.timeout_s, AnswerSettings.of(llm))


async def _ollama(llm: LLMSettings, base_url: str) -> LLMBackend:
    from autohedge.llm.backends.ollama import OLLAMA_URL, open_ollama

    # Users paste the address of the OpenAI protocol or of the API; the native protocol starts at the root.
    where = address(base_url or OLLAMA_URL).removesuffix("/v1").removesuffix("/api")
    return await open_ollama(where, llm.model, llm.context_tokens, llm.timeout_s, AnswerSettings.of(llm))


def address(base_url: str, usual_path: str = "") -> str:
    """Returns `llm.base_url` without a trailing slash, with `usual_path` if it has no path.

    Raises Misconfigured if it is not an http(s) address, or holds a part that can carry a secret (user,
    query, fragment): the address is recorded.
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
