"""Secrets: read from the environment or `.env`, never from a settings file, never recorded."""

from dataclasses import dataclass

from pydantic import SecretStr

from autohedge.config.environment import environments
from autohedge.core.errors import Misconfigured

KEY_NAMES = ("AUTOHEDGE_LLM_API_KEY", "OPENAI_API_KEY")
REDIS_PASSWORD = "AUTOHEDGE_REDIS_PASSWORD"  # noqa: S105 - a name
SECRET_NAMES = (*KEY_NAMES, REDIS_PASSWORD)


@dataclass(frozen=True, slots=True)
class Secrets:
    """The secrets of a run; their text form hides the values.

    `llm_api_key` is for the model server that the settings name, `openai_api_key` for OpenAI.
    """

    llm_api_key: SecretStr | None
    openai_api_key: SecretStr | None
    redis_password: SecretStr | None


def load_secrets() -> Secrets:
    """Returns the secrets from the environment or, with lower priority, from `.env`.

    Raises Misconfigured for a secret with characters that cannot be sent in a request.
    """
    own, general = map(read_secret, KEY_NAMES)
    return Secrets(own, general, read_secret(REDIS_PASSWORD))


def read_secret(name: str) -> SecretStr | None:
    """Returns the secret under this name, or None if it is blank; the environment goes before `.env`.

    Raises Misconfigured for a secret with characters that cannot be sent in a request.
    """
    text = _variable(name)
    if not (text.isascii() and text.isprintable()):
        # Checked here, because an HTTP header cannot carry it, and the error there could show the secret.
        raise Misconfigured(f"{name} holds characters that cannot be sent; copy it again")
    return SecretStr(text) if text else None


def openai_base_url() -> str:
    """Returns the address to which OPENAI_API_KEY belongs besides OpenAI's; empty if there is none."""
    return _variable("OPENAI_BASE_URL")


def _variable(name: str) -> str:
    given = (around.get(name) for _, around in reversed(environments()))
    return next((value.strip() for value in given if value and value.strip()), "")
