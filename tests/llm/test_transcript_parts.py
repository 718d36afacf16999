"""Segments of a transcript: nothing is lost at any moment, and damage is named."""

import gzip
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autohedge.core.errors import Corrupt
from autohedge.core.quote_table import quote_table
from autohedge.core.snapshots import Snapshot
from autohedge.journal.disk import LocalDisk
from autohedge.llm import transcript
from autohedge.llm.backend import LLMRequest, Message
from autohedge.llm.outcome import Call
from autohedge.llm.transcript import (
    Transcript,
    TranscriptEntry,
    TranscriptIndex,
    lines_of,
    read,
    read_backwards,
    read_hashes,
)
from autohedge.llm.transcript_lines import close_line, parse_lines
from autohedge.llm.transcript_parts import segment_path
from tests.llm.request_factory import GOOD, make_request, make_response
from tests.snapshot_factory import rows, snapshot
from tests.synced_files import following_syncs

REPLY = make_response(GOOD)


@contextmanager
def segments_of(size: int) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transcript, "SEGMENT_BYTES", size)
        yield


def deliberation(number: int, calls: int = 2) -> list[TranscriptEntry]:
    """Returns lines whose requests share the system part and a table of the last two quotes."""
    shown = snapshot(rows([100.0, 101.0, 102.0 + number]), number=number)
    table = quote_table(shown.quotes[1:])
    messages = (Message("system", "Be careful."), Message("user", f"Symbol: X\n{table}\n\nTrade?"))
    request = msgspec.structs.replace(make_request(), messages=messages, snapshot=shown.hash)
    return lines_of(number, shown, [Call(request, REPLY, "accepted", "", "direct", 1, 0.0)] * calls, "")


def write(path: Path, *deliberations: list[TranscriptEntry]) -> list[TranscriptEntry]:
    """Appends deliberations as a run does; returns their entries with their hashes."""
    written, hashed = Transcript(path), []
    for entries in deliberations:
        hashes = written.append(entries)
        written.cut()
        hashed += [
            msgspec.structs.replace(entry, hash=digest) for entry, digest in zip(entries, hashes, strict=True)
        ]
    written.close()
    return hashed


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "transcript.jsonl"


def files(path: Path) -> list[str]:
    return sorted(str(each.relative_to(path.parent)) for each in path.parent.rglob("*") if each.is_file())


# what is written is read


TEXTS = st.text(max_size=40) | st.just(quote_table(rows([100, 101])))
MESSAGES = st.builds(Message, st.sampled_from(["system", "user", "assistant"]), TEXTS)
SCHEMAS = st.dictionaries(st.text(max_size=4), st.integers() | st.text(max_size=4), max_size=3)
REQUESTS: st.SearchStrategy[LLMRequest] = st.builds(
    lambda messages, schema: msgspec.structs.replace(make_request(), messages=tuple(messages), schema=schema),
    st.lists(MESSAGES, max_size=4),
    SCHEMAS,
)
SNAPSHOTS: st.SearchStrategy[Snapshot] = st.lists(
    st.floats(1, 1e6) | st.just(100.0) | st.just(101.0), max_size=4
).map(lambda prices: snapshot(rows(prices)))
DELIBERATIONS = st.tuples(SNAPSHOTS, st.lists(REQUESTS, max_size=3)).map(
    lambda drawn: lines_of(
        1, drawn[0], [Call(each, REPLY, "accepted", "", "direct", 1, 0.0) for each in drawn[1]], "limits"
    )
)


@settings(deadline=None, max_examples=30)
@given(st.lists(DELIBERATIONS, max_size=8), st.integers(1, 6000), st.integers(0, 8))
def test_any_entries_in_segments_of_any_size_are_read_back(
    drawn: list[list[TranscriptEntry]], size: int, reopened_at: int
) -> None:
    with tempfile.TemporaryDirectory() as folder, segments_of(size):
        path = Path(folder) / "transcript.jsonl"
        numbered = [
            [msgspec.structs.replace(entry, deliberation=number) for entry in entries]
            for number, entries in enumerate(drawn)
        ]
        written = write(path, *numbered[:reopened_at]) + write(path, *numbered[reopened_at:])
        assert list(read(path)) == written
        assert list(read_hashes(path)) == [(entry.deliberation, entry.hash) for entry in written]
        assert [entry for part in reversed(list(read_backwards(path))) for entry in part] == written
        index = TranscriptIndex(path)
        for number in range(len(numbered)):
            assert index.lines(number) == [entry for entry in written if entry.deliberation == number]


