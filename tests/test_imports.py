"""Tests that hft runs and help import no package of the agents runtime; test_replay_verb.py tests the replay."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.process

ROOT = Path(__file__).parent.parent
MODEL_PACKAGES = (
    "langgraph",
    "langchain",
    "langchain_core",
    "langchain_openai",
    "openai",
    "httpx",
    "tenacity",
    "redis",
)
WATCHED = (
    "import sys\n"
    "import autohedge\n"
    "if sys.argv[1:]:\n"
    "    from autohedge.cli import main\n"
    "    try:\n        main()\n"
    "    except SystemExit as end:\n        assert not end.code, end.code\n"
    f"print(sorted(set({MODEL_PACKAGES}) & set(sys.modules)), file=sys.stderr)\n"
)


def _loaded(*args: str) -> str:
    """Runs a command in a new process; returns which packages of MODEL_PACKAGES it imported."""
    # A new process: in this one other tests have imported them already.
    command = [sys.executable, "-c", WATCHED, *args]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    "args",
    [
        (),
        ("--help",),
        ("run", "--mode", "hft", "--json", "--quiet", "--set", "synthetic.hours=0.1"),
    ],
    ids=["import", "help", "hft"],
)
def test_command_without_agents_imports_no_model_package(workplace: Path, args: tuple[str, ...]) -> None:
    assert _loaded(*args) == "[]"
    assert list(workplace.glob("runs/*/results.json")) or "run" not in args


def test_hybrid_run_imports_model_packages(workplace: Path) -> None:
    loaded = _loaded("run", "--mode", "hybrid", "--quiet", "--set", "synthetic.hours=0.1")
    assert "langgraph" in loaded and "tenacity" in loaded
