"""The files of a transcript: older parts as compressed segments, and the newest part.

The newest part is `transcript.jsonl`. Once it is long, its lines become a segment, `transcript/000001.jsonl.gz`
and so on, which is written, synced and never changed. Only then is the newest part replaced by one without these
lines. Its first line has its number and the hash of the segment before. A process that dies in between leaves a
segment with the number of the newest part: nobody reads it, and the next one takes its place.
"""

import gzip
import zlib
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

from autohedge.core.errors import Corrupt
from autohedge.journal.disk import LOCAL_DISK, LocalDisk, append_whole
from autohedge.journal.folder import sync_names
from autohedge.llm.transcript_lines import TranscriptLine, parse_lines

LEVEL = 2  # of zlib: 4 writes a tenth less and takes half as long again
RESTORE = "restore the file"


class TranscriptPart(NamedTuple):
    """A part in memory: its complete lines, each checked, and their text."""

    path: Path
    number: int
    content: bytes
    lines: tuple[TranscriptLine, ...]

    @property
    def after(self) -> str:
        """The hash of the part before; empty for the first one."""
        return self.lines[0].supplement.after if self.lines else ""

    @property
    def hash(self) -> str:
        """BLAKE2b-256 of the part's text."""
        return blake2b(self.content, digest_size=32).hexdigest()


def exists(path: Path) -> bool:
    """Returns whether there is any part of the transcript at `path`."""
    return path.is_file() or bool(_last_segment(path))


def has_lines(path: Path) -> bool:
    """Returns whether the transcript at `path` has any line, whole or not."""
    return bool(_last_segment(path)) or (path.is_file() and path.stat().st_size > 0)


def segment_path(path: Path, number: int) -> Path:
    """Returns the path of a segment of the transcript at `path`."""
    return path.with_suffix("") / f"{number:06}.jsonl.gz"


def parts(path: Path) -> Iterator[TranscriptPart]:
    """Yields the parts of the transcript at `path`, oldest first: what it had when the first one was requested.

    A last line without a line break, left by a crash, is left out. Raises Corrupt if a line is damaged, or if a
    segment is damaged, missing, or not the one that the part after it names.
    """
    newest = newest_part(path)
    before = None
    for number in range(1, newest.number):
        part = read_segment(path, number)
        if before:
            _require_chain(before, part, newest)
        before = part
        yield part
    if before:
        _require_chain(before, newest, newest)
    yield newest


def parts_backwards(path: Path) -> Iterator[TranscriptPart]:
    """Yields the parts of the transcript at `path`, newest first. Raises Corrupt like `parts`."""
    part = newest = newest_part(path)
    yield newest
    for number in range(newest.number - 1, 0, -1):
        before = read_segment(path, number)
        _require_chain(before, part, newest)
        part = before
        yield part


def newest_part(path: Path) -> TranscriptPart:
    """Returns the newest part, without lines if there are none. Raises Corrupt if a line is damaged."""
    # Before the segments are listed: those that its first line presupposes are there by now.
    content = path.read_bytes() if path.is_file() else b""
    content = content[: content.rfind(b"\n") + 1]
    lines = tuple(parse_lines(content, path))
    number = lines[0].supplement.part if lines else _last_segment(path) + 1
    return TranscriptPart(path, number, content, lines)


def _last_segment(path: Path) -> int:
    """Returns the number of the last segment; 0 if there is none."""
    names = (each.name.partition(".")[0] for each in path.with_suffix("").glob("*.jsonl.gz"))
    return max((int(name) for name in names if name.isdecimal()), default=0)


def read_segment(path: Path, number: int) -> TranscriptPart:
    """Returns a segment of the transcript at `path`. Raises Corrupt if it is missing or damaged."""
    file = segment_path(path, number)
    try:
        content = gzip.decompress(file.read_bytes())
    except FileNotFoundError:
        raise Corrupt(f"{file} is missing; {RESTORE}") from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise Corrupt(f"{file} is damaged: {error}; {RESTORE}") from None
    part = TranscriptPart(file, number, content, tuple(parse_lines(content, file)))
    if not content.endswith(b"\n") or part.lines[0].supplement.part != number:
        raise Corrupt(f"{file} does not have the lines of part {number}; {RESTORE}")
    return part


def _require_chain(before: TranscriptPart, part: TranscriptPart, newest: TranscriptPart) -> None:
    """Raises Corrupt unless a part names the hash of the one before it; names the one that is wrong."""
    if not part.lines or part.after == before.hash:
        return
    wrong = before
    if part is not newest:
        # A part that the next one names is right.
        following = newest if part.number + 1 == newest.number else read_segment(newest.path, part.number + 1)
        wrong = before if not following.lines or following.after == part.hash else part
    raise Corrupt(f"{wrong.path} is not the part that was recorded: its hash is another; {RESTORE}")


# writing


def write_segment(path: Path, number: int, size: int, disk: LocalDisk = LOCAL_DISK) -> str:
    """Writes the first `size` bytes of the newest part as segment `number`; returns the hash of the part.

    The segment is there whole and synced, or not at all. Raises OSError if it cannot be written.
    """
    with path.open("rb") as file:
        content = file.read(size)
    segment = segment_path(path, number)
    if not segment.parent.is_dir():
        segment.parent.mkdir()
        sync_names(path.parent)
    draft = segment.with_suffix(".gz.tmp")
    try:
        _write_synced(draft, gzip.compress(content, LEVEL, mtime=0), disk)
        disk.replace(draft, segment)
    except OSError:
        disk.delete(draft)  # the room that it takes may be the last
        raise
    sync_names(segment.parent)
    return blake2b(content, digest_size=32).hexdigest()


def _write_synced(path: Path, content: bytes, disk: LocalDisk) -> None:
    descriptor = disk.open(path)
    try:
        disk.truncate(descriptor, 0)  # what a killed process left
        append_whole(descriptor, content, 0, disk)
        disk.sync(descriptor)
    finally:
        disk.close(descriptor)
