"""Parses a model's text into a validated answer, or into the description of its error.

Only a complete JSON object that is the answer is accepted, see `extraction`. Prose is not interpreted, nor is
an answer that was cut off.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from autohedge.llm.backend import LLMRequest, LLMResponse
from autohedge.llm.extraction import ExtractedObject, extract, extraction_error
from autohedge.llm.lossless_repairs import read_lossless
from autohedge.llm.outcome import ACCEPTED

MAX_FAULTS = 3
MAX_FAULT_CHARS = 300

Answer = TypeVar("Answer", bound=BaseModel)
Check = Callable[[Answer], tuple[str, str] | None]

# The names that servers use for a generation that reached its token limit.
_CUT_SHORT = frozenset({"length", "max_tokens", "model_length"})


@dataclass(frozen=True, slots=True)
class ParsedAnswer(Generic[Answer]):
    """An answer, or None with a code and an error text for the model.

    `parse` is how the object was found and read. `final` marks errors that another request to the same model
    would not correct.
    """

    answer: Answer | None
    code: str
    text: str = ""
    parse: str = ""
    final: bool = False


def parse_answer(
    response: LLMResponse, request: LLMRequest, answer: type[Answer], check: Check[Answer] | None = None
) -> ParsedAnswer[Answer]:
    """Returns an `answer` that also passes `check`, or the code of the first error.

    Validation is strict after the lossless rules for the schema of the request: 1 is not a boolean. JSON has
    only one type of number, so 70.0 is accepted as the integer 70. Unknown keys are ignored unless the type
    `answer` forbids them.
    """
    return _reject_early(response) or _parsed(response.text, request, answer, check)


def _reject_early(response: LLMResponse) -> ParsedAnswer[Any] | None:
    ended = response.finish_reason.lower()
    if response.refusal or ended in {"content_filter", "refusal"}:
        return ParsedAnswer(None, "refusal", "the model declined to answer", final=True)
    if ended in _CUT_SHORT:
        return ParsedAnswer(None, "truncated", "the answer was cut off before its end: be much shorter")
    if not response.text.strip():
        return ParsedAnswer(None, "empty", "the answer is empty")
    return None


def _parsed(
    text: str, request: LLMRequest, answer: type[Answer], check: Check[Answer] | None
) -> ParsedAnswer[Answer]:
    found = read_answer(text, request)
    if found is None:
        return ParsedAnswer(None, "no_json", extraction_error(text))
    try:
        given = answer.model_validate_json(json.dumps(found.value), strict=True)
    except ValidationError as error:
        return ParsedAnswer(None, "invalid", validation_errors(error), found.parse)
    wrong = check(given) if check else None
    if wrong is not None:
        return ParsedAnswer(None, *wrong, found.parse)
    return ParsedAnswer(given, ACCEPTED, "", found.parse)


def read_answer(text: str, request: LLMRequest) -> ExtractedObject | None:
    """Returns the JSON object that answers a request, read by the lossless rules; None without one."""
    found = extract(text)
    if found is None:
        return None
    value, rules = read_lossless(found.value, request)
    return replace(found, value=value, rules=(*found.rules, *rules))


def validation_errors(error: ValidationError) -> str:
    """Returns the first few validation errors as one short line, without the invalid input."""
    # The line goes into the repair prompt and the record; the input may be long and is untrusted.
    errors = error.errors(include_url=False, include_context=False, include_input=False)
    lines = [f"{'.'.join(map(str, each['loc'])) or 'answer'}: {each['msg']}" for each in errors[:MAX_FAULTS]]
    more = [f"and {len(errors) - MAX_FAULTS} more"] if len(errors) > MAX_FAULTS else []
    return one_line("; ".join(lines + more), MAX_FAULT_CHARS)


def one_line(text: str, chars: int) -> str:
    """Returns a text without line breaks, shortened to `chars` characters."""
    line = " ".join(text.split())
    return line if len(line) <= chars else f"{line[: chars - 1]}…"
