"""The transcript: one JSON line for each request to a model, with its answer.

Each line ends with its own BLAKE2b-256 hash. The journal proves the order and completeness of the lines, as
its decisions name the hashes. The first line of a deliberation holds the snapshot that its prompts were
rendered from. A deliberation without requests is one line, with the cached verdict if there was one. Before
hashing, secrets are removed and texts over 64 KiB are cut, see `redaction`. `transcript_lines` has the form of
the lines, `transcript_parts` the files.
"""

from collections.abc import Container, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import lru_cache, partial
from itertools import chain, repeat
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from autohedge.core.errors import Corrupt
from autohedge.core.redaction import redacted
from autohedge.core.snapshots import Snapshot
from autohedge.journal.chain import closing_on_error
from autohedge.journal.disk import LOCAL_DISK, LocalDisk, append_whole
from autohedge.journal.folder import sync_names
from autohedge.llm.backend import LLMRequest, LLMResponse
from autohedge.llm.cache.memory import CachedVerdict
from autohedge.llm.outcome import Call
from autohedge.llm.redaction import clean_request, clean_response, was_cut
from autohedge.llm.transcript_lines import (
    Supplement,
    TranscriptLine,
    close_line,
    columns_of,
    given,
    referring,
    resolved,
    snapshot_of,
    taken,
)
from autohedge.llm.transcript_parts import (
    TranscriptPart,
    newest_part,
    parts,
    parts_backwards,
    read_segment,
    write_segment,
)

SEGMENT_BYTES = 1 << 19  # of the newest part, before its lines become a segment
# What makes two requests the same: neither their time limits nor where their model is kept.
QUESTION = (
    "agent",
    "symbol",
    "messages",
    "schema",
    "temperature",
    "max_tokens",
    "prompt_hash",
    "model",
    "reasoning",
    "extra_body",
)

NO_PROMPT: dict[str, Any] = {"messages": [], "schema": {}}

_encode = msgspec.json.Encoder(decimal_format="string").encode


class TranscriptEntry(msgspec.Struct, frozen=True):
    """One call of a deliberation, with `call` counting from 0, or a deliberation that made no call.

    Without a call `request` is None. `cut` marks an answer of which only the first 64 KiB are recorded.
    `cached` is the verdict of the cache that was used. `hash` is empty until the line is written.
    """

    deliberation: int
    call: int
    agent: str
    symbol: str
    at_ns: int
    request: LLMRequest | None
    response: LLMResponse | None
    outcome: str
    failure: str
    parse: str
    tries: int
    queue_ms: float
    cut: bool
    snapshot: Snapshot | None = None
    cached: CachedVerdict | None = None
    hash: str = ""

    @property
    def recorded_call(self) -> Call:
        """The call as it was made. Raises Corrupt for a line without one."""
        if self.request is None:
            raise Corrupt(f"deliberation {self.deliberation} made no call: read its snapshot only")
        return Call(
            self.request, self.response, self.outcome, self.failure, self.parse, self.tries, self.queue_ms
        )


def lines_of(
    deliberation: int,
    snapshot: Snapshot,
    calls: Sequence[Call],
    outcome: str,
    failure: str = "",
    cached_verdict: CachedVerdict | None = None,
) -> list[TranscriptEntry]:
    """Returns the lines that record a deliberation.

    `outcome`, `failure` and `cached_verdict` are recorded only for a deliberation that made no call.
    """
    if not calls:
        return [
            msgspec.structs.replace(
                _entry_without_call(deliberation, snapshot, outcome, failure), cached=cached_verdict
            )
        ]
    return [
        line_of(deliberation, number, call, snapshot.at_ns, None if number else snapshot)
        for number, call in enumerate(calls)
    ]


