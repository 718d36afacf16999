"""The store of a run in real time: a line reaches the operating system before `write` returns.

With `process` durability the record survives the death of the process, and that of the machine except for
about the last 100 ms, because a thread syncs continuously. With `power` each order is also synced before it
is sent. A full disk does not stop the record at once: a reserve file is deleted, so that exits and cancels
are still journaled while entries halt.
"""

import contextlib
import os
import shlex
import threading
from collections.abc import Callable
from pathlib import Path

from autohedge.core.errors import Unavailable
from autohedge.journal.chain import closing_on_error, lock
from autohedge.journal.folder import RunFolder, sync_names

RESERVE_BYTES = 16 << 20
SYNC_PAUSE_S = 0.05
# fdatasync omits metadata such as the modification time, which saves a disk write; macOS does not have it.
_datasync: Callable[[int], None] = getattr(os, "fdatasync", os.fsync)


def append_whole(descriptor: int, content: bytes, size: int) -> None:
    """Appends to a file of `size` bytes: all of the content, or nothing of it where that raises OSError."""
    left = memoryview(content)
    try:
        while left:
            left = left[os.write(descriptor, left) :]
    except OSError:
        # What was written of it would tear the line that is written next.
        os.ftruncate(descriptor, size)
        raise


class DurableStore:
    """A file that takes whole lines or none.

    `fault` describes the disk fault once there is one; the caller must then stop entries. A run without a
    venue outside needs no room to leave it, so it can do without the reserve (`reserved`). Raises Refused if
    another process writes the file, Unavailable if it cannot be written at all.
    """

    def __init__(self, path: Path, *, power: bool = False, reserved: bool = True) -> None:
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
        if reserved:
            self.reserve()
        self._dirty, self._closing = threading.Event(), threading.Event()
        self._syncer = threading.Thread(target=self._sync_behind, name="journal sync", daemon=True)
        self._syncer.start()

    def _sync_names(self) -> None:
        """Syncs the file and the folders above it, so that its name survives a power failure too."""
        os.fsync(self._descriptor)
        for folder in (self.path.parent, self.path.parent.parent):
            sync_names(folder)

    def reserve(self) -> bool:
        """Creates the reserve for a full disk; returns whether there was room."""
        try:
            with self._reserve.open("wb") as file:
                # Real zero bytes: a sparse file would not occupy the disk.
                for _ in range(RESERVE_BYTES >> 20):
                    file.write(bytes(1 << 20))
        except OSError as error:
            self._reserve.unlink(missing_ok=True)
            self.fault = f"no room for the journal's reserve: {error.strerror}"
            return False
        self.fault = None
        return True

    def write(self, line: bytes) -> None:
        """Passes a line to the operating system; on a full disk it deletes the reserve and tries again."""
        try:
            append_whole(self._descriptor, line, self._size)
        except OSError as error:
            self._reserve.unlink(missing_ok=True)
            self.fault = f"the journal met a full or broken disk: {error.strerror}"
            self._write_or_fail(line)
        self._size += len(line)
        self._dirty.set()

    def flush_before_send(self) -> None:
        """With `power` durability: returns once the disk has everything."""
        if self.power:
            self.sync()

    def sync(self) -> None:
        """Returns once the disk has everything."""
        try:
            _datasync(self._descriptor)
        except OSError as error:
            raise self._unwritable(error) from None

    def truncate_torn(self, torn_bytes: int) -> None:
        """Moves an incomplete last line from the journal to a file beside it."""
        with self.path.open("rb") as file:
            file.seek(self._size - torn_bytes)
            torn = file.read()
        self._size -= torn_bytes
        # Kept as evidence: it may be the start of an order that was sent.
        if torn:
            self.path.with_name(f"torn-at-{self._size}").write_bytes(torn)
        os.ftruncate(self._descriptor, self._size)

    def close(self) -> None:
        """Syncs the file, deletes the reserve and closes the file."""
        self._closing.set()
        self._dirty.set()  # wakes the thread, so that it sees `_closing`
        self._syncer.join()
        with contextlib.suppress(OSError):
            os.fsync(self._descriptor)
        os.close(self._descriptor)
        self._reserve.unlink(missing_ok=True)

    def _write_or_fail(self, line: bytes) -> None:
        try:
            append_whole(self._descriptor, line, self._size)
        except OSError as error:
            raise self._unwritable(error) from None

    def _unwritable(self, error: OSError) -> Unavailable:
        text = f"cannot write {self.path}: {error.strerror}; no unrecorded order was sent. Make room"
        run = RunFolder(self.path.parent).argument
        return Unavailable(f"{text}, then: autohedge restart {shlex.quote(run)}")

    def _sync_behind(self) -> None:
        """Syncs whenever something was written, at most twenty times a second."""
        while not self._closing.is_set():
            self._dirty.wait()
            self._dirty.clear()  # before the sync, so that a line written during it sets the flag again
            try:
                os.fsync(self._descriptor)
            except OSError as error:
                self.fault = f"the disk does not take the journal: {error.strerror}"
            self._closing.wait(SYNC_PAUSE_S)
