"""Parses a model's text into a validated answer, or into the description of its error.

Only a complete JSON object is accepted. Prose is not interpreted, nor is an answer that was cut off.
"""

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ValidationError

from autohedge.llm.backend import LLMResponse
from autohedge.llm.outcome import ACCEPTED

MAX_BYTES = 1 << 16
MAX_DEPTH = 32
MAX_DIGITS = 40
MAX_FAULTS = 3
MAX_FAULT_CHARS = 300

ExtractionMethod = Literal["direct", "fenced", "after_think", "last_object"]
Answer = TypeVar("Answer", bound=BaseModel)
Check = Callable[[Answer], tuple[str, str] | None]

# The names that servers use for a generation that reached its token limit.
_CUT_SHORT = frozenset({"length", "max_tokens", "model_length"})
_CLOSES_THINK = re.compile(r"</think(?:ing)?>", re.IGNORECASE)
_OPENS_THINK = re.compile(r"<think(?:ing)?>", re.IGNORECASE)
# Possessive repeats (`*+`) cannot backtrack, so that a search is linear in the text, whatever a model wrote.
_OPENS_OBJECT = re.compile(r'\{\s*+(?:\}|"[^"\\]*+(?:\\.[^"\\]*+)*+"\s*+:)', re.DOTALL)
_OPENS_FENCE = re.compile(r"```[\w-]*\s*\Z")
# Up to 15 digits a float is exact, so 70.0 can be read as the integer 70 without loss.
_ROUND = re.compile(r"-?[0-9]{1,15}\.0+")


@dataclass(frozen=True, slots=True)
class ExtractedObject:
    """A JSON object from a model's text, and how it was found."""

    value: dict[str, Any]
    how: ExtractionMethod


@dataclass(frozen=True, slots=True)
class ParsedAnswer(Generic[Answer]):
    """An answer, or None with a code and an error text for the model.

    `final` marks errors that another request to the same model would not correct.
    """

    answer: Answer | None
    code: str
    text: str = ""
    parse: str = ""
    final: bool = False


def parse_answer(
    response: LLMResponse, answer: type[Answer], check: Check[Answer] | None = None
) -> ParsedAnswer[Answer]:
    """Returns an `answer` that also passes `check`, or the code of the first error.

    Validation is strict: "70" is not a number and 1 is not a boolean. JSON has only one type of number, so
    70.0 is accepted as the integer 70. Unknown keys are ignored unless the type `answer` forbids them.
    """
    return _reject_early(response) or _parsed(response.text, answer, check)


def _reject_early(response: LLMResponse) -> ParsedAnswer[Any] | None:
    ended = response.finish_reason.lower()
    if response.refusal or ended in {"content_filter", "refusal"}:
        return ParsedAnswer(None, "refusal", "the model declined to answer", final=True)
    if ended in _CUT_SHORT:
        return ParsedAnswer(None, "truncated", "the answer was cut off before its end: be much shorter")
    if not response.text.strip():
        return ParsedAnswer(None, "empty", "the answer is empty")
    return None


def _parsed(text: str, answer: type[Answer], check: Check[Answer] | None) -> ParsedAnswer[Answer]:
    found = extract(text)
    if found is None:
        return ParsedAnswer(None, "no_json", "the answer holds no complete JSON object")
    try:
        given = answer.model_validate_json(json.dumps(found.value), strict=True)
    except ValidationError as error:
        return ParsedAnswer(None, "invalid", validation_errors(error), found.how)
    wrong = check(given) if check else None
    if wrong is not None:
        return ParsedAnswer(None, *wrong, found.how)
    return ParsedAnswer(given, ACCEPTED, "", found.how)


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


def extract(text: str) -> ExtractedObject | None:
    """Returns the last valid JSON object after a model's reasoning, or None. Never raises.

    An incomplete object is not searched for objects inside it. Texts over 64 KiB are rejected, and so are
    objects nested deeper than 32, with duplicate keys, with numbers that are not finite or have more than 40
    digits, or with strings that are not valid Unicode.
    """
    if len(text) > MAX_BYTES or len(text.encode(errors="replace")) > MAX_BYTES:
        return None
    try:
        return _found(text)
    except RecursionError:
        return None


