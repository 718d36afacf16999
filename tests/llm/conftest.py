"""Gives every test of models a cache of its own, and no key or proxy of the machine."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from autohedge.config.secrets import KEY_NAMES
from tests.llm.redis_server import Server, at_a_socket


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AUTOHEDGE_CACHE_DIR", str(tmp_path / "cache"))
    for name in KEY_NAMES:
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "cache"


@pytest.fixture(scope="session")
def redis_process() -> Iterator[Server]:
    with at_a_socket() as server:
        yield server


@pytest.fixture
def redis_server(redis_process: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    """An empty server; the machine's password is not used."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("AUTOHEDGE_REDIS_PASSWORD", raising=False)
    with redis_process.client as client:
        client.flushall()
    return redis_process
