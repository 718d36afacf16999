"""Appends rows to a live store, one writer at a time."""

import fcntl
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
import numpy as np

from autohedge.core.errors import Corrupt, Misconfigured, Refused, Unavailable
from autohedge.core.ids import fresh_nonce, random_suffix
from autohedge.market.columns import Column, dtype_of
from autohedge.market.rows import ROW_COLUMNS, Rows
from autohedge.market.store_files import (
    FORMAT,
    MANIFEST,
    STATE,
    StoreManifest,
    StoreStream,
    encode_state,
    read_manifest,
    read_state,
)
from autohedge.market.stream import Kind
from autohedge.market.tape import require_distinct

ROOM_ROWS = 1 << 16  # by which the files grow at a time, so that a reader seldom maps them again


class LiveStoreWriter:
    """Creates the live store in a folder, or goes on with one whose writer has ended.

    As a context manager it closes the store, and after an exception only releases it. With `power`, rows survive a
    power failure before they are counted.

    Raises Refused if another process writes the store, Misconfigured if the folder holds something else, another
    store or a closed one, Corrupt if the store is damaged, Unavailable if it cannot be written.
    """

    def __init__(self, folder: Path, symbols: Sequence[str], *, power: bool = False) -> None:
        require_distinct([(symbol, Kind.QUOTES, 0) for symbol in symbols])
        self.folder, self.power = folder, power
        self._lanes = len(symbols)
        self._files: dict[str, int] = {}
        try:
            if not folder.exists() or not any(folder.iterdir()):
                _create(folder, symbols)
            self._open(symbols)
        except OSError as error:
            self.release()
            raise self._unwritable(error) from None
        except BaseException:
            self.release()
            raise

    def __len__(self) -> int:
        return self._rows

    def append(self, rows: Rows) -> None:
        """Appends rows, whose lanes are positions among the store's symbols.

        Raises Misconfigured if one goes back in time or is of another lane; then none of them is appended.
        Raises Unavailable if they cannot be written.
        """
        self._require_going_on()
        if not len(rows):
            return
        self._require_appendable(rows)
        try:
            self._make_room(self._rows + len(rows))
            for name in ROW_COLUMNS:
                self._write(name, getattr(rows, name))
            self._count(self._rows + len(rows), closed=False)
        except OSError as error:
            raise self._unwritable(error) from None
        self._last_ns = int(rows.ts[-1])

    def close(self) -> None:
        """Closes the store: no more rows will come. Raises Unavailable if that cannot be written."""
        self._require_going_on()
        try:
            for name in ROW_COLUMNS:
                os.ftruncate(self._files[name], self._rows * dtype_of(name).itemsize)
            self._count(self._rows, closed=True)
        except OSError as error:
            raise self._unwritable(error) from None
        self.release()

    def release(self) -> None:
        """Leaves the store open to the next writer."""
        for descriptor in self._files.values():
            os.close(descriptor)
        self._files.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None and self._files:
                self.close()
        finally:
            self.release()

    def _open(self, symbols: Sequence[str]) -> None:
        folder = self.folder
        if not (folder / MANIFEST).is_file():
            raise Misconfigured(f"{folder}: is no live store; name one that is empty or absent")
        manifest = read_manifest(folder)
        held = tuple(stream.symbol for stream in manifest.streams)
        if held != tuple(symbols):
            raise Misconfigured(
                f"{folder}: holds {', '.join(held)}, not {', '.join(symbols)}; name another folder"
            )
        for name in (STATE, *ROW_COLUMNS):
            self._files[name] = os.open(folder / name, os.O_RDWR)
        try:
            fcntl.flock(self._files[STATE], fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refused(f"{folder}: another process writes this store; stop that first") from None
        self._rows, closed = read_state(self._files[STATE], folder)
        if closed:
            raise Misconfigured(f"{folder}: the store is closed; name another folder for new rows")
        self._room = 0
        self._cut_torn_rows()
        self._last_ns = self._last_time()

    def _cut_torn_rows(self) -> None:
        """Cuts off what the last writer has not counted."""
        for name in ROW_COLUMNS:
            size = self._rows * dtype_of(name).itemsize
            if os.fstat(self._files[name]).st_size < size:
                raise Corrupt(f"{self.folder / name}: has fewer than {self._rows:,} rows; restore the file")
            os.ftruncate(self._files[name], size)

    def _last_time(self) -> int:
        if not self._rows:
            return 0
        size = dtype_of("ts").itemsize
        content = os.pread(self._files["ts"], size, (self._rows - 1) * size)
        return int(np.frombuffer(content, dtype_of("ts"))[0])

    def _require_going_on(self) -> None:
        """Raises Misconfigured once the store is closed or released: another writer may have it by now."""
        if not self._files:
            raise Misconfigured(f"{self.folder}: this writer has ended; open another one")

    def _require_appendable(self, rows: Rows) -> None:
        times = np.concatenate(([self._last_ns], rows.ts)) if self._rows else rows.ts
        late = np.flatnonzero(times[1:] < times[:-1])
        if len(late):
            at = int(late[0]) + 1
            row = self._rows + at - (1 if self._rows else 0)
            raise Misconfigured(
                f"{self.folder}: row {row} goes back in time, from {times[at - 1]} to {times[at]}; "
                "append rows in the order in which they became known"
            )
        if not 0 <= int(rows.lane.min()) <= int(rows.lane.max()) < self._lanes:
            raise Misconfigured(
                f"{self.folder}: a lane is outside 0..{self._lanes - 1}; it is the symbol's position"
            )

    def _make_room(self, rows: int) -> None:
        if rows <= self._room:
            return
        self._room = -(-rows // ROOM_ROWS) * ROOM_ROWS
        for name in ROW_COLUMNS:
            os.ftruncate(self._files[name], self._room * dtype_of(name).itemsize)

    def _write(self, name: str, values: Column) -> None:
        block: Any = np.ascontiguousarray(values, dtype_of(name)).data.cast("B")
        at = self._rows * dtype_of(name).itemsize
        while block:
            written = os.pwrite(self._files[name], block, at)
            block, at = block[written:], at + written

    def _count(self, rows: int, *, closed: bool) -> None:
        """Makes rows visible, whose bytes are in the columns."""
        if self.power:
            for name in ROW_COLUMNS:
                os.fsync(self._files[name])
        os.pwrite(self._files[STATE], encode_state(rows, closed), 0)
        if self.power:
            os.fsync(self._files[STATE])
        self._rows = rows

    def _unwritable(self, error: OSError) -> Unavailable:
        return Unavailable(
            f"{self.folder}: the store cannot be written ({error.strerror}); make room and go on"
        )


def _create(folder: Path, symbols: Sequence[str]) -> None:
    """Creates an empty store: whole, or not at all."""
    streams = tuple(StoreStream(symbol) for symbol in symbols)
    draft = folder.with_name(f".{folder.name}-{random_suffix()}")
    draft.mkdir(parents=True)
    try:
        for name in ROW_COLUMNS:
            (draft / name).touch()
        (draft / STATE).write_bytes(encode_state(0, closed=False))
        manifest = StoreManifest(FORMAT, fresh_nonce(), streams)
        (draft / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest)))
        draft.rename(folder)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