def _found(text: str) -> ExtractedObject | None:
    # The whole text first: a string in the answer may contain "<think>".
    whole = _last_object(text)
    if whole is not None and _alone(text, whole):
        return ExtractedObject(whole.value, "direct")
    visible_text = strip_reasoning(text)
    last = whole if visible_text == text else _last_object(visible_text)
    if last is None:
        return None
    if _alone(visible_text, last):
        return ExtractedObject(last.value, "after_think")
    return ExtractedObject(last.value, "fenced" if _in_fence(visible_text, last) else "last_object")


def strip_reasoning(text: str) -> str:
    """Removes reasoning from a model's text: `<think>…</think>`, also without the opening or closing tag."""
    visible_parts, at = [], 0
    while (opened := _OPENS_THINK.search(text, at)) and (closed := _CLOSES_THINK.search(text, opened.end())):
        visible_parts.append(text[at : opened.start()])
        at = closed.end()
    visible_parts.append(text[at : opened.start()] if opened else text[at:])
    # A closing tag alone: some chat templates put the opening tag into the prompt.
    return _CLOSES_THINK.split("".join(visible_parts))[-1]


@dataclass(frozen=True, slots=True)
class _Span:
    value: dict[str, Any]
    start: int
    end: int


def _last_object(text: str) -> _Span | None:
    """Reads at each opening brace in turn, resumes where reading ended: each character is read once."""
    reader, last, begins = _Reader(), None, _OPENS_OBJECT.search(text)
    while begins:
        at = begins.start()
        value, end = reader.read(text, at)
        if value is not None:
            last = _Span(value, at, end)
        begins = _OPENS_OBJECT.search(text, end)
    return last


def _alone(text: str, span: _Span) -> bool:
    return not text[: span.start].strip() and not text[span.end :].strip()


def _in_fence(text: str, span: _Span) -> bool:
    # A fence and its language take far less than 100 characters; the limit keeps the search short.
    opened = _OPENS_FENCE.search(text, max(0, span.start - 100), span.start)
    return opened is not None and text[span.end :].lstrip().startswith("```")


class _Reader(json.JSONDecoder):
    """A strict JSON reader; well-formed but ambiguous input clears `sound`, which skips the whole object."""

    def __init__(self) -> None:
        self.sound = True
        super().__init__(
            object_pairs_hook=self._object,
            parse_constant=self._unsound,
            parse_int=self._integer,
            parse_float=self._fraction,
        )

    def read(self, text: str, at: int) -> tuple[dict[str, Any] | None, int]:
        """Returns the object that begins at `at`, or None if invalid, and the position to continue at."""
        self.sound = True
        try:
            value, end = self.raw_decode(text, at)
        except json.JSONDecodeError as error:
            # At least one character further, so that the search ends.
            return None, max(error.pos, at + 1)
        return (value if self.sound and _encodable(value) else None), end

    def _unsound(self, _: str) -> float:
        self.sound = False
        return 0.0

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        # Duplicate keys: parsers disagree on which value counts.
        self.sound = self.sound and len(value) == len(pairs)
        return value

    def _integer(self, digits: str) -> float:
        # Python limits the conversion of long digit strings by raising ValueError.
        return int(digits) if len(digits) <= MAX_DIGITS else self._unsound(digits)

    def _fraction(self, digits: str) -> float:
        number = float(digits)
        if math.isinf(number):
            return self._unsound(digits)
        return int(number) if _ROUND.fullmatch(digits) else number


def _encodable(value: Any) -> bool:
    """Whether a value is not nested too deeply, and all its strings are valid Unicode."""
    # Level by level instead of recursively, so that depth cannot exhaust the stack.
    layer, depth = [value], 0
    while layer:
        if depth > MAX_DEPTH:
            return False
        depth += 1
        layer = [inner for each in layer for inner in _inside(each)]
        if not all(map(_unicode, layer)):
            return False
    return True


def _inside(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [*value, *value.values()]
    return value if isinstance(value, list) else []


def _unicode(value: Any) -> bool:
    if not isinstance(value, str) or value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
