"""From settings to the backend that answers."""

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import SecretStr

from autohedge.config import Settings
from autohedge.config.sections import LLM
from autohedge.core.errors import Misconfigured
from autohedge.core.ids import nonce_from_seed
from autohedge.core.log import warn
from autohedge.llm.backend import LLMBackend
from autohedge.llm.chaos import Chaos
from autohedge.llm.local import PORTS, find_local
from autohedge.llm.scripted import Scripted


async def open_backend(
    settings: Settings,
    api_key: SecretStr | None,
    *,
    on_tape: bool,
    rules: LLMBackend,
    ports: Sequence[int] = PORTS,
) -> LLMBackend:
    """The backend that `llm.provider` names; close it in the loop that opened it.

    `ports` of this machine are where `auto` looks for a server.

    Raises Misconfigured for settings that cannot work, ModelFailure if a server must be asked and fails.
    """
    llm = settings.llm
    match llm.provider:
        case "rules":
            return rules
        case "chaos":
            return Chaos(rules, nonce_from_seed(settings.seed))
        case "scripted":
            return _scripted(llm)
        case "openai":
            return await _openai(llm, api_key)
        case "ollama":
            return await _ollama(llm, llm.base_url)
        case "auto":
            if on_tape and llm.base_url:
                warn(
                    "llm.base_url is not asked: on a tape provider auto means the rules",
                    cure="llm.provider=openai",
                )
            return rules if on_tape else await _on_a_clock(llm, api_key, rules, ports)


async def _on_a_clock(
    llm: LLM, api_key: SecretStr | None, rules: LLMBackend, ports: Sequence[int]
) -> LLMBackend:
    """An address that was named, else a server of this machine, which gets no key, else the rules."""
    if llm.base_url:
        return await _openai(llm, api_key)
    found = await find_local(ports)
    if found is None:
        return rules
    if found.server == "ollama":
        return await _ollama(llm, found.base_url)
    return await _compatible(llm, found.base_url, None)


def _scripted(llm: LLM) -> LLMBackend:
    if not llm.script:
        raise Misconfigured(
            "llm.provider is scripted, but there is no script; set llm.script to a JSON-lines file"
        )
    return Scripted.from_file(Path(llm.script).expanduser())


async def _openai(llm: LLM, api_key: SecretStr | None) -> LLMBackend:
    from autohedge.llm.openai_compatible import OPENAI_URL

    base_url = address(llm.base_url, "/v1") if llm.base_url else OPENAI_URL
    if base_url == OPENAI_URL and not api_key:
        raise Misconfigured(
            "no key for OpenAI; set AUTOHEDGE_LLM_API_KEY, or llm.base_url for a server of your own"
        )
    if base_url == OPENAI_URL and not llm.model:
        raise Misconfigured("OpenAI lists many models and the first is no good choice; set llm.model")
    return await _compatible(llm, base_url, api_key)


async def _compatible(llm: LLM, base_url: str, api_key: SecretStr | None) -> LLMBackend:
    from autohedge.llm.openai_compatible import open_openai_compatible

    return await open_openai_compatible(base_url, llm.model, api_key, llm.timeout_s)


async def _ollama(llm: LLM, base_url: str) -> LLMBackend:
    from autohedge.llm.ollama import OLLAMA_URL, open_ollama

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
