"""Finds the one JSON object in a model's text that is its answer, or describes why there is none.

An object is the answer if it is the whole text, or the whole of the only fenced block with no object before
and no text after it, or one of these after a mark that ends the model's reasoning. A draft, a quotation or an
answer that the text withdraws is none.
"""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal, NamedTuple

from autohedge.llm.reasoning_marks import ANSWER_BEGINS, ANSWER_ENDS, Segment, visible_parts

MAX_BYTES = 1 << 16
MAX_DEPTH = 32
MAX_DIGITS = 40

ExtractionMethod = Literal["direct", "fenced", "after_think"]
TRAILING_COMMA = "trailing_comma"
FENCE = "```"

# Possessive repeats (`*+`) cannot backtrack, so that a search is linear in the text, whatever a model wrote.
_BLANK = r"[\s\ufeff]*+"
_BEGINS = re.compile(_BLANK)
_BEGINS_AFTER_MARK = re.compile(f"{_BLANK}(?:(?:{ANSWER_BEGINS}){_BLANK})?+", re.IGNORECASE)
_ENDS = re.compile(rf"{_BLANK}\Z")
_ENDS_AFTER_MARK = re.compile(rf"{_BLANK}(?:(?:{ANSWER_ENDS}){_BLANK})?+\Z", re.IGNORECASE)
_FENCE_ENDS = re.compile(rf"{_BLANK}{FENCE}{_BLANK}\Z")
_FENCE_ENDS_AFTER_MARK = re.compile(
    rf"{_BLANK}{FENCE}{_BLANK}(?:(?:{ANSWER_ENDS}){_BLANK})?+\Z", re.IGNORECASE
)
_FENCE_BEGINS = re.compile(rf"{FENCE}[^\S\n]*+[\w+-]*+[^\S\n]*+(?P<line>\n?){_BLANK}")
# A brace before a quote, a brace, or a name with a colon: an object, or something that is meant to be one.
_LIKE_AN_OBJECT = re.compile(r"""\{\s*+(?:["'}“]|\w++\s*+:)""")
# A string, a comma without a member before it, and a comma after the last member. A string may be open:
# otherwise each escaped quote in it would begin a search to the end of the text.
_STRING_OR_COMMA = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?+|[{\[]\s*+,|,(?=\s*+[}\]])', re.DOTALL)
# Up to 15 digits a float is exact, so 70.0 can be read as the integer 70 without loss.
_ROUND = re.compile(r"-?[0-9]{1,15}\.0+")


@dataclass(frozen=True, slots=True)
class ExtractedObject:
    """A JSON object from a model's text, how it was found, and the lossless rules that it was read by."""

    value: dict[str, Any]
    how: ExtractionMethod
    rules: tuple[str, ...] = ()

    @property
    def parse(self) -> str:
        """How it was found and read, as recorded: `direct`, or `fenced+trailing_comma`."""
        return "+".join((self.how, *self.rules))


class _Place(NamedTuple):
    """Where an answer would have to begin, and what may stand after it."""

    at: int
    ends: re.Pattern[str]
    how: ExtractionMethod


def extract(text: str) -> ExtractedObject | None:
    """Returns the JSON object that is a text's answer, or None. Never raises.

    Texts over 64 KiB are rejected, and so are objects nested deeper than 32, with duplicate keys, with
    numbers that are not finite or have more than 40 digits, or with strings that are not valid Unicode. A
    comma after the last member of an object or a list is ignored, by the rule `trailing_comma`.
    """
    if _too_long(text):
        return None
    last = list[_Place]()
    segments = visible_parts(text).segments
    # The first segment first: a string in an answer may contain a mark.
    for number, segment in enumerate(segments):
        last = list(_places(text, segment, after_mark=number > 0))
        for place in last:
            if (value := _whole(text, place)) is not None:
                return ExtractedObject(value, place.how)
    # Only the last segment, so that the text is rewritten at most twice.
    for place in last:
        rest = _without_trailing_commas(text[place.at :])
        if (value := _whole(rest, place._replace(at=0))) is not None:
            return ExtractedObject(value, place.how, (TRAILING_COMMA,))
    return None


def _too_long(text: str) -> bool:
    return len(text) > MAX_BYTES or len(text.encode(errors="replace")) > MAX_BYTES


def _places(text: str, segment: Segment, *, after_mark: bool) -> Iterator[_Place]:
    """Yields the places where an answer may begin in a segment: at its beginning, and in its first fence."""
    begins, ends = (_BEGINS_AFTER_MARK, _ENDS_AFTER_MARK) if after_mark else (_BEGINS, _ENDS)
    at, inside = _end(begins, text, segment.start), _in_fence(text, segment)
    if text.startswith("{", at):
        yield _Place(at, ends, "after_think" if after_mark else "direct")
    if inside is not None and text.startswith("{", inside):
        yield _Place(inside, _FENCE_ENDS_AFTER_MARK if after_mark else _FENCE_ENDS, "fenced")


def _in_fence(text: str, segment: Segment) -> int | None:
    """Returns where the content of a segment's first fenced block begins; None if no answer may stand there.

    A fence begins or ends its line: in the middle of one it is a quotation in a sentence.
    """
    fence = text.find(FENCE, *segment)
    opened = _FENCE_BEGINS.match(text, fence) if fence >= 0 else None
    if opened is None or _LIKE_AN_OBJECT.search(text, segment.start, fence):
        return None
    line = text.rfind("\n", segment.start, fence) + 1 or segment.start
    begins_line = not text[line:fence].strip(" \t\ufeff")
    return opened.end() if begins_line or opened["line"] else None


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)
    return found.end() if found else at


