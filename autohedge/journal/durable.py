"""The store of a run on a clock: a line has left this process before anything follows from it.

`process` survives the death of the process, and that of the machine but for the last 100 ms: a
thread syncs behind. `power` also syncs each order before it leaves. A full disk does not stop the
record at once: a reserve is given up, so that exits and cancels stay journaled while entries halt.
"""

import contextlib
import os
import threading
from collections.abc import Callable
from pathlib import Path

from autohedge.core.errors import Unavailable
from autohedge.journal.chain import closing_on_error, lock
from autohedge.journal.folder import sync_names

RESERVE_BYTES = 16 << 20
SYNC_PAUSE_S = 0.05
_datasync: Callable[[int], None] = getattr(os, "fdatasync", os.fsync)


class DurableStore:
    """A file that takes whole lines or nothing.

    `fault` says what is wrong with the disk, once anything is; the caller must stop entries
    then. Raises Refused where another process writes the file, Unavailable where no more can be
    written at all.
    """

    def __init__(self, path: Path, *, power: bool = False) -> None:
        self.path = path
        self.fault: str | None = None
        self.power = power
        self._reserve = path.with_name("reserve")
        try:
            self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise Unavailable(f"cannot write {path}: {error.strerror}; run where you may write") from None
        with closing_on_error(lambda: os.close(self._descriptor)):
            lock(self._descriptor, path)
        self._size = os.fstat(self._descriptor).st_size
        self._sync_names()
        self.reserve()
        self._dirty, self._closing = threading.Event(), threading.Event()
        self._syncer = threading.Thread(target=self._sync_behind, name="journal sync", daemon=True)
        self._syncer.start()

    def _sync_names(self) -> None:
        """A record that survives a power failure must still be found under its name."""
        os.fsync(self._descriptor)
        for folder in (self.path.parent, self.path.parent.parent):
            sync_names(folder)

    def reserve(self) -> bool:
        """Set room aside for a full disk; say whether there was enough."""
        try:
            with self._reserve.open("wb") as file:
                for _ in range(RESERVE_BYTES >> 20):
                    file.write(bytes(1 << 20))
        except OSError as error:
            self._reserve.unlink(missing_ok=True)
            self.fault = f"no room for the journal's reserve: {error.strerror}"
            return False
        self.fault = None
        return True

    def write(self, line: bytes) -> None:
        """Hand a line to the operating system; on a full disk, at the expense of the reserve."""
        try:
            self._write_whole(line)
        except OSError as error:
            self._reserve.unlink(missing_ok=True)
            self.fault = f"the journal met a full or broken disk: {error.strerror}"
            self._write_or_fail(line)
        self._size += len(line)
        self._dirty.set()

    def flush_before_send(self) -> None:
        """With `power`: the disk has everything before this returns."""
        if self.power:
            self.sync()

    def sync(self) -> None:
        """The disk has everything before this returns."""
        try:
            _datasync(self._descriptor)
        except OSError as error:
            raise self._unwritable(error) from None

    def truncate_torn(self, torn_bytes: int) -> None:
        """Move a last line that was never whole from the journal to a file beside it."""
        with self.path.open("rb") as file:
            file.seek(self._size - torn_bytes)
            torn = file.read()
        self._size -= torn_bytes
        if torn:
            self.path.with_name(f"torn-at-{self._size}").write_bytes(torn)
        os.ftruncate(self._descriptor, self._size)

    def close(self) -> None:
        """Sync what is left, give the reserve back, and close."""
        self._closing.set()
        self._dirty.set()
        self._syncer.join()
        with contextlib.suppress(OSError):
            os.fsync(self._descriptor)
        os.close(self._descriptor)
        self._reserve.unlink(missing_ok=True)

    def _write_whole(self, line: bytes) -> None:
        """Write all of a line, or cut off what was written of it."""
        left = memoryview(line)
        try:
            while left:
                left = left[os.write(self._descriptor, left) :]
        except OSError:
            os.ftruncate(self._descriptor, self._size)
            raise

    def _write_or_fail(self, line: bytes) -> None:
        try:
            self._write_whole(line)
        except OSError as error:
            raise self._unwritable(error) from None

    def _unwritable(self, error: OSError) -> Unavailable:
        text = f"cannot write {self.path}: {error.strerror}; nothing unrecorded has left. Make room"
        return Unavailable(f"{text}, then: autohedge restart {self.path.parent.name}")

    def _sync_behind(self) -> None:
        """Sync whenever something was written, at most twenty times a second."""
        while not self._closing.is_set():
            self._dirty.wait()
            self._dirty.clear()
            try:
                os.fsync(self._descriptor)
            except OSError as error:
                self.fault = f"the disk does not take the journal: {error.strerror}"
            self._closing.wait(SYNC_PAUSE_S)
