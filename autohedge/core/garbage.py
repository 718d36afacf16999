"""Python's garbage collection while a process starts."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collection_paused() -> Iterator[None]:
    """Pauses garbage collection while modules are imported: they make many objects, and hardly any garbage."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
