"""What a power failure would leave of the files below a folder: only what was synced, and under synced names."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from autohedge.journal import disk


@dataclass(frozen=True)
class Image:
    """The names in each folder and the content of each file, by inode, that the disk has for certain."""

    root: int
    names: dict[int, dict[str, int]]
    content: dict[int, bytes]

    def write(self, to: Path) -> Path:
        """Writes the files as they are found after the failure; returns the folder."""
        self._write_folder(self.root, to)
        return to

    def _write_folder(self, inode: int, to: Path) -> None:
        to.mkdir(parents=True)
        for name, inner in self.names.get(inode, {}).items():
            if inner in self.names:
                self._write_folder(inner, to / name)
            else:
                (to / name).write_bytes(self.content.get(inner, b""))


class SyncedFiles:
    """Follows the syncs of this process; `images` has the state of the disk after each of them."""

    def __init__(self, root: Path) -> None:
        self._root = root.stat().st_ino
        self._names: dict[int, dict[str, int]] = {}
        self._content: dict[int, bytes] = {}
        self._kept: list[int] = []
        self._lock = threading.Lock()
        self.images: list[Image] = []

    def sync(self, descriptor: int) -> None:
        """Takes the place of `os.fsync`."""
        path, inode = f"/proc/self/fd/{descriptor}", os.fstat(descriptor).st_ino
        with self._lock:
            if inode not in self._names and inode not in self._content:
                self._kept.append(os.open(path, os.O_RDONLY))  # so that no other file gets its inode
            if Path(path).is_dir():
                with os.scandir(path) as entries:
                    self._names[inode] = {entry.name: entry.inode() for entry in entries}
            else:
                self._content[inode] = Path(path).read_bytes()
            self.images.append(Image(self._root, dict(self._names), dict(self._content)))

    def close(self) -> None:
        """Releases the inodes."""
        for descriptor in self._kept:
            os.close(descriptor)


@contextmanager
def following_syncs(root: Path) -> Iterator[SyncedFiles]:
    """Follows the syncs of all files below a folder."""
    synced = SyncedFiles(root)
    with pytest.MonkeyPatch.context() as patch:
        sync: Any = synced.sync
        patch.setattr(os, "fsync", sync)
        patch.setattr(disk, "_datasync", sync)
        yield synced
    synced.close()
