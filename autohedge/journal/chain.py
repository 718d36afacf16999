"""The journal: one JSON line per event, each closed by a hash over itself and the line before.

The first line is the genesis: what the run was made of. A changed, missing or inserted line
breaks the chain from there on; the hash of the last line, kept in `results.json`, shows a cut
tail. Hashes are BLAKE2b-256.
"""

import fcntl
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import msgspec

from autohedge.core.errors import Corrupt, Refused
from autohedge.core.events import AnyEvent, Input, JournalEntry, Restarted, RunStarted, SubmitOrder

NO_HASH = "0" * 64
SYNCED = (RunStarted, Restarted)
BUFFER_BYTES = 1 << 20
_TAIL_BYTES = len(',"hash":""}') + 64

_encode = msgspec.json.Encoder(decimal_format="string").encode


class JournalLine(msgspec.Struct, frozen=True):
    """One line of a journal, verified: the genesis has no event, all others have no genesis."""

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
    """Close an open JSON object with its hash; return the whole line and the hash."""
    digest = blake2b(previous.encode() + body, digest_size=32).hexdigest()
    return b'%b,"hash":"%b"}\n' % (body, digest.encode()), digest


def encode_line(entry: JournalEntry, previous: str) -> tuple[bytes, str]:
    """One event as a line of the journal, and its hash."""
    way = b"in" if isinstance(entry.event, Input) else b"out"
    body = b'{"seq":%d,"pos":%d,"io":"%b","event":%b' % (entry.seq, entry.pos, way, _encode(entry.event))
    return seal(body, previous)


class Store(Protocol):
    """Where lines go; how safe a line is after `write` is the store's promise."""

    def write(self, line: bytes, /) -> Any:
        """Add one line."""
        ...

    def flush_before_send(self) -> None:
        """Make what was written survive what this store promises to survive, before an order leaves."""
        ...

    def sync(self) -> None:
        """Make what was written survive a power failure, where there is a disk."""
        ...

    def close(self) -> None:
        """Write what is left, and close."""
        ...


class BufferedStore:
    """A store for virtual time: fast, and lost with the process, for a run can be made again."""

    def __init__(self, path: Path) -> None:
        self._file: BinaryIO = path.open("ab", buffering=BUFFER_BYTES)
        self.write = self._file.write
        with closing_on_error(self._file.close):
            lock(self._file.fileno(), path)

    def flush_before_send(self) -> None:
        """Nothing: there is no order that could leave."""

    def sync(self) -> None:
        """Nothing: the run can be made again."""

    def close(self) -> None:
        """Write what is left, and close."""
        self._file.close()


@contextmanager
def closing_on_error(close: Callable[[], None]) -> Iterator[None]:
    """Close what was opened if what follows fails."""
    try:
        yield
    except BaseException:
        close()
        raise


def lock(descriptor: int, path: Path) -> None:
    """Keep every other process from writing this journal, as long as it is open here.

    Raises Refused where another process has it.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Refused(f"{path.parent.name} is being written by another process; stop that first") from None


class Journal:
    """Appends to a journal, new or continued after its last line, through a store."""

    def __init__(self, store: Store, head: str = NO_HASH, lines: int = 0) -> None:
        self._store = store
        self._write = store.write
        self.head = head
        self.lines = lines

    @classmethod
    def begin(cls, store: Store, genesis: dict[str, Any]) -> "Journal":
        """A new journal: its first line says what the run is made of."""
        journal = cls(store)
        line, journal.head = seal(b'{"genesis":%b' % _encode(genesis), NO_HASH)
        store.write(line)
        journal.lines = 1
        return journal

    def append(self, entry: JournalEntry) -> None:
        """Add one event; an order is secured, for it leaves next, and what ids derive from is synced."""
        line, self.head = encode_line(entry, self.head)
        self._write(line)
        self.lines += 1
        if isinstance(entry.event, SubmitOrder):
            self._store.flush_before_send()
        elif isinstance(entry.event, SYNCED):
            self._store.sync()

    def close(self) -> None:
        """Write what is left, and close."""
        self._store.close()


def read(path: Path) -> Iterator[JournalLine]:
    """The lines of a journal, genesis first, each verified before it is given out.

    A last line without its line break was being written when the process died: it is left out.
    Raises Corrupt at the first damaged line.
    """
    with path.open("rb") as file:
        yield from lines_of(file, path)


def lines_of(file: Iterable[bytes], path: Path) -> Iterator[JournalLine]:
    """The same for a journal that is open already, or lies in memory; `path` is for messages."""
    previous = NO_HASH
    for number, raw in enumerate(file, start=1):
        if number > 1 and not raw.endswith(b"\n"):
            break
        line = _verified(raw, previous, path, number)
        if (line.genesis is not None) != (number == 1):
            msg = f"{path}: line {number} {'is no' if number == 1 else 'is a second'} genesis"
            raise Corrupt(msg)
        previous = line.hash
        yield line
    if previous == NO_HASH:
        msg = f"{path} is empty"
        raise Corrupt(msg)


def torn_tail_bytes(path: Path) -> int:
    """How many bytes of a last line without line break a journal ends with; 0 if it ends whole."""
    with path.open("rb") as file:
        torn = 0
        for raw in file:
            torn = 0 if raw.endswith(b"\n") else len(raw)
    return torn


def _verified(raw: bytes, previous: str, path: Path, number: int) -> JournalLine:
    body = raw[: -_TAIL_BYTES - 1]
    if seal(body, previous)[0] != raw:
        msg = f"{path}: line {number} is damaged: its hash does not fit its text and the line before"
        raise Corrupt(msg)
    try:
        return _decode(raw)
    except msgspec.MsgspecError as error:
        msg = f"{path}: line {number} is whole, but this version cannot read it: {error}"
        raise Corrupt(msg) from None
