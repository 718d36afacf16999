"""Garbage collection is what it was before a pause, whatever happened in it."""

import gc

import pytest

from autohedge.core.garbage import collection_paused


def test_collection_is_paused_within_and_on_again_after_an_error() -> None:
    with pytest.raises(ImportError), collection_paused():
        assert not gc.isenabled()
        raise ImportError("no such module")
    assert gc.isenabled()


def test_collection_that_was_off_stays_off() -> None:
    gc.disable()
    try:
        with collection_paused():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
