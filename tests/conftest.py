"""Fixtures for all tests: the folder of recorded data, and an empty working directory."""

import os
from pathlib import Path

import pytest

pytest_plugins = ["tests.llm.real_model"]

SHARED = Path(__file__).parent.parent.parent / "shared"

# The files with the longest tests, longest first. They start first, so that no worker waits at the end.
LONGEST = ("faultsim/test_runner.py",)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Compiles the kernels before the workers start, which would otherwise compile the same ones at once.

    Only if the whole suite is run: a few tests need a few kernels, or none.
    """
    config = session.config
    whole = config.args_source is pytest.Config.ArgsSource.TESTPATHS and not config.option.collectonly
    if whole and config.getoption("numprocesses", None) and not hasattr(config, "workerinput"):
        from tests.kernel_warmup import warm_up

        warm_up()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sorts the longest files to the front, and takes what is run on request out of the inner loop too."""
    tests = Path(__file__).parent
    order = {tests / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path, len(order)))
    for item in items:
        if item.get_closest_marker("soak") or item.get_closest_marker("model"):
            item.add_marker("process")


@pytest.fixture(scope="session")
def session_folder(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """The folder that all workers of the session share."""
    own = tmp_path_factory.getbasetemp()
    return own if worker_id == "master" else own.parent


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of recorded data beside the checkout; skips the test if it is absent."""
    if SHARED.is_dir():
        return SHARED
    # For machines that must have the data: there a missing folder fails instead of skipping tests silently.
    if os.environ.get("AUTOHEDGE_REQUIRE_SHARED"):
        pytest.fail(f"AUTOHEDGE_REQUIRE_SHARED is set, but {SHARED} is absent")
    pytest.skip(f"recorded data is absent: {SHARED}")


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Changes to an empty working directory without settings or .env; runs there are in hft mode."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AUTOHEDGE__TRADING__MODE", "hft")
    return tmp_path
