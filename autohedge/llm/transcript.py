"""The transcript: one JSON line for each request to a model, with its answer.

Each line ends with its own BLAKE2b-256 hash. The journal proves the order and completeness of the lines, as
its decisions name the hashes. The first line of a deliberation holds the snapshot that its prompts were
rendered from. A deliberation without requests is one line, with the cached verdict if there was one. Before
hashing, secrets are removed and texts over 64 KiB are cut, see `redaction`.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from hashlib import blake2b
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeVar

import msgspec

from autohedge.core.errors import Corrupt
from autohedge.core.redaction import redacted
from autohedge.core.snapshots import Snapshot
from autohedge.journal.chain import closing_on_error, torn_tail_bytes
from autohedge.journal.disk import LOCAL_DISK, append_whole
from autohedge.journal.folder import sync_names
from autohedge.llm.backend import LLMRequest, LLMResponse
from autohedge.llm.cache.memory import CachedVerdict
from autohedge.llm.outcome import Call
from autohedge.llm.redaction import clean_request, clean_response, was_cut

Read = TypeVar("Read")
# Fields of a request that earlier records lack, and their values where nothing is set.
OPTIONAL = ("model", "reasoning", "extra_body")
UNSET_VALUES: tuple[Any, ...] = ("", "auto", {})
# The hash and its key at the end of a line: it is computed over the bytes before them.
_TAIL_BYTES = len(',"hash":""}') + 64
_LINE_START = b'{"deliberation":'  # within a line these bytes are escaped

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


class _Where(msgspec.Struct, frozen=True):
    """The fields that identify a line; the others are not decoded."""

    deliberation: int
    call: int


class _Place(NamedTuple):
    """The position of a line: its call, its byte offset in the file, and its line number."""

    call: int
    at: int
    number: int


_decode = msgspec.json.Decoder(TranscriptEntry).decode
_decode_where = msgspec.json.Decoder(_Where).decode


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
    return {
        "agent": request.agent,
        "symbol": request.symbol,
        "messages": request.messages,
        "schema": request.schema,
        # An int of the settings or the prompt is a float once it has been read back from a record.
        "temperature": float(request.temperature),
        "max_tokens": request.max_tokens,
        "prompt_hash": request.prompt_hash,
        **{name: value for name in OPTIONAL if (value := getattr(request, name)) not in UNSET_VALUES},
    }


def encode_entry(line: TranscriptEntry) -> tuple[bytes, str]:
    """Returns a line as it is written, and its hash."""
    return _closed(_encode(msgspec.structs.replace(line, hash=""))[: -len(',"hash":""}')])


def _closed(body: bytes) -> tuple[bytes, str]:
    digest = blake2b(body, digest_size=32).hexdigest()
    return b'%b,"hash":"%b"}\n' % (body, digest.encode()), digest


class Transcript:
    """Appends to a new or existing transcript; an incomplete last line, left by a crash, is removed first.

    Lines whose hashes were returned survive a crash of this process, and after `sync` a power failure. Raises
    OSError if they cannot be written; then nothing of them is in the file.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = LOCAL_DISK.open(path)
        with closing_on_error(self.close):
            self._size = LOCAL_DISK.size(self._descriptor) - torn_tail_bytes(path)
            LOCAL_DISK.truncate(self._descriptor, self._size)
            sync_names(path.parent)

    def append(self, lines: Iterable[TranscriptEntry]) -> tuple[str, ...]:
        """Writes the lines of one deliberation in one step and returns their hashes."""
        whole = [encode_entry(line) for line in lines]
        content = b"".join(line for line, _ in whole)
        # Without a buffer: the journal must not name a line that is not in the file.
        append_whole(self._descriptor, content, self._size)
        self._size += len(content)
        return tuple(digest for _, digest in whole)

    def sync(self) -> None:
        """Returns once all lines survive a power failure. Raises OSError if the disk fails."""
        LOCAL_DISK.sync(self._descriptor)

    def close(self) -> None:
        """Closes the file."""
        LOCAL_DISK.close(self._descriptor)


