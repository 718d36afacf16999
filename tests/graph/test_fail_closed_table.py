"""docs/fail-closed.md: each row has an existing test, and each code in the source has a row."""

import ast
import re
from itertools import chain
from pathlib import Path
from typing import get_args

import pytest

from autohedge.core.abstentions import ABSTENTIONS, REFUSALS, describe
from autohedge.core.reasons import Reason
from autohedge.graph import runner
from autohedge.llm import queue
from autohedge.llm.backend import FailureCode

ROOT = Path(__file__).parents[2]
TABLE = (ROOT / "docs" / "fail-closed.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\|.*\| \[(\w+)(?:\[(\w+)\])?\]\(\.\./(\S+)\) \|$")
NAMED = re.compile(r"\| `(\w+)` \|")
GIVES = {
    "abstention": 0,
    "_on_abstention": 1,
    "ParsedAnswer": 1,
    "Attempt": 1,
    "_refused": 0,
    "_drop": 1,
    "_abandon": 1,
}
GIVERS = ("agents", "graph", "llm", "engine")


def _rows() -> list[tuple[str, str | None, Path]]:
    lines = [line for line in TABLE.splitlines() if "test_" in line and line.startswith("|")]
    found = [ROW.match(line) for line in lines]
    assert len(lines) > 50 and all(found), [line for line, each in zip(lines, found, strict=True) if not each]
    return [(each[1], each[2], ROOT / each[3]) for each in found if each]


@pytest.mark.parametrize(("test", "case", "path"), sorted(set(_rows()), key=str))
def test_a_row_links_to_a_test_that_exists(test: str, case: str | None, path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    tests = [node.name for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)]
    assert test in tests
    assert case is None or f'"{case}":' in text


def _in_the_code() -> set[str]:
    """Returns every literal in the source that is used as the code of an abstention."""
    folders = (ROOT / "autohedge" / name for name in GIVERS)
    trees = (ast.parse(path.read_text(encoding="utf-8")) for each in folders for path in each.rglob("*.py"))
    nodes = chain.from_iterable(map(ast.walk, trees))
    return set(chain.from_iterable(map(_given, nodes)))


def _given(node: ast.AST) -> list[str]:
    match node:
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if name in GIVES:
            return _texts(node.args[GIVES[name] :][:1])
        case ast.Assign(
            targets=[ast.Tuple(elts=[ast.Attribute(attr="code"), *_])], value=ast.Tuple(elts=made)
        ):
            return _texts(made[:1])
        case _:
            return []


def _texts(nodes: list[ast.expr]) -> list[str]:
    return [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]


def test_every_code_has_a_sentence_and_a_row() -> None:
    codes = _in_the_code() - {""}
    assert {"graph_error", "truncated", "backend_error", "queue_full", "timeout", "cancelled"} <= codes
    assert codes | set(get_args(FailureCode)) | set(queue.CODES) <= set(ABSTENTIONS)
    assert set(NAMED.findall(TABLE)) == ABSTENTIONS.keys() | REFUSALS.keys()


def _refused_in_the_code() -> set[str]:
    """Returns every refusal code that occurs in the agents, the graph or the proposal handler."""
    modules = ("engine/deliberations/proposals.py", "graph/fast_path.py")
    paths = [ROOT / "autohedge" / name for name in modules]
    paths += (ROOT / "autohedge" / "agents").glob("*.py")
    texts = " ".join(path.read_text(encoding="utf-8") for path in paths)
    return {code for code in REFUSALS if f'"{code}"' in texts}


def test_abstention_and_refusal_codes_are_disjoint_and_refusals_used() -> None:
    assert not ABSTENTIONS.keys() & REFUSALS.keys()
    reasons = (Reason.ENTRY, Reason.EXIT_SIGNAL, Reason.NO_SHORT, Reason.NO_LONG)
    by_name = {reason.label for reason in reasons} | {runner.HELD}
    assert _refused_in_the_code() | by_name == REFUSALS.keys()


@pytest.mark.parametrize("code", [*ABSTENTIONS, *REFUSALS])
def test_a_sentence_is_one_short_line(code: str) -> None:
    sentence = describe(code)
    assert sentence.isprintable() and 5 < len(sentence) < 120 and not sentence.endswith(".")
