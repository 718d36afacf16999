"""A journal is followed while it grows, in whatever pieces its lines arrive."""

from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from autohedge.core.errors import Corrupt
from autohedge.core.events import EndOfTape, JournalEntry, RunEnded, Timer
from autohedge.journal import Journal, JournalLine, encode_line, follow, read
from autohedge.journal.chain import seal, torn_tail_bytes
from autohedge.journal.durable import DurableStore
from autohedge.journal.follow import READ_BYTES
from tests.journal.entry_factory import ENTRIES
from tests.report_factory import run_result

ENDED = JournalEntry(99, 5, RunEnded(run_result()))
Step = Callable[[], object]


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("follow") / "journal.jsonl"


def content_of(entries: Iterable[JournalEntry]) -> bytes:
    line, head = seal(b'{"genesis":{}', "0" * 64)
    lines = [line]
    for entry in entries:
        line, head = encode_line(entry, head)
        lines.append(line)
    return b"".join(lines)


def followed(path: Path, steps: Iterable[Step]) -> list[JournalLine]:
    """Follows a journal to which the next step happens whenever all of it was read; stops after the last step."""
    left = iter(steps)

    def wait() -> bool:
        step = next(left, None)
        if step:
            step()
        return step is not None

    return list(follow(path, wait))


def appended(path: Path, content: bytes) -> Step:
    def append() -> None:
        with path.open("ab") as file:
            file.write(content)

    return append


@budget(max_examples=60, deadline=None)
@given(cuts=st.lists(st.integers(0, 4_000), max_size=12).map(sorted))
def test_journal_that_grows_in_any_pieces_is_read_line_by_line(scratch: Path, cuts: list[int]) -> None:
    content = content_of(entry for entry in ENTRIES if not isinstance(entry.event, RunEnded))
    places = [0, *(min(cut, len(content)) for cut in cuts), len(content)]
    scratch.write_bytes(b"")
    lines = followed(scratch, [appended(scratch, content[begin:end]) for begin, end in pairwise(places)])
    assert scratch.read_bytes() == content and lines == list(read(scratch))


def test_lines_are_yielded_as_soon_as_they_are_whole(scratch: Path) -> None:
    first, second, rest = content_of([JournalEntry(1, 0, Timer(1)), JournalEntry(2, 0, Timer(2))]).splitlines(
        True
    )
    scratch.write_bytes(first + second[:-1])
    seen: list[int] = []

    def wait() -> bool:
        seen.append(len(lines))
        appended(scratch, {1: second[-1:], 2: rest, 3: b""}[len(seen)])()
        return len(seen) < 3

    lines: list[JournalLine] = []
    for line in follow(scratch, wait):
        lines.append(line)  # noqa: PERF402  `wait` counts them as they come
    assert seen == [1, 2, 3]


def test_torn_line_that_a_restart_cuts_off_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    whole = content_of(ENTRIES[:4])
    torn = encode_line(ENTRIES[4], "0" * 64)[0][:-9]
    path.write_bytes(whole + torn)

    def restart() -> None:
        store = DurableStore(path, reserved=False, syncs_behind=False)
        store.truncate_torn(torn_tail_bytes(path))
        journal = Journal(store, list(read(path))[-1].hash, 5)
        for entry in ENTRIES[5:7]:
            journal.append(entry)
        store.close()

    lines = followed(path, [lambda: None, restart])
    assert [line.entry for line in lines[1:]] == [*ENTRIES[:4], *ENTRIES[5:7]]


def test_run_that_has_ended_is_followed_no_further(scratch: Path) -> None:
    scratch.write_bytes(content_of([*ENTRIES[:2], ENDED]))
    assert len(list(follow(scratch, lambda: pytest.fail("it has ended")))) == 4


def test_run_that_went_on_after_its_end_is_followed_to_its_last_line(scratch: Path) -> None:
    scratch.write_bytes(content_of([ENDED, JournalEntry(100, 5, EndOfTape())]))
    answers = iter([True, False])
    assert len(list(follow(scratch, lambda: next(answers)))) == 3
    assert list(answers) == []


@pytest.mark.parametrize("kept", [0, 1])
def test_journal_that_loses_lines_is_corrupt(scratch: Path, kept: int) -> None:
    lines = content_of(ENTRIES[:3]).splitlines(True)
    scratch.write_bytes(b"".join(lines))
    with pytest.raises(Corrupt, match="lost lines while it was read"):
        followed(scratch, [lambda: scratch.write_bytes(b"".join(lines[:kept]))])


def test_damaged_line_is_named_once_it_is_whole(scratch: Path) -> None:
    first, second, third = content_of(ENTRIES[:2]).splitlines(True)
    scratch.write_bytes(first)
    with pytest.raises(Corrupt, match="line 3 is damaged"):
        followed(scratch, [appended(scratch, second), appended(scratch, third.replace(b'"seq":', b'"sec":'))])


def test_line_longer_than_one_read_is_read(scratch: Path) -> None:
    line, _ = seal(b'{"genesis":{"long":"%b"}' % (b"x" * 3 * READ_BYTES), "0" * 64)
    scratch.write_bytes(line[:-1])
    (genesis,) = followed(scratch, [appended(scratch, line[-1:])])
    assert genesis.genesis and len(genesis.genesis["long"]) == 3 * READ_BYTES


def test_journal_without_a_line_is_corrupt(scratch: Path) -> None:
    scratch.write_bytes(b"")
    with pytest.raises(Corrupt, match="is empty"):
        followed(scratch, [])
