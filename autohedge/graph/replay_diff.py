"""Finds the first difference between a replayed deliberation and its record."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import msgspec

from autohedge.core.events import Decision
from autohedge.core.text import one_line
from autohedge.llm.backend import LLMRequest, Message
from autohedge.llm.transcript import TranscriptEntry, request_bytes

ABSENT = "nothing"
SHOWN_CHARS = 60
BEFORE_CHARS = 20
# The fields of a line that a replay computes itself; others, such as `tries`, come from the record.
REMADE = ("outcome", "failure", "parse", "agent", "symbol", "at_ns", "cut", "snapshot", "cached")


@dataclass(frozen=True, slots=True)
class DeliberationDifference:
    """The first difference between a deliberation and its record, with both values.

    `call` counts from 0 as in the transcript; it is None for a difference outside the calls. Messages and
    characters in `what` count from 1.
    """

    deliberation: int
    symbol: str
    call: int | None
    what: str
    recorded: str
    replayed: str

    def __str__(self) -> str:
        call = "" if self.call is None else f", call {self.call}"
        where = f"deliberation {self.deliberation}, {self.symbol}{call}, {self.what}"
        return f"{where}: recorded {self.recorded}, replayed {self.replayed}"


Mismatch = tuple[str, str, str]


def shortened(value: object) -> str:
    """Returns a value as one printable line of at most 60 characters."""
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return one_line(text, SHOWN_CHARS)


def of_call(old: TranscriptEntry | None, new: TranscriptEntry | None, named: str) -> Mismatch | None:
    """Returns the first difference between a call and its record; `named` is its hash in the journal."""
    if old is None or new is None:
        return "request", _entry_text(old), _entry_text(new)
    return _of_request(old.request, new.request) or _of_line(old, new) or _of_answer(old, named)


def _entry_text(line: TranscriptEntry | None) -> str:
    if line is None:
        return ABSENT
    return shortened(line.request.messages[-1].content) if line.request else line.outcome


def _of_request(old: LLMRequest | None, new: LLMRequest | None) -> Mismatch | None:
    if old is None or new is None:
        return None if old is new else ("request", _present(old), _present(new))
    # Both: `==` treats 1, 1.0 and True in a schema as equal, and the bytes leave out timeout and snapshot.
    if old == new and request_bytes(old) == request_bytes(new):
        return None
    return of_messages(old.messages, new.messages) or _of_fields(old, new)


def _present(request: LLMRequest | None) -> str:
    return ABSENT if request is None else shortened(request.messages[-1].content)


def of_messages(old: Sequence[Message], new: Sequence[Message]) -> Mismatch | None:
    """Returns the first message that differs."""
    for number, (was, is_now) in enumerate(zip_longest(old, new), start=1):
        what = f"request message {number}"
        if was is None or is_now is None or was.role != is_now.role:
            return what, _role(was), _role(is_now)
        if was.content != is_now.content:
            at = _first_character(was.content, is_now.content)
            return f"{what} at character {at + 1}", _around(was.content, at), _around(is_now.content, at)
    return None


def _role(message: Message | None) -> str:
    return message.role if message else ABSENT


def _first_character(old: str, new: str) -> int:
    pairs = enumerate(zip_longest(old, new))
    return next(at for at, (was, is_now) in pairs if was != is_now)


def _around(text: str, at: int) -> str:
    start = max(0, at - BEFORE_CHARS)
    return repr(text[start : start + SHOWN_CHARS])


def _of_fields(old: LLMRequest, new: LLMRequest) -> Mismatch:
    for field in old.__struct_fields__:
        if field in {"messages", "schema"}:
            continue
        was, is_now = getattr(old, field), getattr(new, field)
        if was != is_now:
            return f"request {field}", shortened(was), shortened(is_now)
    return of_schema(old.schema, new.schema)


def of_schema(old: Any, new: Any, path: str = "") -> Mismatch:
    """Returns the first difference of two schemas that differ, with its path."""
    if isinstance(old, dict) and isinstance(new, dict) and list(old) == list(new):
        for key, was in old.items():
            if not same_bytes(was, new[key]):
                return of_schema(was, new[key], f"{path}.{key}" if path else f" {key}")
    return f"request schema{path}", shortened(old), shortened(new)


def same_bytes(old: Any, new: Any) -> bool:
    """Whether two JSON values have the same bytes: `==` treats 1, 1.0 and True as equal."""
    return msgspec.json.encode(old) == msgspec.json.encode(new)


def _of_line(old: TranscriptEntry, new: TranscriptEntry) -> Mismatch | None:
    for field in REMADE:
        was, is_now = getattr(old, field), getattr(new, field)
        if was != is_now:
            return f"answer {field}", shortened(was), shortened(is_now)
    return None


def _of_answer(old: TranscriptEntry, named: str) -> Mismatch | None:
    """Compares the hash of a recorded line with the hash that the decision in the journal names."""
    if not named or old.hash == named:
        return None
    recorded = shortened(old.response.text) if old.response else old.outcome
    return "answer", f"{recorded} ({old.hash[:12]}…)", f"the line that its decision names, {named[:12]}…"


def of_decision(old: Decision, new: Decision) -> Mismatch | None:
    """Returns the first field of a decision that differs from the journal."""
    for field in old.__struct_fields__:
        was, is_now = getattr(old, field), getattr(new, field)
        if was != is_now:
            return f"decision {field}", shortened(was), shortened(is_now)
    return None
