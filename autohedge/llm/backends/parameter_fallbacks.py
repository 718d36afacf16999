"""What a server refused in a request, and how the same question can be sent without it."""

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from autohedge.config.sections import Reasoning
from autohedge.llm.backend import LLMError
from autohedge.llm.backends.capabilities import ModelCapability, TokenLimit, weaker
from autohedge.llm.error_reports import read_report

REFUSALS = frozenset({"bad_request", "server_error"})

_FORM = r"response_format|json.?schema|json_object|grammar|structured.?output|\bformat\b"
_EFFORT = r"reasoning.?(effort|setting|level)"
_OF_THE_MODEL = re.compile(r"support chat|not a chat|load(ing)? (the )?model|embedding", re.IGNORECASE)
_OTHER_LIMIT: dict[TokenLimit, TokenLimit] = {
    "max_tokens": "max_completion_tokens",
    "max_completion_tokens": "max_tokens",
}


def adapted(
    known: ModelCapability, error: LLMError, reasoning: Reasoning, tried: list[ModelCapability]
) -> ModelCapability | None:
    """Returns how to ask after a refusal that names a parameter of the request; None if it names none.

    What was tried is not tried again.
    """
    if error.code not in REFUSALS:
        return None
    for reason in _reasons(error):
        for names, other in _alternatives(known, reasoning):
            if other not in tried and re.search(names, reason, re.IGNORECASE):
                return other
    return None


def simpler(known: ModelCapability, reasoning: Reasoning, error: LLMError) -> list[ModelCapability]:
    """Returns ways to ask after a refusal without a reason: one parameter less, then all optional ones.

    After a failure of the server, only weaker output modes; none for a model that cannot chat or be loaded.
    """
    if is_about_the_model(error):
        return []
    single = [other for _, other in _alternatives(known, reasoning)]
    plain = msgspec.structs.replace(known, form="text").with_thinking(reasoning, {})
    if error.code == "server_error":
        return [other for other in (*single, plain) if other.form != known.form]
    bare = msgspec.structs.replace(plain, temperature=False)
    renamed = msgspec.structs.replace(bare, limit=_OTHER_LIMIT.get(bare.limit, bare.limit))
    return [other for other in (*single, plain, bare, renamed) if other != known]


def is_about_the_model(error: LLMError) -> bool:
    """Whether a server says that the model cannot chat or be loaded, however it is asked."""
    return bool(_OF_THE_MODEL.search(str(error)))


def _alternatives(known: ModelCapability, reasoning: Reasoning) -> Iterator[tuple[str, ModelCapability]]:
    """Yields the names of each optional parameter, and how to ask without it or with its next form."""
    part, parts = known.thinking_part(reasoning), known.thinking_parts(reasoning)
    if part:
        following = parts[parts.index(part) + 1 :] if part in parts else ()
        yield _names(part), known.with_thinking(reasoning, following[0] if following else {})
    if (form := weaker(known.form)) is not None:
        yield _FORM, msgspec.structs.replace(known, form=form)
    if known.temperature:
        yield "temperature", msgspec.structs.replace(known, temperature=False)
    if (limit := _OTHER_LIMIT.get(known.limit)) is not None:
        yield rf"\b{known.limit}\b", msgspec.structs.replace(known, limit=limit)


def _names(part: dict[str, Any]) -> str:
    """Returns a pattern of the names in a part of a body."""
    inner = (name for value in part.values() if isinstance(value, dict) for name in value)
    return "|".join((*map(re.escape, part), *map(re.escape, inner), _EFFORT))


def _reasons(error: LLMError) -> Iterator[str]:
    """Yields where a server names what it refuses, the most exact first."""
    try:
        body = msgspec.json.decode(error.body)
    except (msgspec.DecodeError, RecursionError):
        body = None
    if isinstance(body, dict):
        inner = body.get("error")
        yield str((inner if isinstance(inner, dict) else body).get("param") or "")
        # FastAPI lists each fault with its place, and may repeat the whole request behind it.
        detail = body.get("detail")
        faults = [fault for fault in detail if isinstance(fault, dict)] if isinstance(detail, list) else []
        yield " ".join(f"{fault.get('loc')} {fault.get('msg')}" for fault in faults)
        if faults:
            return
    yield read_report(error.body).message or str(error)
