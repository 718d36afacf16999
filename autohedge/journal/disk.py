"""The disk as a journal uses it; the fault simulation puts another one in its place."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from autohedge.journal.chain import lock
from autohedge.journal.folder import sync_names

# fdatasync omits metadata such as the modification time, which saves a disk write; macOS does not have it.
_datasync: Callable[[int], None] = getattr(os, "fdatasync", os.fsync)


class Disk(Protocol):
    """The operations on files that a durable journal needs; every one may raise OSError."""

    def open(self, path: Path) -> int:
        """Opens a file to append to it, and creates it if it is absent; returns its descriptor."""
        ...

    def lock(self, descriptor: int, path: Path) -> None:
        """Locks a file until it is closed. Raises Refused if another process holds the lock."""
        ...

    def size(self, descriptor: int) -> int:
        """The size of an open file, in bytes."""
        ...

    def write(self, descriptor: int, content: bytes | memoryview) -> int:
        """Appends content, possibly only its beginning; returns how many bytes were written."""
        ...

    def truncate(self, descriptor: int, size: int) -> None:
        """Drops everything after `size` bytes."""
        ...

    def sync(self, descriptor: int) -> None:
        """Returns once the content of a file survives a power failure."""
        ...

    def sync_names(self, descriptor: int, path: Path) -> None:
        """Returns once a file survives a power failure, with its name and those of the two folders above."""
        ...

    def close(self, descriptor: int) -> None:
        """Closes a file."""
        ...

    def read(self, path: Path) -> bytes:
        """The content of a file."""
        ...

    def create(self, path: Path, content: bytes) -> None:
        """Writes a whole file."""
        ...

    def occupy(self, path: Path, size: int) -> None:
        """Creates a file that occupies `size` bytes."""
        ...

    def delete(self, path: Path) -> None:
        """Deletes a file if it exists."""
        ...


class LocalDisk:
    """The disk of this machine."""

    def open(self, path: Path) -> int:
        """Opens a file to append to it."""
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def lock(self, descriptor: int, path: Path) -> None:
        """Locks a file against other processes. Raises Refused if another process holds the lock."""
        lock(descriptor, path)

    def size(self, descriptor: int) -> int:
        """The size of an open file."""
        return os.fstat(descriptor).st_size

    def write(self, descriptor: int, content: bytes | memoryview) -> int:
        """Passes content to the operating system."""
        return os.write(descriptor, content)

    def truncate(self, descriptor: int, size: int) -> None:
        """Drops everything after `size` bytes."""
        os.ftruncate(descriptor, size)

    def sync(self, descriptor: int) -> None:
        """Returns once the disk has the content."""
        _datasync(descriptor)

    def sync_names(self, descriptor: int, path: Path) -> None:
        """Returns once the disk has the file, its name, and those of the two folders above."""
        os.fsync(descriptor)
        for folder in (path.parent, path.parent.parent):
            sync_names(folder)

    def close(self, descriptor: int) -> None:
        """Closes a file, which releases its lock."""
        os.close(descriptor)

    def read(self, path: Path) -> bytes:
        """The content of a file."""
        return path.read_bytes()

    def create(self, path: Path, content: bytes) -> None:
        """Writes a whole file."""
        path.write_bytes(content)

    def occupy(self, path: Path, size: int) -> None:
        """Creates a file of `size` bytes, in whole MiB."""
        with path.open("wb") as file:
            # Real zero bytes: a sparse file would not occupy the disk.
            for _ in range(size >> 20):
                file.write(bytes(1 << 20))

    def delete(self, path: Path) -> None:
        """Deletes a file if it exists."""
        path.unlink(missing_ok=True)

    def replace(self, path: Path, target: Path) -> None:
        """Gives a file the name of another one, in one step; of the other one only open descriptors stay."""
        path.replace(target)


LOCAL_DISK = LocalDisk()


def append_whole(descriptor: int, content: bytes, size: int, disk: Disk = LOCAL_DISK) -> None:
    """Appends to a file of `size` bytes: all of the content, or nothing of it where that raises OSError."""
    left = memoryview(content)
    try:
        while left:
            left = left[disk.write(descriptor, left) :]
    except OSError:
        # What was written of it would tear the line that is written next.
        disk.truncate(descriptor, size)
        raise
