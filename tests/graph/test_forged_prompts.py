"""A record with changed prompts: it is replayed with them, and forgeries are detected."""

from collections.abc import Callable
from itertools import groupby
from typing import Any

import pytest

from autohedge import app
from autohedge.core.errors import Corrupt
from autohedge.journal import RunFolder, verify
from tests.forged_record_factory import Lines, first, rewrite
from tests.graph.record_factory import replayed, require_difference, transcribed

Forge = Callable[[RunFolder], RunFolder]


def _kind(line: dict[str, Any]) -> str:
    return str(line.get("event", {}).get("type", ""))


def _changes(lines: Lines) -> list[int]:
    return [index for index, line in enumerate(lines) if _kind(line) == "prompts_changed"]


def _question_after(lines: Lines, index: int) -> int:
    """Returns the index of the first deliberation request after a line."""
    return next(n for n, line in enumerate(lines) if n > index and _kind(line) == "deliberation_requested")


def _number(lines: Lines, index: int) -> int:
    return int(lines[index]["event"]["number"])


def test_question_is_rerendered_from_prompts_in_force_at_its_time(by_edited: RunFolder) -> None:
    verify(by_edited)
    assert app.replay_engine(by_edited) == (None, True)
    replay = app.replay_deliberations(by_edited)
    assert replay and replay.difference is None
    hashes = [line.request.prompt_hash for line in transcribed(by_edited) if line.request]
    one, two, three = (each for each, _ in groupby(hashes))
    assert one == three != two


def test_a_change_that_was_left_out_is_found_at_its_first_question(
    by_edited: RunFolder, forge: Forge
) -> None:
    folder, number = forge(by_edited), 0

    def leave_out(lines: Lines) -> None:
        nonlocal number
        (at, _) = _changes(lines)
        number = _number(lines, _question_after(lines, at))
        del lines[at]

    rewrite(folder, leave_out)
    difference = require_difference(folder)
    assert difference.deliberation == number
    assert difference.what.startswith("request message 1 at character ")
    assert "Today" in difference.recorded and "Today" not in difference.replayed
    engine, _ = app.replay_engine(folder)
    assert engine


@pytest.mark.parametrize("way", ["later", "earlier"])
def test_a_change_that_was_moved_over_a_question_is_found_at_it(
    by_edited: RunFolder, forge: Forge, way: str
) -> None:
    folder, number = forge(by_edited), 0

    def move(lines: Lines) -> None:
        nonlocal number
        at = _changes(lines)[0]
        before = max(n for n, line in enumerate(lines) if n < at and _kind(line) == "deliberation_requested")
        over = _question_after(lines, at) if way == "later" else before
        number = _number(lines, over)
        lines.insert(over, lines.pop(at))

    rewrite(folder, move)
    assert require_difference(folder).deliberation == number


def test_another_file_in_a_change_is_found(by_edited: RunFolder, forge: Forge) -> None:
    folder = forge(by_edited)

    def rename(lines: Lines) -> None:
        prompts = lines[0]["genesis"]["agents"]["prompts"]
        first(lines, type="prompts_changed")["event"]["prompts"] = {"director": prompts["director"]}

    rewrite(folder, rename)
    assert require_difference(folder).what.startswith("request message 1 at character ")


def test_prompt_rendering_the_same_is_found_by_its_hash(by_edited: RunFolder, forge: Forge) -> None:
    folder = forge(by_edited)

    def rename(lines: Lines) -> None:
        event = first(lines, type="prompts_changed")["event"]
        text = folder.stored_file(event["prompts"]["director"]).read_text()
        event["prompts"]["director"] = folder.store_file(
            text.replace("version: 1", "version: 2").encode(), ".md"
        )

    rewrite(folder, rename)
    assert require_difference(folder).what == "request prompt_hash"


@pytest.mark.parametrize(
    ("damage", "message"), [("gone", "is missing"), ("changed", "does not match its name")]
)
def test_prompt_file_of_change_is_checked_by_every_reader(
    by_edited: RunFolder, forge: Forge, damage: str, message: str
) -> None:
    folder = forge(by_edited)
    names: list[str] = []
    rewrite(
        folder,
        lambda lines: names.append(first(lines, type="prompts_changed")["event"]["prompts"]["director"]),
    )
    path = folder.stored_file(names[0])
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes() + b"\n")
    for reader in (replayed, verify, app.replay_engine):
        with pytest.raises(Corrupt, match=message):
            reader(folder)


@pytest.mark.parametrize(
    ("prompts", "message"),
    [({"stranger": "ab.md"}, "no such agent"), ({"director": "../journal.jsonl"}, "does not match its name")],
)
def test_change_to_unknown_agent_or_outside_path_is_damage(
    by_edited: RunFolder, forge: Forge, prompts: dict[str, str], message: str
) -> None:
    folder = forge(by_edited)

    def put(lines: Lines) -> None:
        first(lines, type="prompts_changed")["event"]["prompts"] = prompts

    rewrite(folder, put)
    with pytest.raises(Corrupt, match=message):
        replayed(folder)