def line_of(
    deliberation: int, number: int, call: Call, at_ns: int, snapshot: Snapshot | None = None
) -> TranscriptEntry:
    """Returns one call as a line, without secrets."""
    request = clean_request(call.request)
    response = None if call.response is None else clean_response(call.response)
    return TranscriptEntry(
        deliberation=deliberation,
        call=number,
        agent=request.agent,
        symbol=request.symbol,
        at_ns=at_ns,
        request=request,
        response=response,
        outcome=call.outcome,
        failure=redacted(call.failure),
        parse=call.parse,
        tries=call.tries,
        queue_ms=call.queue_ms,
        cut=response is not None and was_cut(response.text),
        snapshot=snapshot,
    )


def _entry_without_call(deliberation: int, snapshot: Snapshot, outcome: str, failure: str) -> TranscriptEntry:
    where = (deliberation, 0, "", snapshot.symbol, snapshot.at_ns)
    return TranscriptEntry(
        *where, None, None, outcome, redacted(failure), "", 0, 0.0, cut=False, snapshot=snapshot
    )


def request_bytes(what: TranscriptEntry | LLMRequest) -> bytes:
    """Returns the content of a request as bytes, equal for equal requests; without time limits and answer.

    Accepts a recorded line, or a request that was rendered again. Empty for a line without a request.
    """
    request = what.request if isinstance(what, TranscriptEntry) else what
    return _encode(_question(clean_request(request))) if request else b""


def _question(request: LLMRequest) -> dict[str, Any]:
    # An int of the settings or the prompt is a float once it has been read back from a record.
    return {name: getattr(request, name) for name in QUESTION} | {"temperature": float(request.temperature)}


# writing


def encode_entry(
    entry: TranscriptEntry, known: set[str] | None = None, part: int = 1, after: str = ""
) -> tuple[bytes, str]:
    """Returns an entry as it is written, and its hash.

    Texts whose hashes are `known` are left out; those of the others become known. The first line of a part has
    the number of the `part`, and the hash of the one before under `after`.
    """
    known = set() if known is None else known
    request, texts = referring(entry.request) if entry.request else (None, {})
    snapshot = entry.snapshot
    columns = snapshot and msgspec.structs.replace(snapshot, quotes=columns_of(snapshot.quotes))
    recorded = msgspec.structs.replace(entry, request=request, snapshot=columns, hash="")
    new = {digest: text for digest, text in texts.items() if digest not in known}
    known.update(new)
    body = _encode(recorded)[: -len(',"hash":""}')]
    return close_line(body, Supplement(part, after, given(new, snapshot)))


@dataclass(slots=True)
class _OpenPart:
    """A part that lines are appended to; `known` are the hashes of the texts that its lines have."""

    disk: LocalDisk
    descriptor: int
    number: int = 1
    after: str = ""
    size: int = 0
    known: set[str] = field(default_factory=set)

    def append(self, entries: Iterable[TranscriptEntry]) -> tuple[str, ...]:
        """Writes entries in one step and returns their hashes. Raises OSError; then nothing of them is written."""
        known = set(self.known)
        links = chain([] if self.size else [(self.number, self.after)], repeat((1, "")))
        encoded = [encode_entry(entry, known, *link) for entry, link in zip(entries, links, strict=False)]
        content = b"".join(line for line, _ in encoded)
        # Without a buffer: the journal must not name a line that is not in the file.
        append_whole(self.descriptor, content, self.size, self.disk)
        self.size += len(content)
        self.known = known
        return tuple(digest for _, digest in encoded)

    def close(self) -> None:
        self.disk.close(self.descriptor)


