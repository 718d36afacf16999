"""The files of a live store: a manifest, the number of rows, and one file per column.

    store.json   the store's id, its symbols and their kinds
    state        the number of complete rows, and whether the store is closed
    ts, lane, bid, ask, bid_size, ask_size    the columns: int64, int32 and float64, little-endian

Rows are appended and never changed. Their bytes are in the columns before the number in `state` counts them, so
whatever kills the writer, the rows that are counted are whole. The columns may be longer than that.
"""

import os
import struct
from pathlib import Path
from typing import NamedTuple

import msgspec

from autohedge.core.errors import Corrupt, Misconfigured
from autohedge.market.stream import Kind

FORMAT = 1
MANIFEST, STATE = "store.json", "state"
_STATE = struct.Struct("<qqQ")  # rows, 1 if closed, the XXH3-64 of both
_TRIES = 100


class StoreStream(msgspec.Struct, frozen=True):
    """A symbol of a store; its position in the manifest is its lane."""

    symbol: str
    kind: Kind = Kind.QUOTES


class StoreManifest(msgspec.Struct, frozen=True):
    """What a store holds; `id` is random, so that another store in the same folder is not taken for it."""

    format: int
    id: str
    streams: tuple[StoreStream, ...]


class StoreState(NamedTuple):
    """How many rows are complete, and whether no more will come."""

    rows: int
    closed: bool


def is_store(folder: Path) -> bool:
    """Returns whether a path is the folder of a live store."""
    return (folder / MANIFEST).is_file()


def read_manifest(folder: Path) -> StoreManifest:
    """Returns the manifest of a store. Raises Corrupt if it is damaged, Misconfigured for another format."""
    path = folder / MANIFEST
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=StoreManifest)
    except (OSError, msgspec.MsgspecError) as error:
        raise Corrupt(f"{path} is damaged ({error}); restore the file") from None
    if manifest.format != FORMAT:
        raise Misconfigured(f"{path}: has format {manifest.format}; this version reads format {FORMAT}")
    return manifest


def read_state(descriptor: int, folder: Path) -> StoreState:
    """Returns the state of a store. Raises Corrupt if it is damaged."""
    for _ in range(_TRIES):  # a read can meet a write halfway
        content = os.pread(descriptor, _STATE.size, 0)
        if len(content) == _STATE.size and content == encode_state(*_STATE.unpack(content)[:2]):
            rows, closed, _ = _STATE.unpack(content)
            return StoreState(rows, bool(closed))
    raise Corrupt(f"{folder / STATE} is damaged; restore the file")


def encode_state(rows: int, closed: int) -> bytes:
    """Returns the content of the file `state`."""
    import xxhash

    plain = struct.pack("<qq", rows, closed)
    return plain + struct.pack("<Q", xxhash.xxh3_64_intdigest(plain))
