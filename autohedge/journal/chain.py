"""The journal: one JSON line per event, each with a hash over itself and the line before.

The first line is the genesis, which describes the run. A changed, missing or inserted line breaks the chain
from there on. The hash of the last line is kept in `results.json`, so that a truncated journal is detected
too. Hashes are BLAKE2b-256.
"""

import fcntl
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import msgspec

import autohedge
from autohedge.core.errors import Corrupt, Misconfigured, Refused
from autohedge.core.events import AnyEvent, Continued, Input, JournalEntry, Restarted, RunStarted, SubmitOrder

NO_HASH = "0" * 64  # what the genesis has instead of the hash of a line before
# The inputs with nonces: without them, ids of orders lost in a power failure could not be derived again.
SYNCED = (RunStarted, Restarted, Continued)
BUFFER_BYTES = 1 << 20
_TAIL_BYTES = len(',"hash":""}') + 64  # every line ends with this, so the rest is the hashed body

_encode = msgspec.json.Encoder(decimal_format="string").encode


class JournalLine(msgspec.Struct, frozen=True):
    """One verified line of a journal: the genesis has no event, all other lines have no genesis."""

    hash: str
    seq: int = 0
    pos: int = 0
    event: AnyEvent | None = None
    genesis: dict[str, Any] | None = None

    @property
    def entry(self) -> JournalEntry:
        """The journaled event. Raises Corrupt on a line without one."""
        if self.event is None:
            msg = f"line with seq {self.seq} holds no event"
            raise Corrupt(msg)
        return JournalEntry(self.seq, self.pos, self.event)


_decode = msgspec.json.Decoder(JournalLine).decode


def seal(body: bytes, previous: str) -> tuple[bytes, str]:
    """Closes an open JSON object with its hash; returns the whole line and the hash."""
    hashed = blake2b(previous.encode(), digest_size=32)
    hashed.update(body)
    digest = hashed.hexdigest()
    return b'%b,"hash":"%b"}\n' % (body, digest.encode()), digest


def encode_line(entry: JournalEntry, previous: str) -> tuple[bytes, str]:
    """Returns one event as a line of the journal, and its hash."""
    way = b"in" if isinstance(entry.event, Input) else b"out"
    body = b'{"seq":%d,"pos":%d,"io":"%b","event":%b' % (entry.seq, entry.pos, way, _encode(entry.event))
    return seal(body, previous)


class Store(Protocol):
    """The destination of the lines; each store defines what a written line survives."""

    def write(self, line: bytes, /) -> Any:
        """Appends one line."""
        ...

    def flush_before_send(self) -> None:
        """Makes the written lines as safe as this store promises, before an order is sent."""
        ...

    def sync(self) -> None:
        """Makes the written lines survive a power failure, if the store has a disk."""
        ...

    def close(self) -> None:
        """Writes buffered lines, and closes the store."""
        ...


class BufferedStore:
    """A store for virtual time: fast, and lost with the process, because the run can be repeated."""

    def __init__(self, path: Path) -> None:
        self._file: BinaryIO = path.open("ab", buffering=BUFFER_BYTES)
        self.write = self._file.write  # the bound method itself: one call less per event
        with closing_on_error(self._file.close):
            lock(self._file.fileno(), path)

    def flush_before_send(self) -> None:
        """Does nothing: in virtual time no order leaves the process."""

    def sync(self) -> None:
        """Returns once the disk has everything."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Writes buffered lines, and closes the file."""
        self._file.close()


@contextmanager
def closing_on_error(close: Callable[[], None]) -> Iterator[None]:
    """Calls `close` if the body raises."""
    try:
        yield
    except BaseException:  # also KeyboardInterrupt: the file and its lock must not stay open
        close()
        raise


