"""The environment and `.env`, the sources of secrets and of settings outside files."""

import os
from collections.abc import Mapping

from dotenv import dotenv_values

PREFIX = "AUTOHEDGE__"


def environments() -> tuple[tuple[str, Mapping[str, str | None]], ...]:
    """Returns the variables of `.env` and of the environment with their names, the weaker source first."""
    return (".env", dotenv_values(".env")), ("environment", os.environ)
