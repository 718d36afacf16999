"""The help of every command fits 80 columns, without a cut word."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from autohedge.cli import invocation
from autohedge.cli.commands import GROUPS, app

assert invocation.VERBS  # their import adds the commands
ROOT: Any = typer.main.get_command(app)


def _paths(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The words of each command and group."""
    yield path
    for name, child in getattr(command, "commands", {}).items():
        yield from _paths(child, (*path, name))


def _command(path: tuple[str, ...]) -> Any:
    command = ROOT
    for name in path:
        command = command.commands[name]
    return command


def _help(path: tuple[str, ...]) -> str:
    result = CliRunner().invoke(app, [*path, "--help"], terminal_width=80)
    assert result.exit_code == 0
    return result.output


@pytest.mark.parametrize("path", list(_paths(ROOT)), ids=" ".join)
def test_help_fits_80_columns_and_cuts_no_text(path: tuple[str, ...]) -> None:
    text = _help(path)
    assert max(map(len, text.splitlines())) <= 80
    assert not re.search(r"[a-z]\.\.\.$", text, re.MULTILINE)
    words = " ".join(text.split())
    for option in _command(path).params:
        assert " ".join((getattr(option, "help", None) or "").split()) in words


def test_main_help_shows_every_command_in_a_group_with_one_line() -> None:
    text = _help(())
    for title, names in GROUPS.items():
        section = text.partition(f"\n{title}:\n")[2].partition("\n\n")[0]
        assert [line.split()[0] for line in section.splitlines()] == list(names)
    assert {name for names in GROUPS.values() for name in names} == set(ROOT.commands)


@pytest.mark.parametrize("path", [path for path in _paths(ROOT) if path], ids=" ".join)
def test_help_of_a_command_begins_with_one_sentence(path: tuple[str, ...]) -> None:
    first = (_command(path).help or "").splitlines()[0]
    assert first.endswith(".") and len(first) <= 68
