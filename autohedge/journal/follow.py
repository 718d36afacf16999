"""Reads a journal while its run is on."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from autohedge.core.errors import Corrupt
from autohedge.core.events import RunEnded
from autohedge.journal.chain import JournalLine, lines_of

READ_BYTES = 1 << 16


def follow(path: Path, wait: Callable[[], bool]) -> Iterator[JournalLine]:
    """Yields the lines of a growing journal, genesis first, each verified before it is yielded.

    `wait` is called when all whole lines were yielded. It returns True when to look again, for example after a
    pause, and False to stop. A journal that ends with `run_ended` ends the iteration too. A line that is not yet
    whole is left, so that it may be completed, or cut off by a restart.

    Raises Corrupt at the first damaged line, or if the journal gets shorter than what was yielded of it.
    """
    is_over = False

    def continues() -> bool:
        return not is_over and wait()

    with path.open("rb", buffering=0) as file:
        for line in lines_of(_whole_lines(file.fileno(), path, continues), path):
            is_over = isinstance(line.event, RunEnded)
            yield line


def _whole_lines(descriptor: int, path: Path, continues: Callable[[], bool]) -> Iterator[bytes]:
    offset = 0
    while True:
        lines = _read_lines(descriptor, offset)
        yield from lines
        offset += sum(map(len, lines))
        if os.fstat(descriptor).st_size < offset:
            raise Corrupt(f"{path} lost lines while it was read; restore the file")
        if not lines and not continues():
            return


def _read_lines(descriptor: int, offset: int) -> list[bytes]:
    """Returns some of the whole lines from an offset on, at least one if there is one.

    Nothing is buffered: what follows the last whole line may be other bytes at the next call.
    """
    size = READ_BYTES
    content = os.pread(descriptor, size, offset)
    while b"\n" not in content and len(content) == size:
        size *= 2
        content = os.pread(descriptor, size, offset)
    *lines, _ = content.split(b"\n")
    return [line + b"\n" for line in lines]
