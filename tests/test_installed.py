"""Tests that the wheel is complete, and that it trades in hft mode without the agents' packages."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from autohedge.prompts import builtin_names, builtin_path

pytestmark = pytest.mark.process

ROOT = Path(__file__).parent.parent
AGENT_PACKAGES = ("agents", "graph", "llm", "prompts", "tools")


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Builds the wheel and unpacks it to a folder."""
    built = tmp_path / "built"
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(built)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    site = tmp_path / "site"
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        wheel.extractall(site)
    return site


def _call(site: Path, *args: str) -> dict[str, Any]:
    done = _ended(site, *args)
    assert done.returncode == 0, done.stderr
    value: dict[str, Any] = json.loads(done.stdout)
    return value


def _ended(site: Path, *args: str) -> subprocess.CompletedProcess[str]:
    empty = site.parent / "empty"
    empty.mkdir(exist_ok=True)
    # Asserts that the wheel is imported, not the checkout.
    code = (
        "import autohedge, sys; assert autohedge.__file__.startswith(sys.argv.pop(1)), autohedge.__file__\n"
    )
    code += "from autohedge.cli import main; main()"
    command = [sys.executable, "-c", code, str(site), *args, "--json"]
    # Machine code is kept by place: beside the copy, or the cache of the user would grow with every run.
    env = os.environ | {"PYTHONPATH": str(site), "NUMBA_CACHE_DIR": str(site.parent / "jit")}
    return subprocess.run(command, cwd=empty, env=env, capture_output=True, text=True, check=False)


def test_wheel_without_agent_packages_trades_and_replays(site: Path) -> None:
    assert (site / "autohedge" / "config.toml").read_bytes() == (ROOT / "config.toml").read_bytes()
    for name in builtin_names():
        assert (site / "autohedge/prompts" / f"{name}.md").read_bytes() == builtin_path(name).read_bytes()
    hybrid_run = _call(site, "run", "--mode", "hybrid", "--set", "synthetic.hours=0.2")["run"]
    assert _call(site, "replay", hybrid_run)["deliberations"]["reread"] > 0
    for name in AGENT_PACKAGES:
        shutil.rmtree(site / "autohedge" / name, ignore_errors=True)
    assert not (site / "autohedge" / "graph").exists()
    results = _call(site, "run", "--mode", "hft", "--set", "synthetic.hours=6")
    assert results["buys"] > 0
    assert _call(site, "replay", results["run"])["same"]
    assert _call(site, "replay", hybrid_run, "--engine-only")["same"]
    both = _ended(site, "replay", hybrid_run)
    assert both.returncode == 2
    assert "replay with --engine-only" in both.stderr and both.stderr.count("\n") == 1


def test_a_run_imports_no_package_of_a_language_model() -> None:
    code = (
        "import sys\n"
        "import autohedge.app\n"
        "banned = {'langgraph', 'langchain', 'langchain_core', 'langchain_openai', 'openai', 'polars'}\n"
        "assert not banned & set(sys.modules), banned & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
