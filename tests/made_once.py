"""Folders and recorded runs that are made once per session, by the worker that needs them first, and read by all."""

import fcntl
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path

from autohedge.journal import RunFolder
from autohedge.journal.folder import RUNS


def made_once(place: Path, make: Callable[[], object]) -> Path:
    """Returns the folder `place`, which `make` has filled as its working directory; other workers wait for it."""
    place.mkdir(parents=True, exist_ok=True)
    made = place.with_suffix(".made")
    with place.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            with chdir(place):
                make()
            made.touch()
    return place


def recorded_once(place: Path, record: Callable[[], object]) -> RunFolder:
    """Returns the only run below `place`, which `record` has recorded there. Tests must not change it."""
    (run,) = (made_once(place, record) / RUNS).iterdir()
    return RunFolder(run)
