"""The files of a live store: a manifest, the number of rows, and one file per column.

    store.json   the store's id and its streams
    state        the number of complete rows, and whether the store is closed
    ts, lane, bid, ask, bid_size, ask_size    the quotes of all symbols: int64, int32 and float64, little-endian

A store of quotes alone has format 1. With streams of other kinds it has format 2, and these files too:

    order        the stream of each row, as its position in the manifest, in the order in which the rows came
    N.COLUMN     the columns of stream N; those of a book are messages, and side, price and size are its levels

Rows are appended and never changed. Their bytes are in the columns before the number in `state` counts them, so
whatever kills the writer, the rows that are counted are whole. The columns may be longer than that.
"""

import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Self

import msgspec
import numpy as np

from autohedge.core.errors import Corrupt, Misconfigured
from autohedge.market.bars import length_text
from autohedge.market.columns import dtype_of
from autohedge.market.rows import ROW_COLUMNS
from autohedge.market.stream import COLUMNS, OPTIONAL, SIDE_VOLUMES, Kind, Stream

QUOTES_FORMAT, FORMAT = 1, 2
MANIFEST, STATE, ORDER = "store.json", "state", "order"
LEVELS = ("side", "price", "size")
_STATE = struct.Struct("<qqQ")  # rows, 1 if closed, the XXH3-64 of both
_TRIES = 100


class StoreStream(msgspec.Struct, frozen=True):
    """A stream of a store; its position in the manifest is its number, of quotes also the lane.

    `interval_ns` is the length of bars; `has_side_volumes` says whether the store keeps their volume by side. The levels
    of a book are known by the key `round(price / tick)`; `sequenced` says whether its messages have sequence numbers.
    """

    symbol: str
    kind: Kind = Kind.QUOTES
    interval_ns: int = 0
    tick: float = 0.0
    sequenced: bool = False
    has_side_volumes: bool = False

    @classmethod
    def of(cls, stream: Stream) -> Self:
        """Returns what a store needs to know to take the rows of a stream."""
        has_side_volumes = stream.kind is Kind.BARS and any(name in SIDE_VOLUMES for name in stream.columns)
        found = cls(stream.symbol, stream.kind, stream.origin.interval_ns, has_side_volumes=has_side_volumes)
        if stream.messages is None:
            return found
        messages = stream.messages.now
        return msgspec.structs.replace(found, tick=messages.tick, sequenced=messages.sequenced)

    @property
    def key(self) -> tuple[str, Kind, int]:
        """What a store may have once, as `Stream.key`."""
        return self.symbol, self.kind, self.interval_ns

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of its rows in files: also optional ones of bars; of a book's message the end of its levels."""
        if self.kind is Kind.BARS:
            optional = (name for name in OPTIONAL if self.has_side_volumes or name not in SIDE_VOLUMES)
            return (*COLUMNS[self.kind], *optional)
        return tuple(
            "end" if name == "start" and self.kind is Kind.BOOK else name for name in COLUMNS[self.kind]
        )

    @property
    def name(self) -> str:
        """What messages call it: "trades of BTC", "1m bars of BTC"."""
        length = f"{length_text(self.interval_ns)} " if self.interval_ns else ""
        return f"{length}{self.kind} of {self.symbol}"


class StoreManifest(msgspec.Struct, frozen=True):
    """What a store holds; `id` is random, so that another store in the same folder is not taken for it."""

    format: int
    id: str
    streams: tuple[StoreStream, ...]

    @property
    def quotes(self) -> int:
        """The number of streams of quotes, which come first."""
        return sum(stream.kind is Kind.QUOTES for stream in self.streams)


class StoreState(NamedTuple):
    """How many rows are complete, and whether no more will come."""

    rows: int
    closed: bool


@dataclass(frozen=True)
class StoreTable:
    """Files of one length: the rows of a stream, all quotes, the levels of a book, or the order of all rows.

    `files` are their names by column.
    """

    name: str
    files: dict[str, str]

    @cached_property
    def itemsizes(self) -> dict[str, int]:
        """The bytes of an entry by column."""
        return {column: file_dtype(file).itemsize for column, file in self.files.items()}

    def bytes_of(self, column: str, rows: int) -> int:
        """Returns the length of a column's file with so many rows."""
        return rows * self.itemsizes[column]


def file_dtype(file: str) -> np.dtype[Any]:
    """Returns the type of the entries of a file."""
    return dtype_of("lane" if file == ORDER else file.rpartition(".")[2])


class StoreTables:
    """The tables of a store: `all` of them, the one of each stream, and that of the levels of each book."""

    def __init__(self, manifest: StoreManifest) -> None:
        self.quotes = StoreTable("quotes", {name: name for name in ROW_COLUMNS})
        self.order = StoreTable("order of the rows", {ORDER: ORDER}) if manifest.format == FORMAT else None
        self.streams: list[StoreTable] = []
        self.levels: dict[int, StoreTable] = {}
        for number, stream in enumerate(manifest.streams):
            self._add(number, stream)
        own = [table for table in self.streams if table is not self.quotes]
        self.all = [self.quotes, *own, *self.levels.values(), *([self.order] if self.order else [])]

    def _add(self, number: int, stream: StoreStream) -> None:
        if stream.kind is Kind.QUOTES:
            self.streams.append(self.quotes)
            return
        self.streams.append(StoreTable(stream.name, _files(number, stream.columns)))
        if stream.kind is Kind.BOOK:
            self.levels[number] = StoreTable(f"levels of the {stream.name}", _files(number, LEVELS))

    @property
    def files(self) -> list[str]:
        """The names of all files of columns."""
        return [file for table in self.all for file in table.files.values()]


def _files(number: int, columns: Sequence[str]) -> dict[str, str]:
    return {column: f"{number}.{column}" for column in columns}


def is_store(folder: Path) -> bool:
    """Returns whether a path is the folder of a live store."""
    return (folder / MANIFEST).is_file()


def manifest_of(store_id: str, streams: Sequence[StoreStream]) -> StoreManifest:
    """Returns the manifest of a store with these streams, quotes first, in the lowest format that can hold them."""
    alone = all(stream.kind is Kind.QUOTES for stream in streams)
    return StoreManifest(QUOTES_FORMAT if alone else FORMAT, store_id, tuple(streams))


def encode_manifest(manifest: StoreManifest) -> bytes:
    """Returns the content of the file `store.json`, without what says nothing."""
    values = msgspec.to_builtins(manifest)
    values["streams"] = [
        {name: value for name, value in each.items() if value or name == "symbol"}
        for each in values["streams"]
    ]
    return msgspec.json.format(msgspec.json.encode(values))


def read_manifest(folder: Path) -> StoreManifest:
    """Returns the manifest of a store. Raises Corrupt if it is damaged, Misconfigured for another format."""
    path = folder / MANIFEST
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=StoreManifest)
    except (OSError, msgspec.MsgspecError) as error:
        raise Corrupt(f"{path} is damaged ({error}); restore the file") from None
    if manifest.format not in (QUOTES_FORMAT, FORMAT):
        known = f"formats {QUOTES_FORMAT} and {FORMAT}"
        raise Misconfigured(f"{path}: has format {manifest.format}; this version reads {known}")
    kinds = [stream.kind for stream in manifest.streams]
    if Kind.QUOTES in kinds[manifest.quotes :] or (manifest.format == FORMAT) != bool(
        kinds[manifest.quotes :]
    ):
        raise Corrupt(f"{path} is damaged (its streams do not fit its format); restore the file")
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
