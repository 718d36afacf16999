"""Opens live stores as tapes: a closed one is a tape like any other, an open one still grows."""

from collections.abc import Sequence
from pathlib import Path

from autohedge.core.errors import Corrupt, Misconfigured
from autohedge.market.columns import hash_columns
from autohedge.market.live_store import LaneColumns, LiveStore
from autohedge.market.reads import Reads, tape_of
from autohedge.market.rows import ROW_COLUMNS
from autohedge.market.sources import TapeSource
from autohedge.market.store_files import is_store
from autohedge.market.stream import Origin, Stream
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
    """Returns a store as a tape with all its symbols; an open one only if the caller follows it (`growing`).

    Raises Misconfigured for an open store otherwise, and for a closed one without rows; Corrupt if it is damaged.
    """
    store = LiveStore(folder)
    if store.closed and not len(store.rows):
        raise Misconfigured(f"{folder}: is closed and has no rows; name another store")
    tape = _tape(store, _origins(store))
    if not growing:
        tape.require_finished()
    return tape


def reopen_store(origins: Sequence[Origin], packed: Path | None) -> Tape:
    """Returns the store of a recorded run, or some of its symbols; a copy in the folder `packed` has priority.

    Raises Misconfigured if it is missing, Corrupt if it is another or its content has changed.
    """
    folder = _folder_of(origins[0], packed)
    store = LiveStore(folder)
    there = {origin.symbol: origin for origin in _origins(store, hashed=bool(origins[0].content_hash))}
    for origin in origins:
        found = there.get(origin.symbol)
        if found is None or found.store != origin.store:
            raise Corrupt(f"{folder}: is another store than the one that the run traded; restore that one")
        if origin.content_hash != found.content_hash:
            raise Corrupt(f"{folder}: its content differs from the recorded tape; restore that version")
    if [origin.symbol for origin in origins] == list(there):
        return _tape(store, origins)
    lanes = list(there)
    return tape_of([_stream(store, lanes.index(origin.symbol), origin) for origin in origins])


def _folder_of(origin: Origin, packed: Path | None) -> Path:
    copy = packed / (origin.store or "") if packed else None
    folder = copy if copy and is_store(copy) else Path(origin.path or "")
    if not is_store(folder):
        raise Misconfigured(f"{folder}: the store of the run is missing; restore the folder and try again")
    return folder


def _origins(store: LiveStore, *, hashed: bool = True) -> list[Origin]:
    """Returns the origins of a store's symbols; those of a closed one have its content hash."""
    rows, manifest = store.rows, store.manifest
    whole = store.closed and hashed
    found = hash_columns({name: getattr(rows, name) for name in ROW_COLUMNS}) if whole else ""
    return [
        Origin(
            symbol=stream.symbol,
            kind=stream.kind,
            rows=int((rows.lane == lane).sum()) if whole else 0,
            content_hash=found,
            path=str(store.folder),
            store=manifest.id,
        )
        for lane, stream in enumerate(manifest.streams)
    ]


def _tape(store: LiveStore, origins: Sequence[Origin]) -> Tape:
    streams = tuple(_stream(store, lane, origin) for lane, origin in enumerate(origins))
    return Tape(streams, store.rows, None if store.closed else store)


def _stream(store: LiveStore, lane: int, origin: Origin) -> Stream:
    return Stream(origin.kind, origin.symbol, LaneColumns(store, lane), origin)
