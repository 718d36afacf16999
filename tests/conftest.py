"""Fixtures for all tests: where recorded data lies, a cache and a working directory of one's own."""

import os
from pathlib import Path

import pytest

pytest_plugins = ["tests.llm.real_model"]

SHARED = Path(__file__).parent.parent.parent / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of recorded data beside the checkout; without it such tests are skipped."""
    if SHARED.is_dir():
        return SHARED
    if os.environ.get("AUTOHEDGE_REQUIRE_SHARED"):
        pytest.fail(f"AUTOHEDGE_REQUIRE_SHARED is set, but {SHARED} is absent")
    pytest.skip(f"recorded data is absent: {SHARED}")


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, without settings or a .env of its own; runs there ask no slow plane."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AUTOHEDGE__TRADING__MODE", "hft")
    return tmp_path
