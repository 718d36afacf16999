"""A recorded run that all tests which only read it share."""

from pathlib import Path

import pytest

from autohedge.journal import RunFolder
from tests.audit.run_factory import HOUR, recorded
from tests.made_once import recorded_once


@pytest.fixture(scope="session")
def run(session_folder: Path) -> RunFolder:
    """A run with the rules as provider, with orders and lessons. Tests must not change it."""
    return recorded_once(session_folder / "audited", recorded)


@pytest.fixture(scope="session")
def by_rules(session_folder: Path) -> RunFolder:
    """A run of three symbols with the rules as provider, with orders. Tests must not change it."""
    return recorded_once(session_folder / "audited-llm", lambda: recorded('trading.mode="llm"', *HOUR))
