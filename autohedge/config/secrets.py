"""Secrets: read from the environment or `.env`, never from a settings file, never recorded."""

from dataclasses import dataclass

from pydantic import SecretStr

from autohedge.config.environment import environments
from autohedge.core.errors import Misconfigured

KEY_NAMES = ("AUTOHEDGE_LLM_API_KEY", "OPENAI_API_KEY")


@dataclass(frozen=True, slots=True)
class Secrets:
    """What no settings file holds and no record repeats: its text form hides it."""

    llm_api_key: SecretStr | None
    redis_password: SecretStr | None


def load_secrets() -> Secrets:
    """The secrets in the environment or, weaker, in `.env`; our own name goes before OPENAI_API_KEY.

    Raises Misconfigured for a secret that no request could carry.
    """
    return Secrets(_secret(*KEY_NAMES), _secret("AUTOHEDGE_REDIS_PASSWORD"))


def _secret(*names: str) -> SecretStr | None:
    """What is given under the first of these names that holds anything."""
    given = (around.get(name) for _, around in reversed(environments()) for name in names)
    text = next((value.strip() for value in given if value and value.strip()), "")
    if not (text.isascii() and text.isprintable()):
        raise Misconfigured(f"{' or '.join(names)} holds characters that no key has; copy it again")
    return SecretStr(text) if text else None
