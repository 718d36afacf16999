"""What every study starts from: a place of its own, no key of the machine's, and small recorded runs."""

from pathlib import Path

import pytest

from autohedge.config.secrets import KEY_NAMES


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory without settings, keys, or a cache of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AUTOHEDGE_CACHE_DIR", str(tmp_path / "cache"))
    for name in KEY_NAMES:
        monkeypatch.delenv(name, raising=False)
    return tmp_path
