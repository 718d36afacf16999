"""The journal: every event is read back as written, and every change is detected."""

import json
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from autohedge.core.errors import Corrupt, Refused
from autohedge.core.events import AnyEvent, Input, JournalEntry, Timer
from autohedge.journal import Journal, encode_line, read
from autohedge.journal.chain import NO_HASH, BufferedStore, seal, torn_tail_bytes
from tests.journal.entry_factory import ENTRIES, GENESIS


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A journal with one event of every type."""
    path = tmp_path_factory.mktemp("journal") / "journal.jsonl"
    _write(path)
    return path


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The path for a damaged copy."""
    return tmp_path_factory.mktemp("scratch") / "damaged.jsonl"


def _write(path: Path) -> Journal:
    journal = Journal.begin(BufferedStore(path), GENESIS)
    for entry in ENTRIES:
        journal.append(entry)
    journal.close()
    return journal


def _damage(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def _collect(path: Path, into: list[int]) -> None:
    for line in read(path):
        into.append(line.seq)


def test_the_examples_hold_every_type_of_event() -> None:
    assert {type(entry.event) for entry in ENTRIES} == set(get_args(AnyEvent))


def test_every_event_comes_back_as_it_was_written(written: Path) -> None:
    genesis, *lines = read(written)
    assert genesis.genesis == GENESIS and genesis.event is None
    assert [line.entry for line in lines] == ENTRIES
    with pytest.raises(Corrupt, match="no event"):
        _ = genesis.entry


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: type(entry.event).__name__)
def test_a_line_is_json_with_seq_place_direction_and_event(entry: JournalEntry) -> None:
    raw, digest = encode_line(entry, NO_HASH)
    line = json.loads(raw)
    assert list(line) == ["seq", "pos", "io", "event", "hash"]
    assert (line["seq"], line["pos"], line["hash"]) == (entry.seq, entry.pos, digest)
    assert line["io"] == ("in" if isinstance(entry.event, Input) else "out")
    assert raw.count(b"\n") == 1 and raw.endswith(b"\n")


def test_each_hash_covers_the_hash_before_and_the_text(written: Path) -> None:
    previous = "0" * 64
    for raw in written.read_bytes().splitlines():
        body, _, tail = raw.rpartition(b',"hash":"')
        digest = blake2b(previous.encode() + body, digest_size=32).hexdigest()
        assert tail == digest.encode() + b'"}'
        previous = digest


def test_the_head_is_the_hash_of_the_last_line(tmp_path: Path) -> None:
    journal = _write(tmp_path / "journal.jsonl")
    assert [line.hash for line in read(tmp_path / "journal.jsonl")][-1] == journal.head
    assert journal.lines == len(ENTRIES) + 1


def test_a_journal_goes_on_after_its_last_line(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    first = _write(path)
    continued = Journal(BufferedStore(path), first.head, first.lines)
    continued.append(JournalEntry(99, 99, Timer(1)))
    continued.close()
    assert [line.seq for line in read(path)][-2:] == [ENTRIES[-1].seq, 99]
    assert continued.lines == first.lines + 1


def test_a_journal_is_written_by_one_process_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    store = BufferedStore(path)
    with pytest.raises(Refused, match="another process"):
        BufferedStore(path)
    store.close()
    BufferedStore(path).close()


@budget(max_examples=150)
@given(st.integers(min_value=0), st.integers(1, 255))
def test_one_changed_byte_anywhere_is_found_in_its_line(
    written: Path, scratch: Path, position: int, change: int
) -> None:
    content = bytearray(written.read_bytes())
    position %= len(content) - 1  # without its last line break a line is torn, not damaged
    line = content[:position].count(b"\n") + 1
    content[position] ^= change
    damaged = _damage(scratch, bytes(content))
    given_out: list[int] = []
    with pytest.raises(Corrupt, match=f": line {line} is damaged"):
        _collect(damaged, given_out)
    assert given_out == list(range(line - 1))


@budget(max_examples=50)
@given(st.data())
def test_a_line_cut_in_the_middle_is_left_out_and_measured(
    written: Path, scratch: Path, data: st.DataObject
) -> None:
    content = written.read_bytes()
    ends = {i + 1 for i, byte in enumerate(content) if byte == ord("\n")} | {0}
    genesis = min(ends - {0})
    cut = data.draw(st.integers(genesis + 1, len(content)).filter(lambda at: at not in ends))
    cut_file = _damage(scratch, content[:cut])
    assert len(list(read(cut_file))) == content[:cut].count(b"\n")
    assert torn_tail_bytes(cut_file) == cut - max(end for end in ends if end < cut)


def test_a_genesis_cut_in_the_middle_is_damage(written: Path, scratch: Path) -> None:
    with pytest.raises(Corrupt, match=": line 1 is damaged"):
        list(read(_damage(scratch, written.read_bytes()[:100])))


LAST = len(ENTRIES) + 1


@pytest.mark.parametrize("line", range(1, LAST))
def test_a_removed_line_is_found(written: Path, scratch: Path, line: int) -> None:
    lines = written.read_bytes().splitlines(keepends=True)
    del lines[line - 1]
    with pytest.raises(Corrupt, match=f": line {line} is damaged"):
        list(read(_damage(scratch, b"".join(lines))))


@pytest.mark.parametrize("line", range(1, LAST + 1))
def test_a_doubled_line_is_found(written: Path, scratch: Path, line: int) -> None:
    lines = written.read_bytes().splitlines(keepends=True)
    lines.insert(line, lines[line - 1])
    with pytest.raises(Corrupt, match=f": line {line + 1} is damaged"):
        list(read(_damage(scratch, b"".join(lines))))


@pytest.mark.parametrize("line", range(1, LAST))
def test_two_swapped_lines_are_found(written: Path, scratch: Path, line: int) -> None:
    lines = written.read_bytes().splitlines(keepends=True)
    lines[line - 1], lines[line] = lines[line], lines[line - 1]
    with pytest.raises(Corrupt, match=f": line {line} is damaged"):
        list(read(_damage(scratch, b"".join(lines))))


def test_a_missing_last_line_shows_in_the_head(written: Path, scratch: Path) -> None:
    whole = [line.hash for line in read(written)]
    lines = written.read_bytes().splitlines(keepends=True)
    cut = [line.hash for line in read(_damage(scratch, b"".join(lines[:-1])))]
    assert cut == whole[:-1] and cut[-1] != whole[-1]


def test_an_empty_journal_is_corrupt(scratch: Path) -> None:
    with pytest.raises(Corrupt, match="is empty"):
        list(read(_damage(scratch, b"")))


def _two_geneses() -> bytes:
    first, head = seal(b'{"genesis":{}', NO_HASH)
    return first + seal(b'{"genesis":{}', head)[0]


def _of_the_future() -> bytes:
    first, head = seal(b'{"genesis":{}', NO_HASH)
    return first + seal(b'{"seq":1,"pos":0,"io":"in","event":{"type":"telepathy"}', head)[0]


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: encode_line(JournalEntry(1, 0, Timer(1)), NO_HASH)[0], "line 1 is not a genesis"),
        (_two_geneses, "line 2 is a second genesis"),
        (_of_the_future, "line 2 is whole, but this version cannot read it"),
    ],
)
def test_a_chain_that_holds_but_makes_no_journal_is_corrupt(
    scratch: Path, make: Callable[[], bytes], text: str
) -> None:
    with pytest.raises(Corrupt, match=text):
        list(read(_damage(scratch, make())))
