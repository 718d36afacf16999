"""Edits of prompt files: what is taken, when, and what is refused and said."""

import os
from itertools import count
from pathlib import Path

import pytest

from autohedge.core.errors import Misconfigured
from autohedge.prompts import packaged_file
from autohedge.prompts.edits import BYTES_MAX, Edits
from autohedge.prompts.library import read

FOLDER = Path("prompts")
DIRECTOR, LEARNING = FOLDER / "director.md", FOLDER / "learning.md"
PACKAGED = packaged_file("director").read_text()
EDITED = PACKAGED.replace("You ", "Today you ", 1)


CLOCK = count(10**18)


def save(path: Path, text: str | bytes) -> None:
    """Write a file later than all before, however fast a test is."""
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    os.utime(path, ns=(0, next(CLOCK)))


class Watched:
    """Edits of the prompts of two agents, which are in force once they are found."""

    def __init__(self) -> None:
        self.edits = Edits()
        self.in_force = {name: read(name) for name in ("director", "learning")}

    def looks(self, times: int = 2) -> dict[str, str]:
        """What so many looks find, as a run takes it."""
        found: dict[str, tuple[str, str]] = {}
        for _ in range(times):
            found |= self.edits.look(self.in_force)
        self.in_force |= found
        return {name: text for name, (text, _) in found.items()}

    def complaint(self) -> str:
        with pytest.raises(Misconfigured) as refused:
            self.looks()
        return str(refused.value)


@pytest.fixture
def watched(workplace: Path) -> Watched:
    FOLDER.mkdir()
    return Watched()


def test_an_edit_is_found_once_it_has_stayed_for_two_looks(watched: Watched) -> None:
    assert watched.looks() == {}
    save(DIRECTOR, EDITED)
    assert watched.looks(1) == {}
    assert watched.looks(1) == {"director": EDITED}
    assert watched.looks() == {}


def test_a_file_that_is_written_again_at_each_look_is_not_read(watched: Watched) -> None:
    for length in range(1, 9):
        save(DIRECTOR, EDITED[:length])
        assert watched.looks(1) == {}
    save(DIRECTOR, EDITED)
    assert watched.looks() == {"director": EDITED}


def test_a_truncated_file_waits_for_its_content(watched: Watched) -> None:
    save(DIRECTOR, "")
    assert watched.looks(5) == {}
    save(DIRECTOR, EDITED)
    assert watched.looks() == {"director": EDITED}


def test_a_file_that_is_moved_away_for_a_moment_is_not_deleted(watched: Watched) -> None:
    save(DIRECTOR, EDITED)
    watched.looks()
    DIRECTOR.rename(FOLDER / "director.md~")
    assert watched.looks(1) == {}
    draft = FOLDER / "draft"
    save(draft, EDITED + "More.\n")
    draft.rename(DIRECTOR)
    assert watched.looks() == {"director": EDITED + "More.\n"}


def test_a_deleted_file_means_the_packaged_prompt_again(watched: Watched) -> None:
    save(DIRECTOR, EDITED)
    watched.looks()
    DIRECTOR.unlink()
    assert watched.looks() == {"director": PACKAGED}
    save(DIRECTOR, EDITED)
    assert watched.looks() == {"director": EDITED}
    DIRECTOR.unlink()
    FOLDER.rmdir()
    assert watched.looks() == {"director": PACKAGED}


def test_what_says_the_same_is_no_edit(watched: Watched) -> None:
    save(DIRECTOR, PACKAGED)
    (FOLDER / "README.md").write_text("Mine.")
    (FOLDER / "notes").mkdir()
    assert watched.looks() == {}
    save(DIRECTOR, EDITED)
    assert watched.looks() == {"director": EDITED}
    os.utime(DIRECTOR, ns=(5, 5))
    assert watched.looks() == {}


def test_a_mistake_is_said_once_with_file_and_line_and_the_repair_is_taken(watched: Watched) -> None:
    broken = EDITED.replace("{table}", "{tabel}")
    line = 1 + next(n for n, text in enumerate(broken.split("\n")) if "{tabel}" in text)
    save(DIRECTOR, broken)
    assert f"{DIRECTOR}, line {line}: there is no field {{tabel}}" in watched.complaint()
    assert watched.looks(3) == {}
    os.utime(DIRECTOR, ns=(5, 5))
    assert watched.looks(3) == {}
    save(DIRECTOR, broken + "More.\n")
    assert f"line {line}" in watched.complaint()
    save(DIRECTOR, EDITED)
    assert watched.looks() == {"director": EDITED}
    save(DIRECTOR, broken)
    assert f"line {line}" in watched.complaint()


def test_of_several_edited_files_all_or_none_are_taken(watched: Watched) -> None:
    learning = packaged_file("learning").read_text()
    save(DIRECTOR, EDITED)
    save(LEARNING, "---\n" + learning)
    assert f"{LEARNING}, line 2" in watched.complaint()
    assert watched.looks(3) == {}
    save(LEARNING, learning + "More.\n")
    assert watched.looks() == {"director": EDITED, "learning": learning + "More.\n"}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"---\xff", "cannot read prompts/director.md"),
        (b"---\n" * BYTES_MAX, "at most"),
        (EDITED.partition("# User")[0].encode(), "the file ends without text under # User"),
        (EDITED.replace("version", "verison").encode(), "line 2: unknown key"),
    ],
)
def test_what_is_no_prompt_is_refused(watched: Watched, content: bytes, says: str) -> None:
    save(DIRECTOR, content)
    assert says in watched.complaint()
    assert watched.looks(3) == {}
    save(DIRECTOR, EDITED)
    assert watched.looks() == {"director": EDITED}


def test_a_prompt_that_nobody_reads_keeps_an_edit_back_until_it_is_renamed(watched: Watched) -> None:
    stray = FOLDER / "directer.md"
    save(stray, EDITED)
    assert "did you mean director?" in watched.complaint()
    stray.rename(DIRECTOR)
    assert watched.looks() == {"director": EDITED}


def test_a_folder_that_cannot_be_looked_into_is_said_once_and_changes_nothing(watched: Watched) -> None:
    save(DIRECTOR, EDITED)
    watched.looks()
    elsewhere = FOLDER.rename("elsewhere")
    FOLDER.symlink_to(FOLDER)
    assert "cannot look for prompts in prompts" in watched.complaint()
    assert watched.looks(3) == {}
    FOLDER.unlink()
    elsewhere.rename(FOLDER)
    assert watched.looks() == {}


def test_what_lay_there_at_first_counts_when_it_changes(workplace: Path) -> None:
    FOLDER.mkdir()
    save(DIRECTOR, "{broken")
    edits, in_force = Edits(), {"director": (PACKAGED, "")}
    assert [edits.look(in_force) for _ in range(3)] == [{}] * 3
    save(DIRECTOR, EDITED)
    assert [edits.look(in_force) for _ in range(3)] == [{}, {"director": (EDITED, str(DIRECTOR))}, {}]
