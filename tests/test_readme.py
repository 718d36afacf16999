"""Tests that the example commands of the README succeed in an empty folder, in order."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fork_server import fork_command

pytestmark = pytest.mark.process

ROOT = Path(__file__).parents[1]
STORY = re.compile(r"^<!-- story: (\w+) -->\n```sh\n(.*?)^```$", re.DOTALL | re.MULTILINE)
STORIES = STORY.findall((ROOT / "README.md").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Creates an empty folder, and a command `autohedge` of this checkout."""
    place = tmp_path_factory.mktemp("readme")
    command = place / "bin" / "autohedge"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m autohedge "$@"\n')
    command.chmod(0o755)
    (place / "empty").mkdir()
    return place


def _done(command: str, place: Path) -> str:
    """Runs one line of an example; returns its output."""
    path = f"{place / 'bin'}{os.pathsep}{os.environ['PATH']}"
    env = {name: value for name, value in os.environ.items() if not name.startswith("AUTOHEDGE__")}
    env |= {"PYTHONPATH": str(ROOT), "PATH": path}
    words = shlex.split(command, comments=True)
    # What needs no shell starts without the seconds that imports take.
    if words[0] == "autohedge" and not set(";|&<>") & set("".join(words)):
        process = fork_command(words[1:], place / "empty", env)
        out, err = process.communicate()
        done = subprocess.CompletedProcess(words, process.wait(), out, err)
    else:
        done = subprocess.run(
            ["bash", "-euc", command],
            cwd=place / "empty",
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )
    # As documented, this command exits with 1 when the prompts differ, as they do here.
    differs = command.startswith("autohedge prompts diff")
    assert done.returncode == int(differs), (command, done.stdout[-2000:], done.stderr[-2000:])
    return done.stdout + done.stderr


def test_readme_examples_in_order_succeed(place: Path) -> None:
    assert [name for name, _ in STORIES] == ["run", "edit", "audit"]
    outputs = {
        name: "".join(_done(command, place) for command in story.splitlines()) for name, story in STORIES
    }
    assert (
        "[AGENT]" in outputs["run"] and "[COOLDOWN]" in outputs["run"] and "deliberations" in outputs["run"]
    )
    assert "very clear move" in outputs["edit"] and "═══ Execution" in outputs["edit"]
    assert "every output reproduced" in outputs["audit"] and "chain unbroken" in outputs["audit"]
    assert (place / "empty" / "audit.html").stat().st_size > 10_000
