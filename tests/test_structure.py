"""Tests of the structure of the code: exports, unique class names, vocabulary, sizes."""

import ast
import importlib
import pkgutil
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import autohedge

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "autohedge"
FILE_LINES_MAX, FUNCTION_LINES_MAX, PARAMETERS_MAX = 500, 60, 6
MANY_PARAMETERS = (
    "autohedge/kernels/",
    "autohedge/cli/",
)  # compiled loops over columns; options of a command
PACKAGES = [module.name for module in pkgutil.walk_packages(autohedge.__path__, "autohedge.") if module.ispkg]
WITHOUT_EXPORTS = {
    "autohedge.agents": "loads LangChain",
    "autohedge.console": "loads rich",
    "autohedge.core": "every package imports it, most a single module of it",
    "autohedge.exchanges.loopback": "server and client run in different processes",
    "autohedge.graph": "loads LangGraph",
    "autohedge.kernels": "loads numba",
    "autohedge.llm": "loads LangChain",
    "autohedge.llm.backends": "loads LangChain",
    "autohedge.llm.cache": "loads redis",
}

# Parts of names that are not terms of the field, with the terms to use instead.
RETIRED = {
    "agenda": "timers",
    "anew": "retry, re-query",
    "asker": "client",
    "counsel": "decision source",
    "dealer": "planner",
    "desk": "instrument state, harness",
    "desks": "instruments",
    "door": "gate, entry point",
    "doorkeeper": "gate checker",
    "doors": "gates",
    "elsewhere": "remote",
    "foretold": "estimated",
    "hear": "inject, on_...",
    "heard": "received, on_...",
    "heeded": "obeyed, accepted",
    "house": "venue server, codebase",
    "hush": "pause",
    "knock": "handshake",
    "knowing": "record first",
    "mind": "service",
    "minds": "services",
    "moment": "timestamp, at_ns",
    "moments": "timestamps",
    "mouth": "output thread",
    "mute": "null, no ...",
    "narrator": "event log",
    "nobody": "null ...",
    "nothing": "null, empty",
    "office": "execution manager",
    "parted": "differs, divergence",
    "plane": "agent runtime",
    "pupil": "symbol state",
    "said": "answer, message",
    "say": "write, log",
    "says": "message",
    "school": "lesson scheduler",
    "stranger": "unknown, untrusted",
    "strangers": "unknown, untrusted",
    "tell": "notify, describe",
    "tells": "notifies",
    "told": "described, notified",
    "unasked": "not sent",
    "wish": "signal, order request",
    "wishes": "signals",
    "witness": "checker",
    "word": "answer, message",
    "words": "answers, messages",
}
EXCEPTIONS = {
    ("autohedge/prompts/fields.py", "says"): "a key of `autohedge prompts fields --json`",
}


@pytest.mark.parametrize("name", PACKAGES)
def test_package_exports_exist_and_are_sorted(name: str) -> None:
    package = importlib.import_module(name)
    assert package.__doc__ and len(package.__doc__.splitlines()) == 1
    exported = package.__all__
    assert exported == sorted(exported)
    assert bool(exported) != (name in WITHOUT_EXPORTS)
    assert all(hasattr(package, each) for each in exported)


@pytest.mark.parametrize("name", PACKAGES)
def test_package_init_holds_imports_and_exports_only(name: str) -> None:
    tree = ast.parse(Path(str(importlib.import_module(name).__file__)).read_text(encoding="utf-8"))
    imported = {
        alias.asname or alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert all(isinstance(node, ast.Expr | ast.ImportFrom | ast.Assign | ast.AnnAssign) for node in tree.body)
    assert sorted(imported) == sorted(importlib.import_module(name).__all__)


def _trees(*folders: str) -> Iterator[tuple[str, ast.Module]]:
    """Yields the path and the syntax tree of each Python file below these folders."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield str(path.relative_to(ROOT)), _tree(path)


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def test_public_class_names_are_unique_in_the_package() -> None:
    names = Counter(
        node.name
        for _, tree in _trees("autohedge")
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    assert [name for name, count in names.items() if count > 1] == []


def _identifiers(path: str, tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yields the names of a file, its classes, functions, parameters and fields, each with its line."""
    yield 0, Path(path).stem
    for node in ast.walk(tree):
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield node.lineno, name
            case ast.arg(arg=name) | ast.AnnAssign(target=ast.Name(id=name)):
                yield node.lineno, name


def _parts(name: str) -> set[str]:
    """Returns the parts of a snake_case or CamelCase name, in lower case."""
    return {part.lower() for part in re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name).split("_")}


def test_retired_names_are_absent() -> None:
    found = [
        f"{path}:{line} {name}: use {RETIRED[part]}"
        for path, tree in _trees("autohedge", "tests", "benchmarks", "examples")
        for line, name in _identifiers(path, tree)
        for part in sorted(_parts(name) & RETIRED.keys())
        if (path, name) not in EXCEPTIONS
    ]
    assert found == []


def test_every_exception_is_needed() -> None:
    named = {(path, name) for path, tree in _trees("autohedge") for _, name in _identifiers(path, tree)}
    assert EXCEPTIONS.keys() <= named


def test_test_names_are_at_most_75_characters() -> None:
    functions = [
        (path, node.name)
        for path, tree in _trees("tests")
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
    ]
    assert [(path, name) for path, name in functions if name.startswith("test_") and len(name) > 75] == []


def test_no_file_or_function_is_too_long() -> None:
    long_files = [
        path
        for path, _ in _trees("autohedge")
        if len((ROOT / path).read_text(encoding="utf-8").splitlines()) > FILE_LINES_MAX
    ]
    long_functions = [
        f"{path}:{node.lineno} {node.name}"
        for path, tree in _trees("autohedge")
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno + 1 > FUNCTION_LINES_MAX
    ]
    assert long_files + long_functions == []


def _parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    """Returns the names of a function's parameters without `self` and `cls`."""
    arguments = function.args
    names = [each.arg for each in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
    return [name for name in names if name not in {"self", "cls"}]


def test_no_function_has_too_many_parameters() -> None:
    found = [
        f"{path}:{node.lineno} {node.name}: {len(_parameters(node))}"
        for path, tree in _trees("autohedge")
        if not path.startswith(MANY_PARAMETERS)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and len(_parameters(node)) > PARAMETERS_MAX
    ]
    assert found == []


# `simulated` is how the simulated venue behaves; what every venue has, such as fees, is in `account`.
READ_SIMULATED = ("autohedge/app/", "autohedge/config/", "autohedge/exchanges/", "autohedge/faultsim/")


def test_settings_of_the_simulated_venue_are_read_where_it_is_built_only() -> None:
    found = [
        f"{path}:{node.lineno}"
        for path, tree in _trees("autohedge")
        if not path.startswith(READ_SIMULATED)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr == "simulated"
    ]
    assert found == []
