"""The environment and `.env`, the sources of secrets and of settings outside files."""

import os
from collections.abc import Mapping
from io import StringIO
from pathlib import Path

from dotenv import dotenv_values
from dotenv.parser import parse_stream

from autohedge.core.errors import Misconfigured
from autohedge.core.text import decode_text

PREFIX = "AUTOHEDGE__"
DOTENV = ".env"


def environments() -> tuple[tuple[str, Mapping[str, str | None]], ...]:
    """Returns the variables of `.env` and of the environment with their names, the weaker source first.

    Raises Misconfigured if `.env` cannot be read.
    """
    return (DOTENV, _dotenv()), ("environment", os.environ)


def _dotenv() -> Mapping[str, str | None]:
    try:
        text = decode_text(Path(DOTENV).read_bytes(), DOTENV)
    except (FileNotFoundError, IsADirectoryError):
        return {}
    except OSError as error:
        raise Misconfigured(f"cannot read {DOTENV}: {error.strerror}") from None
    # The library logs a line that it cannot parse, and leaves its variable out.
    wrong = next((each.original.line for each in parse_stream(StringIO(text)) if each.error), None)
    if wrong is not None:
        raise Misconfigured(f"{DOTENV}, line {wrong}: cannot be parsed; write NAME=value")
    return dotenv_values(stream=StringIO(text))
