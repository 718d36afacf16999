"""Opens live stores as tapes: a closed one is a tape like any other, an open one still grows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from autohedge.core.errors import Corrupt, Misconfigured
from autohedge.market.bars import count_bad_bars
from autohedge.market.columns import hash_columns
from autohedge.market.cursor import MarketCursor
from autohedge.market.live_store import LiveStore
from autohedge.market.reads import Reads, arranged, tape_of
from autohedge.market.rows import Rows
from autohedge.market.sources import TapeSource
from autohedge.market.store_cursor import StoreCursor
from autohedge.market.store_derived import StoreDeriver, reopen_derived
from autohedge.market.store_files import is_store
from autohedge.market.store_streams import stream_of
from autohedge.market.stream import Kind, Origin, Stream
from autohedge.market.tape import Tape


def store_among(sources: Sequence[TapeSource]) -> Path | None:
    """Returns the folder of the live store that a tape is; None if it is made of files.

    Raises Misconfigured for a store beside other sources, or with a symbol, because it has its own.
    """
    store = next((source for source in sources if is_store(source.path)), None)
    if store is None:
        return None
    if store.select or len(sources) > 1:
        raise Misconfigured(
            f"{store.path}: a live store has its own symbols; write --tape {store.path} alone"
        )
    return store.path.absolute()


def open_store(folder: Path, *, growing: bool, reads: Reads) -> Tape:
    """Returns a store as a tape with all its streams; an open one only if the caller follows it (`growing`).

    Raises Misconfigured for an open store otherwise, for a closed one without rows, and if an instrument has no
    prices; Corrupt if it is damaged.
    """
    store = LiveStore(folder)
    if store.closed and not store.count:
        raise Misconfigured(f"{folder}: is closed and has no rows; name another store")
    streams = [stream_of(store, number, origin) for number, origin in enumerate(_origins(store))]
    tape = _tape(store, arranged(streams, reads, StoreDeriver()))
    if not growing:
        tape.require_finished()
    return tape


def reopen_store(
    origins: Sequence[Origin], packed: Path | None, reached: Sequence[tuple[int, int]] = ()
) -> Tape:
    """Returns the store of a recorded run, or some of its streams; a copy in the folder `packed` has priority.

    `reached` says when a clock has finished bars, see `StoreCursor`.

    Raises Misconfigured if it is missing, Corrupt if it is another or its content has changed.
    """
    store, streams = _reopened(origins, packed)
    given = [stream for stream in streams if stream.origin.derived is None]
    if store.tables.order is None and len(given) < len(store.manifest.streams):
        return tape_of(streams)
    return _tape(store, streams, reached)


def reopen_store_streams(origins: Sequence[Origin], packed: Path | None) -> list[Stream]:
    """Returns the streams of the store of a recorded run; raises as `reopen_store` does."""
    store, streams = _reopened(origins, packed)
    if any(origin.derived for origin in origins):
        StoreCursor(store, streams)  # makes their rows
    return streams


def _reopened(origins: Sequence[Origin], packed: Path | None) -> tuple[LiveStore, list[Stream]]:
    folder = _folder_of(origins[0], packed)
    store = LiveStore(folder)
    there = {_key(each): each for each in _origins(store, hashed=bool(origins[0].content_hash))}
    streams: list[Stream] = []
    for origin in origins:
        if origin.derived is not None:
            streams.append(reopen_derived(origin, streams))
            continue
        found = there.get(_key(origin))
        if found is None or found.store != origin.store:
            raise Corrupt(f"{folder}: is another store than the one that the run traded; restore that one")
        if origin.content_hash != found.content_hash:
            raise Corrupt(f"{folder}: its content differs from the recorded tape; restore that version")
        streams.append(stream_of(store, list(there).index(_key(origin)), origin))
    return store, streams


def _key(origin: Origin) -> tuple[str, Kind, int]:
    return origin.symbol, origin.kind, origin.interval_ns


def _folder_of(origin: Origin, packed: Path | None) -> Path:
    copy = packed / (origin.store or "") if packed else None
    folder = copy if copy and is_store(copy) else Path(origin.path or "")
    if not is_store(folder):
        raise Misconfigured(f"{folder}: the store of the run is missing; restore the folder and try again")
    return folder


def _origins(store: LiveStore, *, hashed: bool = True) -> list[Origin]:
    """Returns the origins of a store's streams; those of a closed one have its content hash."""
    whole = store.closed and hashed
    found = _content_hash(store) if whole else ""
    counts = store.counts(store.count).tolist()
    return [
        Origin(
            symbol=stream.symbol,
            kind=stream.kind,
            rows=counts[number] if whole else 0,
            content_hash=found,
            path=str(store.folder),
            interval_ns=stream.interval_ns,
            bad_bars=_bad_bars(store, number) if whole else 0,
            store=store.manifest.id,
        )
        for number, stream in enumerate(store.manifest.streams)
    ]


def _content_hash(store: LiveStore) -> str:
    hashes = [hash_columns(store.content(table)) for table in store.tables.all]
    return hashes[0] if len(hashes) == 1 else blake2b("".join(hashes).encode(), digest_size=32).hexdigest()


def _bad_bars(store: LiveStore, number: int) -> int:
    if store.manifest.streams[number].kind is not Kind.BARS:
        return 0
    return count_bad_bars(store.columns(store.tables.streams[number]))


@dataclass(frozen=True, slots=True)
class _OpenedStore:
    """The live store that a tape is; `cut` returns the part of a tape of it that this one is."""

    store: LiveStore
    cursor: MarketCursor
    cut: Callable[[Tape], Tape] = lambda tape: tape

    def read_by(self, tape: Tape, reads: Reads) -> Tape:
        """Returns a tape of this store with the rows that another strategy takes."""
        whole = [_whole(stream) for stream in tape.streams]
        streams = arranged(whole, reads, StoreDeriver())
        if [stream.origin for stream in streams] == [stream.origin for stream in whole]:
            return tape
        return self.cut(_tape(self.store, streams))

    def between(self, t0_ns: int, t1_ns: int, rows: Rows) -> "_OpenedStore":
        """Returns the store of a tape with some of its rows, those of a time."""
        return _OpenedStore(self.store, rows, lambda tape: self.cut(tape).between(t0_ns, t1_ns))


def _whole(stream: Stream) -> Stream:
    return Stream(stream.kind, stream.symbol, stream.columns, stream.origin.whole(), stream.messages)


def _tape(store: LiveStore, streams: Sequence[Stream], reached: Sequence[tuple[int, int]] = ()) -> Tape:
    cursor: MarketCursor = StoreCursor(store, streams, reached)
    if store.tables.order is None and cursor.rows is store.rows:
        cursor = store.rows if store.closed else store  # quotes alone are sealed as those of files
    return Tape(tuple(streams), cursor.rows, None if store.closed else cursor, _OpenedStore(store, cursor))