class Transcript:
    """Appends to a new or existing transcript; an incomplete last line, left by a crash, is removed first.

    Lines whose hashes were returned survive a crash of this process, and after `sync` a power failure. Raises
    OSError if they cannot be written; then nothing of them is in the file. Raises Corrupt if the newest part is
    damaged.
    """

    def __init__(self, path: Path, disk: LocalDisk = LOCAL_DISK) -> None:
        self._path, self._disk = path, disk
        self._part = _OpenPart(disk, disk.open(path))
        self._cut_at, self._name_is_synced = SEGMENT_BYTES, True
        with closing_on_error(self.close):
            newest = newest_part(path)
            disk.truncate(self._part.descriptor, len(newest.content))
            self._part.number, self._part.size = newest.number, len(newest.content)
            self._part.known = {digest for line in newest.lines for digest in line.supplement.texts}
            if newest.number > 1 and not newest.lines:
                self._part.after = read_segment(path, newest.number - 1).hash
            sync_names(path.parent)

    def append(self, lines: Iterable[TranscriptEntry]) -> tuple[str, ...]:
        """Writes the lines of one deliberation in one step and returns their hashes."""
        return self._part.append(lines)

    def sync(self) -> None:
        """Returns once all lines survive a power failure. Raises OSError if the disk fails."""
        self._disk.sync(self._part.descriptor)
        if not self._name_is_synced:
            sync_names(self._path.parent)
            self._name_is_synced = True

    def close(self) -> None:
        """Closes the file."""
        self._part.close()

    # segments

    def cut(self) -> None:
        """Moves the lines of the newest part into a segment if they are many.

        A disk without room for the segment only delays that.
        """
        with suppress(OSError):
            if size := self.size_to_cut():
                self.start_part(size, self.write_segment(size))

    def size_to_cut(self) -> int:
        """Returns the size of the newest part if it should become a segment now, else 0."""
        if self._part.size < self._cut_at:
            return 0
        self._cut_at = self._part.size + SEGMENT_BYTES  # the next try, if this one fails
        return self._part.size

    def write_segment(self, size: int) -> str:
        """Writes the first `size` bytes of the newest part as a segment, and returns its hash.

        It may run in a thread while lines are appended. Raises OSError.
        """
        return write_segment(self._path, self._part.number, size, self._disk)

    def start_part(self, size: int, after: str) -> None:
        """Replaces the newest part by one with the lines that follow its first `size` bytes.

        `after` is the hash of the segment that these bytes became. Raises OSError; then all stays as it was.
        """
        later = _lines_from(size, newest_part(self._path)) if self._part.size > size else ()
        draft = self._path.with_suffix(".tmp")
        part = _OpenPart(self._disk, self._disk.open(draft), self._part.number + 1, after)
        with closing_on_error(part.close):
            self._disk.truncate(part.descriptor, 0)  # what a killed process left
            if later:
                part.append(later)
            self._disk.replace(draft, self._path)
        self._part.close()
        self._part, self._cut_at, self._name_is_synced = part, SEGMENT_BYTES, False


def _lines_from(at: int, part: TranscriptPart) -> list[TranscriptEntry]:
    entries = _PartEntries(part)
    return [entries.decode(line) for line in part.lines if line.at >= at]


# reading


class _Where(msgspec.Struct, frozen=True):
    """The fields that identify a line; the others are not decoded."""

    deliberation: int
    call: int


_decode_where = msgspec.json.Decoder(_Where).decode


class _PartEntries:
    """The entries of a part, which are decoded in any order."""

    def __init__(self, part: TranscriptPart) -> None:
        self.part = part
        self._first = {digest: line for line in part.lines for digest in line.supplement.texts}
        self._texts: dict[str, str] = {}

    def __iter__(self) -> Iterator[TranscriptEntry]:
        return map(self.decode, self.part.lines)

    def where(self, line: TranscriptLine) -> _Where:
        """Returns what identifies a line."""
        with _named(line, self.part.path):
            return _decode_where(line.body + b"}")

    def decode(self, line: TranscriptLine, wanted: Container[int] | None = None) -> TranscriptEntry:
        """Returns the entry of a line, without prompts if its deliberation is not `wanted`; None wants all.

        Raises Corrupt if a text that it refers to is missing or another.
        """
        with _named(line, self.part.path):
            values = msgspec.json.decode(line.body + b"}")
            snapshot, request = _snapshot(values), values.get("request")
            if request and wanted is not None and values["deliberation"] not in wanted:
                request |= NO_PROMPT
            elif request:
                self._texts |= taken(line, snapshot, self.part.path)
                request = resolved(request, partial(self._text, line))
            values |= {"request": request, "snapshot": snapshot, "hash": line.hash}
            return msgspec.convert(values, TranscriptEntry)

    def _text(self, line: TranscriptLine, digest: str) -> str:
        if digest not in self._texts:
            if not (first := self._first.get(digest)):
                raise Corrupt(
                    f"{self.part.path}: line {line.number} lacks the text {digest}; restore the file"
                )
            snapshot = _snapshot(msgspec.json.decode(first.body + b"}"))
            self._texts |= taken(first, snapshot, self.part.path)
        return self._texts[digest]


