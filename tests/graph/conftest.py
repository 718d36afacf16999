"""What every test of models has: a cache of its own, and no key or proxy of the machine's."""

from pathlib import Path

import pytest

from autohedge.config import KEY_NAMES


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AUTOHEDGE_CACHE_DIR", str(tmp_path / "cache"))
    for name in KEY_NAMES:
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "cache"
