"""Folders that are filled once per session, by the worker that needs them first, and read by all workers."""

import fcntl
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path


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
