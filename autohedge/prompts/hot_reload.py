"""Edits of prompt files, found by looking now and then: taken whole or not at all.

A file is read once it has stayed the same from one look to the next, so that an editor which truncates and then
writes, or moves the old file away first, is never caught in between.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from autohedge.core.errors import Misconfigured
from autohedge.prompts.library import FOLDER, PACKAGED, parse, read, require_known_prompts

BYTES_MAX = 1 << 18
Stamp = tuple[int, int, int]
Text = tuple[str, str]


class PromptWatcher:
    """What was edited since this was made; to be made before the prompts are read that are then in force."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._folder = folder
        self._reported: set[tuple[str, ...]] = set()
        try:
            before = self._stamps()
        except Misconfigured:
            before = {}  # the first look will say so; a run that goes on needs none of these files
        self._taken = self._seen = self._judged = before

    def poll(self, in_force: Mapping[str, Text]) -> dict[str, Text]:
        """The prompts, of those in force, that have another text now: each with where it was read.

        Nothing while a file still changes or has no content. Raises Misconfigured once for each content that
        is no sound set of prompts, with file and line; what is in force stays, until all of it is sound.
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
            if self._stamps() != found:
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
        """The file that a prompt is read from, and its stamp then."""
        own, packaged = self._folder / f"{name}.md", PACKAGED / f"{name}.md"
        path = own if own in stamps else packaged
        return path, stamps.get(path)

    def _require_size(self, path: Path, stamp: Stamp | None) -> None:
        if stamp and stamp[1] > BYTES_MAX:
            raise Misconfigured(f"{path} has {stamp[1]:,} bytes; a prompt has {BYTES_MAX:,} at most")

    def _stamps(self) -> dict[Path, Stamp]:
        """Every prompt file that there is, with what changes when it is written."""
        try:
            return {path: stamp for folder in (self._folder, PACKAGED) for path, stamp in _in(folder)}
        except OSError as error:
            raise Misconfigured(f"cannot look for prompts in {error.filename}: {error.strerror}") from None


def _in(folder: Path) -> Iterator[tuple[Path, Stamp]]:
    """The prompt files of a folder, which need not be there."""
    try:
        entries = os.scandir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return
    with entries:
        for entry in entries:
            if entry.name.endswith(".md") and entry.is_file():
                try:
                    found = entry.stat()
                except FileNotFoundError:
                    continue
                yield Path(entry.path), (found.st_mtime_ns, found.st_size, found.st_ino)
