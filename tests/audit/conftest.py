"""A recorded run that all tests which only read it share."""

import os
from pathlib import Path

import pytest

from autohedge.journal import RunFolder
from tests.audit.run_factory import HOUR, recorded


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run with the rules as provider, with orders and lessons. Tests must not change it."""
    before, place = Path.cwd(), tmp_path_factory.mktemp("audited")
    os.chdir(place)  # `monkeypatch` is not available to fixtures of the session
    try:
        folder = recorded()
    finally:
        os.chdir(before)
    return RunFolder(place / folder.path)


@pytest.fixture(scope="session")
def by_rules(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run of three symbols with the rules as provider, with orders. Tests must not change it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("rules"))
        folder = recorded('trading.mode="llm"', *HOUR)
        return RunFolder(folder.path.resolve())
