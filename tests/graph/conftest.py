"""Hybrid runs that many tests read, made once per session, and copies of them to forge."""

from collections.abc import Callable
from contextlib import chdir
from pathlib import Path

import pytest

from autohedge.config.secrets import KEY_NAMES
from autohedge.journal import RunFolder
from autohedge.prompts import builtin_path
from tests.graph.record_factory import SCRIPT, TIGHT, copied, edited, hybrid, scripted

NEWS = '{"title": "BTC rises", "available_at": "2025-01-01T00:00:00Z"}\n'


@pytest.fixture(scope="session")
def by_rules(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run with the rules backend."""
    with chdir(tmp_path_factory.mktemp("rules")):
        return hybrid()


@pytest.fixture(scope="session")
def by_script(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run with headlines, trades and lessons, and with valid and invalid answers of many kinds."""
    with chdir(tmp_path_factory.mktemp("script")):
        Path("news.jsonl").write_text(NEWS)
        return scripted(
            SCRIPT,
            synthetic__hours=1,
            hybrid__learn_every_trades=1,
            tools__headlines='"news.jsonl"',
            **TIGHT,
        )


@pytest.fixture(scope="session")
def by_edited(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run whose Director prompt was edited twice, the second time back to the original."""
    with chdir(tmp_path_factory.mktemp("edited")):
        text = builtin_path("director").read_text()
        return edited(text.replace("You ", "Today you ", 1), text)


@pytest.fixture
def forge(tmp_path: Path) -> Callable[[RunFolder], RunFolder]:
    """Returns a function that copies a run, so that it can be changed."""
    return lambda folder: copied(folder, tmp_path)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Gives every test of models a cache of its own, and no key of the machine."""
    monkeypatch.setenv("AUTOHEDGE_CACHE_DIR", str(tmp_path / "cache"))
    for name in KEY_NAMES:
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "cache"
