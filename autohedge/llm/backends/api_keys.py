"""Decides which API key a model server gets."""

from urllib.parse import urlsplit

from pydantic import SecretStr

from autohedge import config
from autohedge.config.sections import LLMSettings
from autohedge.core.errors import Misconfigured
from autohedge.core.log import warn

OPENAI_URL = "https://api.openai.com/v1"
_OPENAI_HOST = "api.openai.com"


def is_openai(base_url: str) -> bool:
    """Whether an address is OpenAI's, of any region, over TLS."""
    try:
        parts = urlsplit(base_url)
        host = parts.hostname or ""
    except ValueError:
        return False
    return parts.scheme == "https" and (host == _OPENAI_HOST or host.endswith(f".{_OPENAI_HOST}"))


def key_for_server(llm: LLMSettings, *, on_tape: bool) -> SecretStr | None:
    """Returns the key for the server of these settings; None if there is none, or no server that takes one.

    `llm.key` names the variable. Without it AUTOHEDGE_LLM_API_KEY goes to any server that the settings name,
    OPENAI_API_KEY only to OpenAI and to the address in OPENAI_BASE_URL; a warning says if it is held back.
    Raises Misconfigured if the variable that `llm.key` names is not set.
    """
    if not _takes_key(llm, on_tape=on_tape):
        return None
    if llm.key:
        return _named_key(llm.key)
    if own := config.read_secret("AUTOHEDGE_LLM_API_KEY"):
        return own
    general = config.read_secret("OPENAI_API_KEY")
    if general is None or _is_for_openai_key(llm.base_url or OPENAI_URL):
        return general
    warn(
        f"no key is sent to {llm.base_url}: OPENAI_API_KEY is for OpenAI",
        cure='set AUTOHEDGE_LLM_API_KEY, or llm.key = "OPENAI_API_KEY"',
    )
    return None


def _takes_key(llm: LLMSettings, *, on_tape: bool) -> bool:
    """Whether the settings choose a server that gets a key; one that `auto` finds gets none."""
    return llm.provider == "openai" or (llm.provider == "auto" and bool(llm.base_url) and not on_tape)


def _named_key(name: str) -> SecretStr:
    key = config.read_secret(name)
    if key is None:
        raise Misconfigured(f"llm.key names {name}, which is not set; set it in the environment or .env")
    return key


def _is_for_openai_key(base_url: str) -> bool:
    return is_openai(base_url) or base_url.rstrip("/") == config.openai_base_url().rstrip("/")
