"""Checks `extra_body`, the table of a user that goes into the body of each request to a model."""

import math
import re
from collections.abc import Iterator
from typing import Any

from autohedge.core.redaction import redacted

# What AutoHedge writes itself, each with the setting or the reason.
RESERVED = {
    "messages": "the prompts set it",
    "model": "set llm.model",
    "temperature": "set agents.NAME.temperature",
    "max_tokens": "set llm.max_answer_tokens",
    "max_completion_tokens": "set llm.max_answer_tokens",
    "num_predict": "set llm.max_answer_tokens",
    "num_ctx": "set llm.context_tokens",
    "keep_alive": "set llm.keep_alive",
    "response_format": "the answer's schema sets it",
    "format": "the answer's schema sets it",
    "stream": "answers are read whole",
    "n": "set agents.director.samples",
}
_SECRET_NAME = re.compile(
    r"api[-_]?key|authori[sz]ation|bearer|passw|secret|credential|(^|[-_])(access|auth)?[-_]?token$",
    re.IGNORECASE,
)


def checked_extra_body(table: dict[str, Any]) -> dict[str, Any]:
    """Returns the table unchanged. Raises ValueError for what it must not hold, without showing values."""
    options = table.get("options")
    for name in [*table, *(options if isinstance(options, dict) else ())]:
        if name in RESERVED:
            msg = f"must not hold {name}: {RESERVED[name]}"
            raise ValueError(msg)
    for name, value in _leaves(table):
        if not isinstance(value, str | int | float) or not _is_finite(value):
            msg = f"{name} must be text, a finite number, true or false"
            raise ValueError(msg)
        if _SECRET_NAME.search(name) or redacted(str(value)) != str(value):
            msg = f"{name} looks like a secret, and settings are recorded: set AUTOHEDGE_LLM_API_KEY"
            raise ValueError(msg)
    return table


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yields the name of each value and the value, at any depth."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, str(key))
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner, name)
    else:
        yield name, value


def _is_finite(value: str | float) -> bool:
    return isinstance(value, str) or math.isfinite(value)
