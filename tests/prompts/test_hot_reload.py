"""Edits of prompt files: which are applied, when, and which are refused with which error."""

import os
from itertools import count
from pathlib import Path

import pytest

from autohedge.core.errors import Misconfigured
from autohedge.prompts import builtin_path
from autohedge.prompts.hot_reload import BYTES_MAX, PromptWatcher
from autohedge.prompts.library import read

FOLDER = Path("prompts")
DIRECTOR, LEARNING = FOLDER / "director.md", FOLDER / "learning.md"
PACKAGED = builtin_path("director").read_text()
EDITED = PACKAGED.replace("You ", "Today you ", 1)


CLOCK = count(10**18)


def save(path: Path, text: str | bytes) -> None:
    """Writes a file with a later time than all before, however fast the test runs."""
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    os.utime(path, ns=(0, next(CLOCK)))


class Watched:
    """A watcher of two agents' prompts, with the prompts in force."""

    def __init__(self) -> None:
        self.observer = PromptWatcher()
        self.in_force = {name: read(name) for name in ("director", "learning")}

    def poll(self, times: int = 2) -> dict[str, str]:
        """Polls `times` times and puts the edits in force, as a run does; returns their texts."""
        found: dict[str, tuple[str, str]] = {}
        for _ in range(times):
            found |= self.observer.poll(self.in_force)
        self.in_force |= found
        return {name: text for name, (text, _) in found.items()}

    def complaint(self) -> str:
        with pytest.raises(Misconfigured) as refused:
            self.poll()
        return str(refused.value)


@pytest.fixture
def watched(workplace: Path) -> Watched:
    FOLDER.mkdir()
    return Watched()


def test_edit_unchanged_for_two_polls_is_found_once(watched: Watched) -> None:
    assert watched.poll() == {}
    save(DIRECTOR, EDITED)
    assert watched.poll(1) == {}
    assert watched.poll(1) == {"director": EDITED}
    assert watched.poll() == {}


def test_file_rewritten_at_each_poll_is_not_read(watched: Watched) -> None:
    for length in range(1, 9):
        save(DIRECTOR, EDITED[:length])
        assert watched.poll(1) == {}
    save(DIRECTOR, EDITED)
    assert watched.poll() == {"director": EDITED}


def test_a_truncated_file_waits_for_its_content(watched: Watched) -> None:
    save(DIRECTOR, "")
    assert watched.poll(5) == {}
    save(DIRECTOR, EDITED)
    assert watched.poll() == {"director": EDITED}


def test_file_moved_away_briefly_is_not_treated_as_deleted(watched: Watched) -> None:
    save(DIRECTOR, EDITED)
    watched.poll()
    DIRECTOR.rename(FOLDER / "director.md~")
    assert watched.poll(1) == {}
    draft = FOLDER / "draft"
    save(draft, EDITED + "More.\n")
    draft.rename(DIRECTOR)
    assert watched.poll() == {"director": EDITED + "More.\n"}


def test_deleted_file_restores_builtin_prompt(watched: Watched) -> None:
    save(DIRECTOR, EDITED)
    watched.poll()
    DIRECTOR.unlink()
    assert watched.poll() == {"director": PACKAGED}
    save(DIRECTOR, EDITED)
    assert watched.poll() == {"director": EDITED}
    DIRECTOR.unlink()
    FOLDER.rmdir()
    assert watched.poll() == {"director": PACKAGED}


def test_file_with_unchanged_text_is_no_edit(watched: Watched) -> None:
    save(DIRECTOR, PACKAGED)
    (FOLDER / "README.md").write_text("Mine.")
    (FOLDER / "notes").mkdir()
    assert watched.poll() == {}
    save(DIRECTOR, EDITED)
    assert watched.poll() == {"director": EDITED}
    os.utime(DIRECTOR, ns=(5, 5))
    assert watched.poll() == {}


def test_invalid_edit_is_reported_once_with_line_and_repair_is_taken(watched: Watched) -> None:
    broken = EDITED.replace("{table}", "{tabel}")
    line = 1 + next(n for n, text in enumerate(broken.split("\n")) if "{tabel}" in text)
    save(DIRECTOR, broken)
    assert f"{DIRECTOR}, line {line}: there is no field {{tabel}}" in watched.complaint()
    assert watched.poll(3) == {}
    os.utime(DIRECTOR, ns=(5, 5))
    assert watched.poll(3) == {}
    save(DIRECTOR, broken + "More.\n")
    assert f"line {line}" in watched.complaint()
    save(DIRECTOR, EDITED)
    assert watched.poll() == {"director": EDITED}
    save(DIRECTOR, broken)
    assert f"line {line}" in watched.complaint()


def test_several_edited_files_are_taken_all_or_none(watched: Watched) -> None:
    learning = builtin_path("learning").read_text()
    save(DIRECTOR, EDITED)
    save(LEARNING, "---\n" + learning)
    assert f"{LEARNING}, line 2" in watched.complaint()
    assert watched.poll(3) == {}
    save(LEARNING, learning + "More.\n")
    assert watched.poll() == {"director": EDITED, "learning": learning + "More.\n"}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"---\xff", "cannot read prompts/director.md"),
        (b"---\n" * BYTES_MAX, "at most"),
        (EDITED.partition("# User")[0].encode(), "the file ends without text under # User"),
        (EDITED.replace("version", "verison").encode(), "line 2: unknown key"),
    ],
)
def test_invalid_prompt_file_is_refused(watched: Watched, content: bytes, expected: str) -> None:
    save(DIRECTOR, content)
    assert expected in watched.complaint()
    assert watched.poll(3) == {}
    save(DIRECTOR, EDITED)
    assert watched.poll() == {"director": EDITED}


def test_misnamed_prompt_file_is_reported_and_taken_once_renamed(watched: Watched) -> None:
    stray = FOLDER / "directer.md"
    save(stray, EDITED)
    assert "did you mean director?" in watched.complaint()
    stray.rename(DIRECTOR)
    assert watched.poll() == {"director": EDITED}


def test_unreadable_folder_is_reported_once_and_changes_no_prompt(watched: Watched) -> None:
    save(DIRECTOR, EDITED)
    watched.poll()
    moved = FOLDER.rename("elsewhere")
    FOLDER.symlink_to(FOLDER)
    assert "cannot list prompts in prompts" in watched.complaint()
    assert watched.poll(3) == {}
    FOLDER.unlink()
    moved.rename(FOLDER)
    assert watched.poll() == {}


def test_file_present_at_start_counts_only_once_changed(workplace: Path) -> None:
    FOLDER.mkdir()
    save(DIRECTOR, "{broken")
    observer, in_force = PromptWatcher(), {"director": (PACKAGED, "")}
    assert [observer.poll(in_force) for _ in range(3)] == [{}] * 3
    save(DIRECTOR, EDITED)
    assert [observer.poll(in_force) for _ in range(3)] == [{}, {"director": (EDITED, str(DIRECTOR))}, {}]