def _whole(text: str, place: _Place) -> dict[str, Any] | None:
    """Returns the object at a place if nothing else follows it."""
    read = _Reader().read(text, place.at)
    return read.value if read.value is not None and place.ends.match(text, read.end) else None


def _without_trailing_commas(text: str) -> str:
    return _STRING_OR_COMMA.sub(lambda found: "" if found[0] == "," else found[0], text)


def extraction_error(text: str) -> str:
    """Returns what is wrong with a text without an answer, and where; characters count from 1."""
    if _too_long(text):
        return f"the answer is longer than {MAX_BYTES >> 10} KiB"
    visible = visible_parts(text)
    if visible.unfinished_at is not None:
        return _unfinished_error(text, visible.unfinished_at)
    last = visible.segments[-1]
    at = _end(_BEGINS, text, last.start)
    if at == len(text):
        return f"nothing follows the reasoning, which ends at character {last.start}"
    for begins in (at, _in_fence(text, last)):
        if begins is not None and text.startswith("[", begins):
            return f"the answer is a list, which begins at character {begins + 1}, and not one JSON object"
    return _objects_error(text, at, fences=text.count(FENCE, last.start))


def _unfinished_error(text: str, at: int) -> str:
    if _LIKE_AN_OBJECT.search(text, at):
        return f"the JSON object stands inside unfinished reasoning, which begins at character {at + 1}"
    return f"the reasoning that begins at character {at + 1} is never ended"


def _objects_error(text: str, at: int, *, fences: int) -> str:
    """Returns the error of a last segment whose text begins at `at`."""
    found = list(islice(_objects(text, at), 3))
    if not found:
        return "there is no JSON object in the answer"
    first = found[0]
    if len(found) > 1:
        count = "two" if len(found) == 2 else "several"
        return f"{count} JSON objects, at character {first.at + 1} and at character {found[1].at + 1}"
    if first.error:
        return f"the JSON object at character {first.at + 1} cannot be read: {first.error}"
    return _surroundings_error(text, first, fences)


def _surroundings_error(text: str, first: "_Found", fences: int) -> str:
    """Returns what stands beside the only object of a segment."""
    after = _end(_BEGINS, text, first.end)
    if fences > 2:
        return "there is more than one fenced block"
    if text[after:].strip() not in {"", FENCE}:
        return f"text follows the JSON object at character {after + 1}"
    if fences == 1:
        return "the fenced block is not closed"
    return f"text stands before the JSON object, which begins at character {first.at + 1}"


class _Found(NamedTuple):
    at: int
    end: int
    error: str


def _objects(text: str, at: int) -> Iterator[_Found]:
    """Yields the objects in a text, readable or not, but none inside another. Reads each character once."""
    reader, begins = _Reader(), _LIKE_AN_OBJECT.search(text, at)
    # What stands first counts as an object by its brace alone.
    start = at if text[at] == "{" else begins.start() if begins else len(text)
    while start < len(text):
        read = reader.read(text, start)
        yield _Found(start, read.end, read.error)
        begins = _LIKE_AN_OBJECT.search(text, read.end)
        start = begins.start() if begins else len(text)


class _Reading(NamedTuple):
    """An object, or None and why it is unusable; `end` is where reading ended."""

    value: dict[str, Any] | None
    end: int
    error: str = ""


class _Reader(json.JSONDecoder):
    """A strict JSON reader; well-formed but ambiguous input sets `error`, which rejects the whole object."""

    def __init__(self) -> None:
        self.error = ""
        super().__init__(
            object_pairs_hook=self._object,
            parse_constant=self._not_finite,
            parse_int=self._integer,
            parse_float=self._fraction,
        )

    def read(self, text: str, at: int) -> _Reading:
        """Reads the object that begins at `at`; one that is unusable is read past all the same."""
        self.error = ""
        try:
            value, end = self.raw_decode(text, at)
        except json.JSONDecodeError as error:
            # At least one character further, so that a search ends.
            where = f"{error.msg[:1].lower()}{error.msg[1:]} at character {error.pos + 1}"
            return _Reading(None, max(error.pos, at + 1), where)
        except RecursionError:
            return _Reading(None, len(text), _TOO_DEEP)
        wrong = self.error or _value_error(value)
        return _Reading(None if wrong else value, end, wrong)

    def _not_finite(self, _: str) -> float:
        self.error = "a number in it is not finite"
        return 0.0

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        # Parsers disagree on which value counts.
        if len(value) != len(pairs):
            self.error = "a key occurs twice in it"
        return value

    def _integer(self, digits: str) -> float:
        # Python limits the conversion of long digit strings by raising ValueError.
        if len(digits) > MAX_DIGITS:
            self.error = f"a number in it has more than {MAX_DIGITS} digits"
            return 0
        return int(digits)

    def _fraction(self, digits: str) -> float:
        number = decimal_number(digits)
        return self._not_finite(digits) if math.isinf(number) else number


_TOO_DEEP = f"it is nested deeper than {MAX_DEPTH}"


def decimal_number(digits: str) -> float:
    """Returns a number with a fraction; one with a fraction of zero as an integer."""
    number = float(digits)
    return int(number) if _ROUND.fullmatch(digits) else number


def _value_error(value: Any) -> str:
    """Returns whether a value is nested too deeply, or has a string that is not valid Unicode."""
    # Level by level instead of recursively, so that depth cannot exhaust the stack.
    layer, depth = [value], 0
    while layer:
        if depth > MAX_DEPTH:
            return _TOO_DEEP
        depth += 1
        layer = [inner for each in layer for inner in _inside(each)]
        if not all(map(_unicode, layer)):
            return "a text in it is not valid Unicode"
    return ""


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
