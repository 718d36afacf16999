"""The store of a run in real time: a line reaches the operating system before `write` returns.

With `process` durability the record survives the death of the process, and that of the machine except for
about the last 100 ms, because a thread syncs continuously. With `power` each order is also synced before it
is sent. A full disk does not stop the record at once: a reserve file is deleted, so that exits and cancels
are still journaled while entries halt.
"""

import contextlib
import shlex
import threading
from pathlib import Path

from autohedge.core.errors import Unavailable
from autohedge.journal.chain import closing_on_error
from autohedge.journal.disk import LOCAL_DISK, Disk, append_whole
from autohedge.journal.folder import RunFolder

RESERVE_BYTES = 16 << 20
SYNC_PAUSE_S = 0.05


class DurableStore:
    """A file that takes whole lines or none.

    `fault` describes the disk fault once there is one; the caller must then stop entries. A run without a
    venue outside needs no room to leave it, so it can do without the reserve (`reserved`). With `syncs_behind` a
    thread syncs after each write. Raises Refused if another process writes the file, Unavailable if it cannot
    be written at all.
    """

    def __init__(
        self,
        path: Path,
        *,
        power: bool = False,
        reserved: bool = True,
        disk: Disk = LOCAL_DISK,
        syncs_behind: bool = True,
    ) -> None:
        self.path = path
        self.fault: str | None = None
        self.power = power
        self._disk = disk
        self._reserve = path.with_name("reserve")
        try:
            self._descriptor = disk.open(path)
        except OSError as error:
            raise Unavailable(f"cannot write {path}: {error.strerror}; run where you may write") from None
        with closing_on_error(lambda: disk.close(self._descriptor)):
            disk.lock(self._descriptor, path)
        self._size = disk.size(self._descriptor)
        disk.sync_names(self._descriptor, path)
        if reserved:
            self.reserve()
        self._dirty, self._closing = threading.Event(), threading.Event()
        self._syncer = threading.Thread(target=self._sync_behind, name="journal sync", daemon=True)
        if syncs_behind:
            self._syncer.start()

    def reserve(self) -> bool:
        """Creates the reserve for a full disk; returns whether there was room."""
        try:
            self._disk.occupy(self._reserve, RESERVE_BYTES)
        except OSError as error:
            self._disk.delete(self._reserve)
            self.fault = f"no room for the journal's reserve: {error.strerror}"
            return False
        self.fault = None
        return True

    def write(self, line: bytes) -> None:
        """Passes a line to the operating system; on a full disk it deletes the reserve and tries again."""
        try:
            append_whole(self._descriptor, line, self._size, self._disk)
        except OSError as error:
            self._disk.delete(self._reserve)
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
            self._disk.sync(self._descriptor)
        except OSError as error:
            raise self._unwritable(error) from None

    def truncate_torn(self, torn_bytes: int) -> None:
        """Moves an incomplete last line from the journal to a file beside it.

        Raises Unavailable if that file cannot be written.
        """
        if not torn_bytes:
            return
        whole = self._size - torn_bytes
        try:
            # Kept as evidence: it may be the start of an order that was sent.
            self._disk.create(self.path.with_name(f"torn-at-{whole}"), self._disk.read(self.path)[whole:])
            self._disk.truncate(self._descriptor, whole)
        except OSError as error:
            raise self._unwritable(error) from None
        self._size = whole

    def close(self) -> None:
        """Syncs the file, deletes the reserve and closes the file."""
        self._closing.set()
        self._dirty.set()  # wakes the thread, so that it sees `_closing`
        if self._syncer.is_alive():
            self._syncer.join()
        with contextlib.suppress(OSError):
            self._disk.sync(self._descriptor)
        self._disk.close(self._descriptor)
        self._disk.delete(self._reserve)

    def _write_or_fail(self, line: bytes) -> None:
        try:
            append_whole(self._descriptor, line, self._size, self._disk)
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
                self._disk.sync(self._descriptor)
            except OSError as error:
                self.fault = f"the disk does not take the journal: {error.strerror}"
            self._closing.wait(SYNC_PAUSE_S)
