"""The diagram of the graph: the command's output and the document agree."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from autohedge import cli

ROOT = Path(__file__).parents[2]
OFFLINE = """
import os, sys
def heard(event, args):
    if event in {"socket.connect", "socket.getaddrinfo", "socket.gethostbyname"}:
        os._exit(97)
sys.addaudithook(heard)
sys.argv = ["autohedge", "draw"]
from autohedge.cli import main
main()
"""


def test_draw_offline_prints_the_graph_as_text_only() -> None:
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", OFFLINE], env=env, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("---\nconfig:") and "graph TD;" in done.stdout
    for node in ("director", "quant", "learning"):
        assert f"\t{node}({node})\n" in done.stdout
    assert "__start__ -.-> director;" in done.stdout
    assert not done.stderr


def test_agents_document_matches_draw_output(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["autohedge", "draw"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code
    text = (ROOT / "docs" / "agents.md").read_text(encoding="utf-8")
    shown = re.findall(r"^```mermaid\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    assert shown == [capsys.readouterr().out]
