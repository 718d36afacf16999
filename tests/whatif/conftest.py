"""The working directory of every test here: empty, and without API keys of the machine."""

from pathlib import Path

import pytest

from autohedge.config.secrets import KEY_NAMES
from tests.whatif.study_factory import SESSION


@pytest.fixture(scope="session", autouse=True)
def session_runs(session_folder: Path) -> None:
    """Names the folder of runs that tests want more than once."""
    SESSION[:] = [session_folder / "whatif"]


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Changes to an empty directory with its own cache, and removes API keys from the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AUTOHEDGE_CACHE_DIR", str(tmp_path / "cache"))
    for name in KEY_NAMES:
        monkeypatch.delenv(name, raising=False)
    return tmp_path
