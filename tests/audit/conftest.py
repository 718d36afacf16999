"""One recorded run for all tests that only look at it."""

import os
from pathlib import Path

import pytest

from autohedge.journal import RunFolder
from tests.audit.run_factory import recorded


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run that the rules answered, with orders and lessons; not to be changed."""
    before, place = Path.cwd(), tmp_path_factory.mktemp("audited")
    os.chdir(place)
    try:
        folder = recorded()
    finally:
        os.chdir(before)
    return RunFolder(place / folder.path)
