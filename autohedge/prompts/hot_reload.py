"""Finds edits of prompt files by polling; a set of edits is applied whole or not at all.

A file is read once it is unchanged from one poll to the next. So an editor that truncates a file before it
writes, or moves the old file away first, is not caught in between.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from autohedge.core.errors import Misconfigured
from autohedge.prompts.library import FOLDER, PACKAGED, parse, read, require_known_prompts

BYTES_MAX = 1 << 18  # a larger file is a mistake, and reading it would delay the run
# Modification time, size and inode: an edit may keep the size, or replace the file within one clock tick.
Stamp = tuple[int, int, int]
Text = tuple[str, str]


class PromptWatcher:
    """The edits since its creation; create it before the prompts in force are read."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._folder = folder
        self._reported: set[tuple[str, ...]] = set()
        try:
            before = self._stamps()
        except Misconfigured:
            before = {}  # the first poll raises it; a continued run needs none of these files
        self._taken = self._seen = self._judged = before

    def poll(self, in_force: Mapping[str, Text]) -> dict[str, Text]:
        """Returns the prompts in force that have another text now, each with its text and path.

        Empty while a file still changes or has no content. Raises Misconfigured, with file and line, once for
        each content that is not a valid set of prompts; the prompts in force stay until all of them are
        valid.
        """
        try:
            found = self._stamps()
        except Misconfigured as error:
            self._raise_once(error)
            return {}
        resting, self._seen = found == self._seen, found
        if not resting or found == self._judged:
            return {}
        files = {name: self._file(name, found) for name in in_force}
        changed = {name: file for name, file in files.items() if file != self._file(name, self._taken)}
        if any(stamp and not stamp[1] for _, stamp in changed.values()):
            return {}
        return self._validate(found, list(changed), in_force)

    def _validate(
        self, found: dict[Path, Stamp], changed: list[str], in_force: Mapping[str, Text]
    ) -> dict[str, Text]:
        texts: dict[str, Text] = {}
        try:
            require_known_prompts(self._folder)
            for name in changed:
                self._require_size(*self._file(name, found))
                texts[name] = read(name, self._folder)
            if self._stamps() != found:  # changed while it was read: the next polls read it again
                return {}
            for name, (text, origin) in texts.items():
                parse(name, text, origin)
        except Misconfigured as error:
            self._judged = found
            self._raise_once(error, *(text for text, _ in texts.values()))
            return {}
        self._judged = self._taken = found
        self._reported.clear()
        return {name: text for name, text in texts.items() if text[0] != in_force[name][0]}

    def _raise_once(self, error: Misconfigured, *texts: str) -> None:
        problem = (str(error), *texts)
        if problem not in self._reported:
            self._reported.add(problem)
            raise error

    def _file(self, name: str, stamps: Mapping[Path, Stamp]) -> tuple[Path, Stamp | None]:
        """Returns the file that a prompt is read from, and its stamp."""
        own, packaged = self._folder / f"{name}.md", PACKAGED / f"{name}.md"
        path = own if own in stamps else packaged
        return path, stamps.get(path)

    def _require_size(self, path: Path, stamp: Stamp | None) -> None:
        if stamp and stamp[1] > BYTES_MAX:
            raise Misconfigured(f"{path} has {stamp[1]:,} bytes; a prompt has {BYTES_MAX:,} at most")

    def _stamps(self) -> dict[Path, Stamp]:
        """Returns every prompt file with the values that change when it is written."""
        try:
            return {path: stamp for folder in (self._folder, PACKAGED) for path, stamp in _in(folder)}
        except OSError as error:
            raise Misconfigured(f"cannot list prompts in {error.filename}: {error.strerror}") from None


def _in(folder: Path) -> Iterator[tuple[Path, Stamp]]:
    """Yields the prompt files of a folder, which may be missing."""
    try:
        entries = os.scandir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return
    with entries:
        for entry in entries:
            if entry.name.endswith(".md") and entry.is_file():
                try:
                    found = entry.stat()
                except FileNotFoundError:  # deleted since the listing
                    continue
                yield Path(entry.path), (found.st_mtime_ns, found.st_size, found.st_ino)