def lock(descriptor: int, path: Path) -> None:
    """Locks a journal against other processes, as long as it is open here.

    Raises Refused if another process holds the lock.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Refused(f"{path.parent.name} is being written by another process; stop that first") from None


class Journal:
    """Appends to a journal through a store, from its start or after its last line."""

    def __init__(self, store: Store, head: str = NO_HASH, lines: int = 0) -> None:
        self._store = store
        self._write = store.write
        self.head = head
        self.lines = lines

    @classmethod
    def begin(cls, store: Store, genesis: dict[str, Any]) -> "Journal":
        """Starts a journal; its first line is the genesis."""
        journal = cls(store)
        line, journal.head = seal(b'{"genesis":%b' % _encode(genesis), NO_HASH)
        store.write(line)
        journal.lines = 1
        return journal

    def append(self, entry: JournalEntry) -> None:
        """Appends one event.

        An order is flushed, because it is sent next; the inputs from which ids derive are synced.
        """
        line, self.head = encode_line(entry, self.head)
        self._write(line)
        self.lines += 1
        kind = type(entry.event)
        if kind is SubmitOrder:
            self._store.flush_before_send()
        elif kind in SYNCED:
            self._store.sync()

    def sync(self) -> None:
        """Makes all lines survive a power failure."""
        self._store.sync()

    def close(self) -> None:
        """Writes buffered lines, and closes the store."""
        self._store.close()


def read(path: Path) -> Iterator[JournalLine]:
    """Yields the lines of a journal, genesis first, each verified before it is yielded.

    A last line without line break is skipped: the process died while it was written. Raises Corrupt at the
    first damaged line, Misconfigured at one that another version wrote and this one cannot read.
    """
    with path.open("rb") as file:
        yield from lines_of(file, path)


def lines_of(file: Iterable[bytes], path: Path) -> Iterator[JournalLine]:
    """Yields the lines of a journal that is already open or in memory; `path` is for messages."""
    previous, writer = NO_HASH, ""
    for number, raw in enumerate(file, start=1):
        # A torn genesis is damage: a run folder is published only after its genesis is written.
        if number > 1 and not raw.endswith(b"\n"):
            break
        line = _verified(raw, previous, f"{path}: line {number}", writer)
        if (line.genesis is not None) != (number == 1):
            msg = f"{path}: line {number} {'is not a' if number == 1 else 'is a second'} genesis"
            raise Corrupt(msg)
        previous, writer = line.hash, writer or _writer(line)
        yield line
    if previous == NO_HASH:
        msg = f"{path} is empty; restore the file"
        raise Corrupt(msg)


def read_tail(path: Path, tail_bytes: int) -> Iterator[JournalLine]:
    """Yields the lines in the last bytes of a journal, each verified against the line before it.

    The first line of that part only has its hash taken. Like `read` otherwise.
    """
    with path.open("rb") as file:
        writer = _writer(_verified(file.readline(), NO_HASH, f"{path}: line 1", ""))
        file.seek(max(path.stat().st_size - tail_bytes, 0))
        file.readline()  # what the part begins with is not a whole line
        previous = ""
        for raw in file:
            if not raw.endswith(b"\n"):
                break
            if previous:
                line = _verified(raw, previous, f"{path}: a line near the end", writer)
                previous = line.hash
                yield line
            else:
                previous = raw[-len('"}\n') - 64 : -len('"}\n')].decode(errors="replace")


def torn_tail_bytes(path: Path) -> int:
    """Returns the length of a last line without line break; 0 if the journal ends with a whole line."""
    with path.open("rb") as file:
        torn = 0
        for raw in file:
            torn = 0 if raw.endswith(b"\n") else len(raw)
    return torn


def _verified(raw: bytes, previous: str, where: str, writer: str) -> JournalLine:
    # Sealing the body again must give the same bytes: this checks the hash and the form of the line.
    body = raw[: -_TAIL_BYTES - 1]
    if seal(body, previous)[0] != raw:
        msg = f"{where} is damaged: its hash does not match its text and the line before; restore the file"
        raise Corrupt(msg)
    try:
        return _decode(raw)
    except msgspec.MsgspecError as error:
        if writer in ("", autohedge.__version__):
            raise Corrupt(f"{where} is whole, but this version cannot read it: {error}") from None
        msg = f"{where} was written by autohedge {writer} and cannot be read by this version ({error})"
        raise Misconfigured(f"{msg}; use that version") from None


def _writer(line: JournalLine) -> str:
    """Returns the version that wrote the journal with this first line."""
    return str((line.genesis or {}).get("autohedge", ""))