def test_texts_are_written_once_per_part_and_hashes_do_not_depend_on_it(path: Path) -> None:
    with segments_of(1 << 20):
        together = write(path, deliberation(1), deliberation(2))
    first, second, third, _ = path.read_bytes().splitlines()
    assert first.count(b"Be careful.") == 1 and b"Be careful." not in second + third
    assert b'"texts"' in third and b'"texts"' not in second
    path.unlink()
    with segments_of(1):
        apart = write(path, deliberation(1), deliberation(2))
    assert apart == together and len(files(path)) == 3


def test_continued_transcript_has_the_bytes_of_an_uninterrupted_one(tmp_path: Path) -> None:
    one, other = (tmp_path / name / "transcript.jsonl" for name in ("one", "other"))
    one.parent.mkdir()
    other.parent.mkdir()
    with segments_of(9000):
        write(one, *map(deliberation, range(1, 9)))
        for number in range(1, 9):
            write(other, deliberation(number))
    assert files(other) == files(one) and len(files(one)) > 2
    for name in files(one):
        assert (other.parent / name).read_bytes() == (one.parent / name).read_bytes()


def test_newest_part_has_a_line_per_call_with_its_fields(path: Path) -> None:
    with segments_of(1):
        write(path, deliberation(1))
        write_more = Transcript(path)
        write_more.append(deliberation(2))
        write_more.close()
    lines = [msgspec.json.decode(raw) for raw in path.read_bytes().splitlines()]
    assert [(line["agent"], line["outcome"], line["call"]) for line in lines] == [
        ("director", "accepted", 0),
        ("director", "accepted", 1),
    ]
    assert lines[0]["part"] == 2 and lines[0]["request"]["messages"][1]["content"][0] == "Symbol: X\n"


# the death of the process, a full disk, a power failure


class Killed(BaseException):
    """Simulates the death of the process."""


