"""The environment and `.env`: where settings and secrets outside of files come from."""

import os
from collections.abc import Mapping

from dotenv import dotenv_values

PREFIX = "AUTOHEDGE__"


def environments() -> tuple[tuple[str, Mapping[str, str | None]], ...]:
    """`.env` and the environment by name, weaker first."""
    return (".env", dotenv_values(".env")), ("environment", os.environ)
