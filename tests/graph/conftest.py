"""Hybrid runs that many tests read, made once per session, and copies of them to forge."""

from collections.abc import Callable
from pathlib import Path

import pytest

from autohedge.config.secrets import KEY_NAMES
from autohedge.journal import RunFolder
from autohedge.prompts import builtin_path
from tests.graph.record_factory import SCRIPT, TIGHT, copied, edited, hybrid, scripted
from tests.made_once import recorded_once

NEWS = '{"title": "BTC rises", "available_at": "2025-01-01T00:00:00Z"}\n'


@pytest.fixture(scope="session")
def by_rules(session_folder: Path) -> RunFolder:
    """A run with the rules backend."""
    return recorded_once(session_folder / "rules", hybrid)


@pytest.fixture(scope="session")
def by_script(session_folder: Path) -> RunFolder:
    """A run with headlines, trades and lessons, and with valid and invalid answers of many kinds."""
    changes = {"synthetic__hours": 1, "hybrid__learn_every_trades": 1, "tools__headlines": '"news.jsonl"'}

    def record() -> None:
        Path("news.jsonl").write_text(NEWS)
        scripted(SCRIPT, **TIGHT | changes)

    return recorded_once(session_folder / "script", record)


@pytest.fixture(scope="session")
def by_edited(session_folder: Path) -> RunFolder:
    """A run whose Director prompt was edited twice, the second time back to the original."""
    text = builtin_path("director").read_text()
    return recorded_once(
        session_folder / "edited", lambda: edited(text.replace("You ", "Today you ", 1), text)
    )


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