class FaultyDisk(LocalDisk):
    """A disk whose operation number `at` fails; after the death of the process all others fail too."""

    def __init__(self, at: int, error: BaseException) -> None:
        self.count, self._at, self._error = 0, at, error
        self._descriptors: list[int] = []

    def _step(self) -> bool:
        self.count += 1
        return self.count == self._at or (self.count > self._at and isinstance(self._error, Killed))

    def open(self, path: Path) -> int:
        if self._step():
            raise self._error
        self._descriptors.append(super().open(path))
        return self._descriptors[-1]

    def write(self, descriptor: int, content: bytes | memoryview) -> int:
        if self._step():
            super().write(descriptor, content[: len(content) * 2 // 3])
            raise self._error
        return super().write(descriptor, content)

    def truncate(self, descriptor: int, size: int) -> None:
        if self._step():
            raise self._error
        super().truncate(descriptor, size)

    def sync(self, descriptor: int) -> None:
        if self._step():
            raise self._error
        super().sync(descriptor)

    def replace(self, path: Path, target: Path) -> None:
        if self._step():
            raise self._error
        super().replace(path, target)

    def close(self, descriptor: int) -> None:
        if descriptor in self._descriptors:
            self._descriptors.remove(descriptor)
            super().close(descriptor)

    def release(self) -> None:
        """Closes what the dead process had open."""
        for descriptor in tuple(self._descriptors):
            self.close(descriptor)


def _play(path: Path, disk: FaultyDisk) -> list[tuple[str, ...]]:
    """Writes deliberations until the disk kills the process; returns the hashes of those that were written."""
    written: list[tuple[str, ...]] = []
    with suppress(Killed, OSError):
        target = Transcript(path, disk)
        for number in range(1, 5):
            with suppress(OSError):
                written.append(target.append(deliberation(number)))
                # Another answer arrives while the segment is written in a thread.
                if size := target.size_to_cut():
                    after = target.write_segment(size)
                    written.append(target.append(deliberation(10 + number)))
                    target.start_part(size, after)
        target.close()
    disk.release()
    return written


@pytest.mark.parametrize("error", [Killed(), OSError(28, "no space left on device")], ids=["killed", "full"])
def test_no_written_line_is_lost_whichever_step_fails(error: BaseException, tmp_path: Path) -> None:
    steps = FaultyDisk(10**6, Killed())
    with segments_of(3000):
        _play(tmp_path / "transcript.jsonl", steps)
        assert steps.count > 25 and len(files(tmp_path / "transcript.jsonl")) > 2
        for at in range(1, steps.count + 1):
            path = tmp_path / str(at) / "transcript.jsonl"
            path.parent.mkdir()
            written = [digest for hashes in _play(path, FaultyDisk(at, error)) for digest in hashes]
            left = [entry.hash for entry in read(path)]
            assert [digest for digest in left if digest in written] == written, at
            # What is more was being written: the first line of a deliberation, or a line in two parts.
            assert len(left) <= len(written) + isinstance(error, Killed), at
            assert isinstance(error, Killed) or not list(path.parent.rglob("*.gz.tmp")), at
            more = write(path, deliberation(30), deliberation(31))
            assert [entry.hash for entry in read(path)] == left + [entry.hash for entry in more], at


def test_power_failure_loses_no_synced_line(path: Path) -> None:
    synced_at: list[tuple[int, list[str]]] = []
    hashes: list[str] = []
    with segments_of(3000), following_syncs(path.parent) as synced:
        target = Transcript(path)
        for number in range(1, 9):
            hashes += target.append(deliberation(number))
            target.sync()
            synced_at.append((len(synced.images), list(hashes)))
            target.cut()
        target.close()
    assert len(files(path)) > 2
    for number, image in enumerate(synced.images, start=1):
        left = image.write(path.parent / "left" / str(number)) / path.name
        safe = next((known for at, known in reversed(synced_at) if at <= number), [])
        assert [entry.hash for entry in read(left)][: len(safe)] == safe


def test_a_reader_never_sees_half_of_a_cut(path: Path) -> None:
    """A reader has the newest part before it lists the segments, whatever is cut meanwhile."""
    stale: list[tuple[int, bytes]] = []
    with segments_of(3000):
        target, written = Transcript(path), 0
        for number in range(1, 7):
            written += len(target.append(deliberation(number)))
            stale.append((written, path.read_bytes()))
            target.cut()
            stale.append((written, path.read_bytes()))
        target.close()
    entries = list(read(path))
    for seen, content in stale:
        path.write_bytes(content)
        found = list(read(path))
        assert found == entries[: len(found)] and len(found) >= seen
        assert [entry for part in list(read_backwards(path))[::-1] for entry in part] == found


# damage


def _truncate(segment: Path) -> None:
    segment.write_bytes(segment.read_bytes()[:-9])


def _change(segment: Path) -> None:
    content = gzip.decompress(segment.read_bytes())
    segment.write_bytes(gzip.compress(content.replace(b'"tries":1', b'"tries":2', 1)))


def _replace_by_another(segment: Path) -> None:
    shutil.copy(segment.with_name("000003.jsonl.gz"), segment)


def _forge(segment: Path) -> None:
    """Changes a line and its hash, which only the next part can contradict."""
    first, *others = parse_lines(gzip.decompress(segment.read_bytes()), segment)
    forged = close_line(first.body.replace(b'"tries":1', b'"tries":2'), first.supplement)[0]
    segment.write_bytes(gzip.compress(forged + b"".join(close_line(x.body, x.supplement)[0] for x in others)))


DAMAGES: dict[str, Callable[[Path], object]] = {
    "is missing": Path.unlink,
    "is damaged: Compressed file ended": _truncate,
    "line 1 is damaged": _change,
    "does not have the lines of part 2": _replace_by_another,
    "is not the part that was recorded": _forge,
}


@pytest.mark.parametrize("named", DAMAGES)
def test_a_damaged_missing_or_exchanged_segment_is_named(path: Path, named: str) -> None:
    with segments_of(1):
        write(path, *map(deliberation, range(1, 6)))
        segment = segment_path(path, 2)
        DAMAGES[named](segment)
        for reading in (read, read_hashes, read_backwards):
            with pytest.raises(Corrupt, match=rf"{segment}.* {named}.*; restore the file"):
                list(reading(path))


def test_a_segment_of_another_run_is_named(path: Path) -> None:
    other = path.parent / "other" / path.name
    other.parent.mkdir()
    with segments_of(1):
        write(path, *map(deliberation, range(1, 5)))
        write(other, *map(deliberation, range(11, 15)))
    shutil.copy(segment_path(other, 2), segment_path(path, 2))
    with pytest.raises(Corrupt, match=r"000002\.jsonl\.gz is not the part that was recorded"):
        list(read(path))


def test_a_text_that_is_missing_or_changed_is_named(path: Path) -> None:
    write(path, deliberation(1), deliberation(2))
    whole = path.read_bytes()
    path.write_bytes(b"".join(whole.splitlines(keepends=True)[1:]))
    with pytest.raises(Corrupt, match=r"transcript\.jsonl: line 1 lacks the text [0-9a-f]{32}; restore"):
        list(read(path))
    path.write_bytes(whole.replace(b"Be careful.", b"Be carefree", 1))
    with pytest.raises(Corrupt, match=r"line 1 is damaged: a text does not match its hash; restore"):
        list(read_hashes(path))


def test_an_index_keeps_its_lines_while_the_run_goes_on(path: Path) -> None:
    with segments_of(3000):
        before = write(path, *map(deliberation, range(1, 4)))
        index = TranscriptIndex(path)
        write(path, *map(deliberation, range(4, 9)))
        assert [entry for number in range(1, 9) for entry in index.lines(number)] == before