def read(path: Path, tail_bytes: int | None = None) -> Iterator[TranscriptEntry]:
    """Yields the lines of a transcript, or those in its last bytes, each verified.

    A last line without a line break, left by a crash, is skipped. Raises Corrupt at the first damaged line;
    of a tail it is numbered within that.
    """
    for number, raw in _whole(path, tail_bytes):
        yield _read(_decode, raw, path, number)


def _whole(path: Path, tail_bytes: int | None = None) -> Iterator[tuple[int, bytes]]:
    """Yields the number and the bytes of each complete line, after checking its hash."""
    with path.open("rb") as file:
        if tail_bytes is not None and tail_bytes < path.stat().st_size:
            file.seek(-tail_bytes, os.SEEK_END)
            file.readline()  # what the tail begins with is not a whole line
        for number, raw in enumerate(file, start=1):
            if not raw.endswith(b"\n"):
                return
            if not _is_sealed(raw):
                raise _damage(raw, path, number)
            yield number, raw


def _is_sealed(raw: bytes) -> bool:
    return _closed(raw[: -_TAIL_BYTES - 1])[0] == raw


def _damage(raw: bytes, path: Path, number: int) -> Corrupt:
    """Returns what is wrong with a line; up to version 0.3.0 a full disk could leave the start of a lost one."""
    if torn_bytes := _torn_start_bytes(raw):
        return Corrupt(
            f"{path}: line {number} begins with {torn_bytes} bytes of a torn line, as a full disk leaves them;"
            " what follows is whole: cut these bytes out of a copy"
        )
    return Corrupt(f"{path}: line {number} is damaged: its hash does not match its text; restore the file")


def _torn_start_bytes(raw: bytes) -> int:
    """Returns the length of what stands before a whole line on the same line; 0 if there is no whole line."""
    at = raw.find(_LINE_START, 1)
    while at > 0 and not _is_sealed(raw[at:]):
        at = raw.find(_LINE_START, at + 1)
    return max(at, 0)


def _read(decode: Callable[[bytes], Read], raw: bytes, path: Path, number: int) -> Read:
    try:
        return decode(raw)
    except msgspec.MsgspecError as error:
        raise Corrupt(f"{path}: line {number} is whole, but this version cannot read it: {error}") from None


def read_hashes(path: Path) -> Iterator[tuple[int, str]]:
    """Yields the deliberation and the hash of each line, verified, without decoding the rest.

    Raises Corrupt like `read`.
    """
    for number, raw in _whole(path):
        where = _read(_decode_where, raw, path, number)
        yield where.deliberation, raw[-len('"}\n') - 64 : -len('"}\n')].decode()


class TranscriptIndex:
    """A transcript whose deliberations are read in any order; only the positions of lines are kept in memory.

    Raises Corrupt at the first damaged line. A missing file is an empty transcript.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._places: dict[int, list[_Place]] = {}
        at = 0
        for number, raw in _whole(path) if path.is_file() else ():
            where = _read(_decode_where, raw, path, number)
            self._places.setdefault(where.deliberation, []).append(_Place(where.call, at, number))
            at += len(raw)

    @property
    def deliberations(self) -> AbstractSet[int]:
        """The numbers of all deliberations with at least one line."""
        return self._places.keys()

    def lines(self, deliberation: int) -> list[TranscriptEntry]:
        """Returns a deliberation's lines in the order of their calls; empty if it has none."""
        places = sorted(self._places.get(deliberation, ()))
        if not places:
            return []
        with self._path.open("rb") as file:
            return [self._line(file, place) for place in places]

    def _line(self, file: BinaryIO, place: _Place) -> TranscriptEntry:
        file.seek(place.at)
        return _read(_decode, file.readline(), self._path, place.number)


def sort_entries(lines: Iterable[TranscriptEntry]) -> list[TranscriptEntry]:
    """Returns lines by deliberation and call; concurrent deliberations interleave in the file."""
    return sorted(lines, key=lambda line: (line.deliberation, line.call))
