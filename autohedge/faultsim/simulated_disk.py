"""A disk in memory that fills up, fails, and loses what was not synced when the power fails."""

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from autohedge.core.errors import Refused
from autohedge.core.units import NS_PER_S
from autohedge.faultsim.faults import MachineFault as M
from autohedge.faultsim.strikes import FaultSchedule, Strike

SYNC_LAG_NS = NS_PER_S // 10  # the journal's thread syncs about this long after a write
SLOWEST_SYNC_S = 5.0
LONGEST_DOWN_S = 4.0


class Crash(Exception):
    """Simulates the death of the process; it is started again after `down_s`."""

    def __init__(self, strike: Strike) -> None:
        super().__init__()
        self.strike = strike
        self.down_s = strike.between(0, LONGEST_DOWN_S)


@dataclass(slots=True)
class _File:
    """The content of a file, and how much of it each time of writing left behind."""

    content: bytearray = field(default_factory=bytearray)
    synced: int = 0
    unsynced: list[tuple[int, int]] = field(default_factory=list)
    locked_by: int | None = None


class SimulatedDisk:
    """Files by path, with the disk faults of a schedule; `now_ns` is the time of the run.

    A full disk has room again after a while; deleting the journal's reserve gives room for some lines.
    """

    def __init__(self, schedule: FaultSchedule, now_ns: Callable[[], int]) -> None:
        self.files: dict[Path, _File] = {}
        self._schedule = schedule
        self._now_ns = now_ns
        self._open: list[Path] = []
        self._full_until_ns = 0
        self._room = 0

    # the `Disk` interface

    def open(self, path: Path) -> int:
        """Opens a file and creates it if it is absent."""
        self.files.setdefault(path, _File())
        self._open.append(path)
        return len(self._open) - 1

    def lock(self, descriptor: int, path: Path) -> None:
        """Locks a file. Raises Refused if it is locked already."""
        if self._file(descriptor).locked_by is not None:
            raise Refused(f"{path.parent.name} is being written by another process; stop that first")
        self._file(descriptor).locked_by = descriptor

    def size(self, descriptor: int) -> int:
        """The size of an open file."""
        return len(self._file(descriptor).content)

    def write(self, descriptor: int, content: bytes | memoryview) -> int:
        """Appends content; on a full disk only its beginning, and then raises OSError."""
        now_ns, file = self._now_ns(), self._file(descriptor)
        if strike := self._schedule.take(M.CRASH_WRITE, now_ns):
            file.content += content[: int(strike.between(0, len(content), 1))]
            raise Crash(strike)
        if strike := self._schedule.take(M.DISK_FULL, now_ns):
            self._full_until_ns = now_ns + int(strike.between(1, 20) * NS_PER_S)
            self._room = int(strike.between(0, 200, 1))
        if now_ns < self._full_until_ns and len(content) > self._room:
            if not self._room:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            content = content[: self._room]
        self._room = max(self._room - len(content), 0)
        file.content += content
        file.unsynced.append((now_ns, len(file.content)))
        return len(content)

    def truncate(self, descriptor: int, size: int) -> None:
        """Drops everything after `size` bytes."""
        file = self._file(descriptor)
        del file.content[size:]
        file.synced = min(file.synced, size)

    def sync(self, descriptor: int) -> None:
        """Makes the content survive a power failure."""
        if self._schedule.take(M.SYNC_ERROR, self._now_ns()):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        file = self._file(descriptor)
        file.synced, file.unsynced = len(file.content), []

    def sync_names(self, descriptor: int, path: Path) -> None:  # noqa: ARG002 - part of `Disk`
        """Makes a file survive with its name."""
        file = self._file(descriptor)
        file.synced, file.unsynced = len(file.content), []

    def close(self, descriptor: int) -> None:
        """Closes a file, which releases its lock if it was taken through this descriptor."""
        file = self._file(descriptor)
        if file.locked_by == descriptor:
            file.locked_by = None

    def read(self, path: Path) -> bytes:
        """The content of a file."""
        return bytes(self.files[path].content)

    def create(self, path: Path, content: bytes) -> None:
        """Writes a whole file; raises OSError on a full disk."""
        if self._now_ns() < self._full_until_ns:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.files[path] = _File(bytearray(content), len(content))

    def occupy(self, path: Path, size: int) -> None:  # noqa: ARG002 - the room that it gives is `RESERVE_ROOM`
        """Creates a file; raises OSError on a full disk."""
        self.create(path, b"")

    def delete(self, path: Path) -> None:
        """Deletes a file; what it occupied is room for new lines."""
        if self.files.pop(path, None):
            self._room += RESERVE_ROOM

    # faults

    def end_faults(self) -> None:
        """Makes room on the disk."""
        self._full_until_ns = 0

    def release(self) -> None:
        """Closes all files, as the death of a process does."""
        for file in self.files.values():
            file.locked_by = None
        self._open.clear()

    def lose_power(self, strike: Strike) -> bool:
        """Drops a part of what was not synced from each file; returns whether anything was lost."""
        kept, late_s = strike.between(0, 1), strike.between(0, SLOWEST_SYNC_S, 1)
        before = sum(len(file.content) for file in self.files.values())
        for file in self.files.values():
            self._age(file, self._now_ns() - SYNC_LAG_NS - int(late_s * NS_PER_S))
            del file.content[file.synced + int((len(file.content) - file.synced) * kept) :]
        return sum(len(file.content) for file in self.files.values()) < before

    def tear(self, path: Path, size: int) -> bool:
        """Drops up to `size` bytes of a file that were not synced; returns whether there were any."""
        file = self.files[path]
        self._age(file, self._now_ns() - SYNC_LAG_NS)
        kept = max(len(file.content) - size, file.synced)
        torn = kept < len(file.content)
        del file.content[kept:]
        return torn

    def _file(self, descriptor: int) -> _File:
        return self.files[self._open[descriptor]]

    def _age(self, file: _File, until_ns: int) -> None:
        """Counts what was written until a time as synced by the journal's thread."""
        sizes = [size for at_ns, size in file.unsynced if at_ns <= until_ns]
        file.synced = max([file.synced, *sizes])


RESERVE_ROOM = 5_000  # bytes for lines: enough for exits and cancels, too few for a whole storm