def _snapshot(values: dict[str, Any]) -> Snapshot | None:
    recorded = values.get("snapshot")
    return snapshot_of(recorded) if recorded else None


@contextmanager
def _named(line: TranscriptLine, path: Path) -> Iterator[None]:
    """Names the line in an error of its content."""
    try:
        yield
    except (msgspec.MsgspecError, ValueError) as error:
        raise Corrupt(
            f"{path}: line {line.number} is whole, but this version cannot read it: {error}"
        ) from None


def read(path: Path, wanted: Container[int] | None = None) -> Iterator[TranscriptEntry]:
    """Yields the lines of a transcript, each verified; none if it is missing.

    Requests of segments lack messages and schema if their deliberation is not `wanted`, which is faster.

    A last line without a line break, left by a crash, is skipped. Raises Corrupt at the first damaged part.
    """
    for part in parts(path):
        entries = _PartEntries(part)
        for line in part.lines:
            yield entries.decode(line, None if part.path == path else wanted)


def read_backwards(path: Path) -> Iterator[list[TranscriptEntry]]:
    """Yields the lines of each part, newest part first. Raises Corrupt like `read`."""
    return (list(_PartEntries(part)) for part in parts_backwards(path))


def read_hashes(path: Path) -> Iterator[tuple[int, str]]:
    """Yields the deliberation and the hash of each line, verified, without decoding the rest of old lines.

    Raises Corrupt like `read`.
    """
    for part in parts(path):
        entries = _PartEntries(part)
        for line in part.lines:
            # The hash of a segment covers the texts beside its lines; nothing else covers those of the newest part.
            found = entries.decode(line) if part.path == path else entries.where(line)
            yield found.deliberation, line.hash


class _Place(NamedTuple):
    """The position of a line: its call, the number of its part, and how many lines of that are before it."""

    call: int
    part: int
    before: int


class TranscriptIndex:
    """A transcript whose deliberations are read in any order; only the newest part and two others are in memory.

    It has the lines that were there when it was made. Raises Corrupt at the first damaged part. A missing file is
    an empty transcript.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._places: dict[int, list[_Place]] = {}
        for part in parts(path):
            self._newest = _PartEntries(part)
            for before, line in enumerate(part.lines):
                where = self._newest.where(line)
                place = _Place(where.call, part.number, before)
                self._places.setdefault(where.deliberation, []).append(place)
        self._segment = lru_cache(maxsize=2)(self._read_segment)

    @property
    def deliberations(self) -> AbstractSet[int]:
        """The numbers of all deliberations with at least one line."""
        return self._places.keys()

    def lines(self, deliberation: int) -> list[TranscriptEntry]:
        """Returns a deliberation's lines in the order of their calls; empty if it has none."""
        return [self._line(place) for place in sorted(self._places.get(deliberation, ()))]

    def _line(self, place: _Place) -> TranscriptEntry:
        is_new = place.part == self._newest.part.number
        entries = self._newest if is_new else self._segment(place.part)
        return entries.decode(entries.part.lines[place.before])

    def _read_segment(self, number: int) -> _PartEntries:
        return _PartEntries(read_segment(self._path, number))


def sort_entries(lines: Iterable[TranscriptEntry]) -> list[TranscriptEntry]:
    """Returns lines by deliberation and call; concurrent deliberations interleave in the file."""
    return sorted(lines, key=lambda line: (line.deliberation, line.call))
