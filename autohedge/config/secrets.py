"""Secrets: read from the environment or `.env`, never from a settings file, never recorded."""

from dataclasses import dataclass

from pydantic import SecretStr

from autohedge.config.environment import environments
from autohedge.core.errors import Misconfigured

KEY_NAMES = ("AUTOHEDGE_LLM_API_KEY", "OPENAI_API_KEY")


@dataclass(frozen=True, slots=True)
class Secrets:
    """The secrets of a run; their text form hides the values."""

    llm_api_key: SecretStr | None
    redis_password: SecretStr | None


def load_secrets() -> Secrets:
    """Returns the secrets from the environment or, with lower priority, from `.env`.

    AUTOHEDGE_LLM_API_KEY has priority over OPENAI_API_KEY. Raises Misconfigured for a secret with characters
    that cannot be sent in a request.
    """
    return Secrets(_secret(*KEY_NAMES), _secret("AUTOHEDGE_REDIS_PASSWORD"))


def _secret(*names: str) -> SecretStr | None:
    """Returns the first non-blank value under these names; the environment goes before `.env`."""
    given = (around.get(name) for _, around in reversed(environments()) for name in names)
    text = next((value.strip() for value in given if value and value.strip()), "")
    if not (text.isascii() and text.isprintable()):
        # Checked here, because an HTTP header cannot carry it, and the error there could show the secret.
        raise Misconfigured(f"{' or '.join(names)} holds characters that cannot be sent; copy it again")
    return SecretStr(text) if text else None
