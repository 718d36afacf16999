"""Whether the strategy stored in a run's folder may be executed: somebody else may have sent that folder."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from autohedge.core.errors import Refused
from autohedge.core.text import one_line
from autohedge.journal import RunFolder
from autohedge.journal.folder import JOURNAL, RUNS, content_name
from autohedge.journal.genesis import Genesis

FOLDERS_MAX = 5_000  # a working directory such as a home folder must not take minutes
NAME_CHARS = 80
FOREIGN_NAMES = frozenset({RUNS.name, "__pycache__", "node_modules", "site-packages"})
EMPTY = content_name(b"", ".py")


def require_trust(folder: RunFolder, genesis: Genesis, *, trust: bool) -> None:
    """Refuses a record whose strategy would be executed, unless the same files are the user's own.

    These are files of the same content in the working directory or below, or under the recorded name; none in
    a run's folder, and none that came in the same folder as a run from elsewhere. Raises Refused.
    """
    unknown = {name for name in (genesis.strategy, *genesis.strategy_modules.values()) if name} - {EMPTY}
    if trust or not unknown:
        return
    strategy = str(folder.settings(genesis.settings)["strategy"]["name"])
    foreign = _foreign_folder(folder)
    for path in (*_named(strategy, genesis), *_below(Path.cwd(), foreign)):
        if _may_be_own(path, foreign):
            unknown.discard(content_name(path.read_bytes(), path.suffix))
        if not unknown:
            return
    raise Refused(
        f"run {folder.id} would execute the code stored in it for strategy {one_line(strategy, NAME_CHARS)}: "
        f"read {folder.stored_file(min(unknown))}, then add --trust, or have the same file in this folder"
    )


def _foreign_folder(folder: RunFolder) -> Path | None:
    """Returns the folder that a run from elsewhere came in; None for a run of the working directory."""
    parent = folder.path.resolve().parent
    home = parent.parent if parent.name == RUNS.name else parent
    return None if home == Path.cwd() else home


def _named(strategy: str, genesis: Genesis) -> Iterator[Path]:
    """Yields where the recorded name leads now: the strategy, and the modules beside it."""
    place = strategy.rpartition(":")[0]
    if place.endswith(".py"):
        files = [(Path(place).parent, Path(place))]
    else:
        inner = place.replace(".", "/")
        roots = [Path.cwd(), *map(Path, sys.path)]
        files = [(root, root / each) for root in roots for each in (f"{inner}.py", f"{inner}/__init__.py")]
    for root, file in files:
        if file.is_file():
            yield file
            yield from (root / relative for relative in genesis.strategy_modules)


def _below(top: Path, foreign: Path | None) -> Iterator[Path]:
    """Yields the Python files of a folder, apart from those of runs and of installed packages."""
    for count, (place, folders, files) in enumerate(os.walk(top), start=1):
        folders[:] = [name for name in folders if _is_searched(Path(place, name), foreign)]
        if count == FOLDERS_MAX:
            folders.clear()
        if count > FOLDERS_MAX:
            return
        yield from (Path(place, name) for name in files if name.endswith(".py"))


def _is_searched(path: Path, foreign: Path | None) -> bool:
    if path.name.startswith(".") or path.name in FOREIGN_NAMES or path.resolve() == foreign:
        return False
    return not (path / JOURNAL).is_file() and not (path / "pyvenv.cfg").is_file()


def _may_be_own(path: Path, foreign: Path | None) -> bool:
    """Returns whether a file is neither of a run nor from the folder of a run from elsewhere."""
    path = path.resolve()  # a link into a run's folder does not count either
    inside = foreign is not None and path.is_relative_to(foreign)
    return path.is_file() and not inside and not any((above / JOURNAL).is_file() for above in path.parents)
