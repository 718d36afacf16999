"""The commands of each page in docs/ run, one after the other, in an empty folder; phrases that are retired stay out."""

import ast
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from autohedge import cli
from autohedge.market import LiveStore

pytestmark = pytest.mark.process

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"(<!-- not run: [^>]*-->\n)?```sh\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PAGES = {
    str(path.relative_to(ROOT)): [
        line
        for not_run, block in BLOCK.findall(path.read_text(encoding="utf-8"))
        if not not_run
        for line in block.strip().splitlines()
    ]
    for path in sorted((ROOT / "docs").rglob("*.md"))
}

RETIRED = (
    "dealer",
    "counsel",
    "pupil",
    "knock",
    "wish",
    "stranger",
    "taken back",
    "asked back",
    "mind",
    "desk",
    "office",
    "house rules",
    "plan of the house",
    "slow plane",
    "fast plane",
)
RETIRED_PHRASE = re.compile(rf"\b({'|'.join(RETIRED)})(s|es|ed|ing)?\b", re.IGNORECASE)
EXCEPTIONS = {
    ("docs/upgrading.md", "wish"): "the old name of a key of results.json",
}


def _run(line: str) -> int:
    """Run one line of a page: a command of AutoHedge in this process, anything else in a shell."""
    words = shlex.split(line, comments=True)
    if words[0] != "autohedge" or ">" in words:
        return subprocess.run(["bash", "-euc", line], check=False).returncode
    sys.argv = words
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


@pytest.mark.parametrize("page", [page for page, lines in PAGES.items() if lines])
def test_commands_of_a_page_succeed_in_order(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [])
    for line in PAGES[page]:
        assert _run(line) == 0, line


def test_program_of_the_page_about_python_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(
        r"^```python\n(.*?)^```$", (ROOT / "docs/python.md").read_text(), re.DOTALL | re.MULTILINE
    )
    exec("\n".join(blocks), {})
    printed = capsys.readouterr().out
    assert len(blocks) == 5 and "True" in printed and "sell" in printed


def test_store_that_the_page_about_tapes_writes_is_traded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs/tapes.md").read_text()
    program, command = (
        re.findall(rf"^```{language}\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
        for language in ("python", "sh")
    )
    exec("\n".join(program), {})
    assert _run(command[-1].strip()) == 0
    assert LiveStore(tmp_path / "streams").count == 2


def test_pages_with_commands_are_found() -> None:
    assert sum(map(len, PAGES.values())) > 40


def _texts() -> Iterator[tuple[str, int, str]]:
    """Pages of documentation line by line, and each string and comment of the package, with file and line."""
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "config.toml"]:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            yield str(path.relative_to(ROOT)), number, line
    for path in sorted((ROOT / "autohedge").rglob("*.py")):
        name, source = str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield name, node.lineno, node.value
        for number, line in enumerate(source.splitlines(), 1):
            yield name, number, line.partition("#")[2]


def test_retired_phrases_are_absent() -> None:
    found = [
        f"{name}:{number}: {phrase[0]}"
        for name, number, text in _texts()
        for phrase in RETIRED_PHRASE.finditer(text)
        if (name, phrase[1].lower()) not in EXCEPTIONS
    ]
    assert found == []


def test_links_between_pages_lead_somewhere() -> None:
    link = re.compile(r"\]\((?!https?:)([^)#\s]+)(?:#[^)]*)?\)")
    broken = [
        f"{path.relative_to(ROOT)}: {target}"
        for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
        for target in link.findall(path.read_text(encoding="utf-8"))
        if not (path.parent / target).exists()
    ]
    assert broken == []
