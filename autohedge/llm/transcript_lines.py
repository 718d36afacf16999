"""The form of a transcript's lines: texts by reference, quotes by column, and the hash that closes a line.

The system part of a prompt, the answer schema and each table of quotes are replaced by the hash of their text.
The first line of a file that refers to a text has it, after the line's own hash. So the hash of a line does not
depend on the lines before it.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from hashlib import blake2b
from itertools import accumulate
from operator import sub
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec

from autohedge.core.errors import Corrupt
from autohedge.core.quote_table import HEADER, quote_table
from autohedge.core.snapshots import QuoteRow, Snapshot
from autohedge.llm.backend import LLMRequest, Message

_HASH_KEY = b',"hash":"'  # the last in a line: within texts these bytes are escaped
_TABLE = re.compile(re.escape(HEADER) + r"(?:\n\d\d:\d\d:\d\d\.\d{3} \| [^\n]*)+")

_Columns = tuple[list[int], list[float], list[float], list[float], list[float]]
_encode = msgspec.json.Encoder(decimal_format="string").encode


class Supplement(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What follows the hash of a line.

    `texts` are the texts that this line is the first to refer to, by their hash; a number stands for the table
    of that many quotes, the last of the line's snapshot. The first line of a file has the number of its `part`,
    and the hash of the part before.
    """

    part: int = 1
    after: str = ""
    texts: dict[str, str | int] = {}


class TranscriptLine(NamedTuple):
    """A line whose hash has been checked: `body` is what the hash covers, without the closing brace."""

    at: int
    number: int
    body: bytes
    hash: str
    supplement: Supplement


class _Reference(msgspec.Struct, frozen=True):
    """Stands for the text with this hash."""

    text: str


class _ReferringMessage(msgspec.Struct, frozen=True):
    """A message in pieces."""

    role: Literal["system", "user", "assistant"]
    content: list[str | _Reference]


class _ReferringRequest(msgspec.Struct, frozen=True):
    """The fields of a request that have references."""

    messages: list[_ReferringMessage]
    schema: _Reference


_decode_supplement = msgspec.json.Decoder(Supplement).decode


def text_hash(text: str) -> str:
    """Returns the hash by which lines refer to a text: its BLAKE2b-128."""
    return blake2b(text.encode(), digest_size=16).hexdigest()


def close_line(body: bytes, supplement: Supplement) -> tuple[bytes, str]:
    """Returns a whole line, and its hash."""
    digest = blake2b(body, digest_size=32).hexdigest()
    more = _encode(supplement)[1:-1]
    return b'%b%b%b"%b%b}\n' % (body, _HASH_KEY, digest.encode(), b"," if more else b"", more), digest


def parse_lines(content: bytes, path: Path) -> Iterator[TranscriptLine]:
    """Yields the complete lines of a file. Raises Corrupt at the first damaged one; `path` is for its message."""
    at = 0
    for number, raw in enumerate(content.split(b"\n")[:-1], start=1):
        yield _parsed(raw + b"\n", at, number, path)
        at += len(raw) + 1


def _parsed(raw: bytes, at: int, number: int, path: Path) -> TranscriptLine:
    body, _, tail = raw.rpartition(_HASH_KEY)
    try:
        # After the 64 digits of the hash come its quote and a comma, if there is more.
        supplement = _decode_supplement(b"{%b" % tail[66:]) if tail[65:66] == b"," else Supplement()
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise _damage(path, number, "its hash does not match its text") from None
    whole, digest = close_line(body, supplement)
    if whole != raw:
        raise _damage(path, number, "its hash does not match its text")
    return TranscriptLine(at, number, body, digest, supplement)


def _damage(path: Path, number: int, why: str) -> Corrupt:
    return Corrupt(f"{path}: line {number} is damaged: {why}; restore the file")


# references


def referring(request: LLMRequest) -> tuple[dict[str, Any], dict[str, str]]:
    """Returns a request as it is recorded, and the texts that it refers to by their hash."""
    texts: dict[str, str] = {}

    def refer(text: str) -> _Reference:
        digest = text_hash(text)
        texts[digest] = text
        return _Reference(digest)

    messages = [_ReferringMessage(each.role, list(_pieces(each, refer))) for each in request.messages]
    schema = refer(_encode(request.schema).decode())
    return msgspec.to_builtins(request) | {"messages": messages, "schema": schema}, texts


def _pieces(message: Message, refer: Callable[[str], _Reference]) -> Iterator[str | _Reference]:
    """Yields a message in pieces: the whole system part by reference, and of other texts the tables."""
    text, at = message.content, 0
    if message.role == "system":
        yield refer(text)
        return
    for table in _TABLE.finditer(text):
        yield text[at : table.start()]
        yield refer(table[0])
        at = table.end()
    yield text[at:]


def resolved(request: dict[str, Any], text_of: Callable[[str], str]) -> LLMRequest:
    """Returns the request that `referring` was given; `text_of` returns the text with a hash."""
    form = msgspec.convert(request, _ReferringRequest)
    messages = [
        Message(
            each.role, "".join(part if isinstance(part, str) else text_of(part.text) for part in each.content)
        )
        for each in form.messages
    ]
    schema = msgspec.json.decode(text_of(form.schema.text))
    return msgspec.convert(request | {"messages": messages, "schema": schema}, LLMRequest)


def columns_of(quotes: tuple[QuoteRow, ...]) -> _Columns:
    """Returns quotes as they are recorded: a column per field, of times the difference to the one before."""
    times = [row.ts_ns for row in quotes]
    return (
        list(map(sub, times, (0, *times))),
        [row.bid for row in quotes],
        [row.bid_size for row in quotes],
        [row.ask for row in quotes],
        [row.ask_size for row in quotes],
    )


def snapshot_of(recorded: dict[str, Any]) -> Snapshot:
    """Returns the snapshot that was recorded with `columns_of` its quotes."""
    times, *others = msgspec.convert(recorded.get("quotes"), _Columns)
    quotes = tuple(QuoteRow(*row) for row in zip(accumulate(times), *others, strict=True))
    return msgspec.convert(recorded | {"quotes": quotes}, Snapshot)


def given(texts: Mapping[str, str], snapshot: Snapshot | None) -> dict[str, str | int]:
    """Returns texts as a line with this snapshot has them."""
    quotes = snapshot.quotes if snapshot else ()
    return {digest: _rows(text, quotes) or text for digest, text in texts.items()}


def _rows(text: str, quotes: tuple[QuoteRow, ...]) -> int:
    """Returns how many of the last quotes a text is the table of; 0 if it is none."""
    rows = text.count("\n")
    return rows if rows and text.startswith(HEADER) and text == quote_table(quotes[-rows:]) else 0


def taken(line: TranscriptLine, snapshot: Snapshot | None, path: Path) -> dict[str, str]:
    """Returns the texts that a line with this snapshot has. Raises Corrupt if one is not as its hash says."""
    quotes = snapshot.quotes if snapshot else ()
    texts = {
        digest: text if isinstance(text, str) else quote_table(quotes[-text:])
        for digest, text in line.supplement.texts.items()
    }
    for digest, text in texts.items():
        if text_hash(text) != digest:
            raise _damage(path, line.number, "a text does not match its hash")
    return texts
