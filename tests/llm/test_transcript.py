"""The transcript: each line is written once, read back unchanged, and verified by its hash."""

import resource
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autohedge.core.errors import Corrupt
from autohedge.core.redaction import redacted
from autohedge.core.snapshots import AgentLimits, PositionView, QuoteRow, Snapshot
from autohedge.llm.backend import Message, Usage
from autohedge.llm.extraction import MAX_BYTES, extract
from autohedge.llm.outcome import Call
from autohedge.llm.redaction import bounded, was_cut
from autohedge.llm.transcript import (
    Transcript,
    TranscriptEntry,
    encode_entry,
    line_of,
    lines_of,
    read,
    read_hashes,
    request_bytes,
    sort_entries,
)
from autohedge.llm.transcript_lines import close_line, parse_lines
from tests.llm.request_factory import GOOD, make_response
from tests.llm.request_factory import make_request as question

FLAT = PositionView(Decimal(0), 0.0, 0.0, 0.0)
ONE = Decimal("1.50")
LIMITS = AgentLimits(ONE, ONE, ONE, ONE, 100.0, 50.0, ONE, 15.0, 25.0, (10, 50), (15, 400), 1.5, 20)
SNAPSHOT = Snapshot(
    7,
    "gate",
    "BTC/USD",
    123,
    (QuoteRow(1, 2.0, 3.0, 4.0, 5.0),),
    1,
    FLAT,
    ONE,
    ONE,
    ONE,
    ONE,
    "open",
    "shut",
    LIMITS,
)
CALL = Call(question(), make_response(GOOD, usage=Usage(10, 5)), "accepted", "", "direct", 1, 0.5)
UNSENT = Call(question(), None, "budget", "all is spent", "", 0, 0.0)
KEY = "sk-proj-abcdefghijkl1234567890"


def written(path: Path, *deliberations: Sequence[TranscriptEntry]) -> list[tuple[str, ...]]:
    transcript = Transcript(path)
    hashes = [transcript.append(lines) for lines in deliberations]
    transcript.close()
    return hashes


def test_written_entries_are_read_back_unchanged(tmp_path: Path) -> None:
    lines = lines_of(1, SNAPSHOT, [UNSENT, CALL], "accepted")
    [hashes] = written(tmp_path / "t.jsonl", lines)
    back = list(read(tmp_path / "t.jsonl"))
    assert [line.recorded_call for line in back] == [UNSENT, CALL]
    assert tuple(line.hash for line in back) == hashes
    assert [msgspec.structs.replace(line, hash="") for line in back] == lines


def test_snapshot_is_on_first_entry_of_deliberation_only(tmp_path: Path) -> None:
    written(tmp_path / "t.jsonl", lines_of(1, SNAPSHOT, [CALL, CALL], "accepted"))
    first, second = read(tmp_path / "t.jsonl")
    assert first.snapshot == SNAPSHOT and first.snapshot.hash == SNAPSHOT.hash
    assert second.snapshot is None


def test_deliberation_without_call_is_one_entry(tmp_path: Path) -> None:
    written(tmp_path / "t.jsonl", lines_of(3, SNAPSHOT, [], "shut"))
    [line] = read(tmp_path / "t.jsonl")
    assert (line.deliberation, line.call, line.outcome, line.snapshot) == (3, 0, "shut", SNAPSHOT)
    assert request_bytes(line) == b""
    with pytest.raises(Corrupt, match="made no call"):
        _ = line.recorded_call


def test_entry_is_readable_as_soon_as_its_hash_is_returned(tmp_path: Path) -> None:
    transcript = Transcript(tmp_path / "t.jsonl")
    [digest] = transcript.append([line_of(1, 0, CALL, 5)])
    assert [line.hash for line in read(tmp_path / "t.jsonl")] == [digest]
    transcript.close()


def test_the_first_damaged_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    written(path, lines_of(1, SNAPSHOT, [CALL, CALL], ""))
    path.write_bytes(path.read_bytes().replace(b'"call":1', b'"call":2'))
    with pytest.raises(Corrupt, match=r"t\.jsonl: line 2 is damaged"):
        list(read(path))


def test_intact_entry_of_another_version_is_reported_as_unreadable(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    written(path, [line_of(1, 0, CALL, 5)])
    [line] = parse_lines(path.read_bytes(), path)
    path.write_bytes(close_line(line.body.replace(b'"call"', b'"cell"'), line.supplement)[0])
    with pytest.raises(Corrupt, match="this version cannot read it"):
        list(read(path))


@settings(deadline=None)
@given(st.integers(0, 2000), st.integers(1, 255))
def test_any_changed_byte_is_found(at: int, change: int) -> None:
    line, _ = encode_entry(line_of(1, 0, CALL, 5))
    at %= len(line) - 1
    damaged = line[:at] + bytes([line[at] ^ change]) + line[at + 1 :]
    with pytest.raises(Corrupt):
        _read_bytes(damaged)


def _read_bytes(content: bytes) -> list[TranscriptEntry]:
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        path = Path(folder) / "t.jsonl"
        path.write_bytes(content)
        return list(read(path))


def test_a_torn_last_line_is_left_out_and_written_over(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    written(path, lines_of(1, SNAPSHOT, [CALL, CALL], ""))
    path.write_bytes(path.read_bytes()[:-20])
    assert [line.call for line in read(path)] == [0]
    written(path, [line_of(2, 0, CALL, 5)])
    assert [(line.deliberation, line.call) for line in read(path)] == [(1, 0), (2, 0)]


@contextmanager
def full_disk(path: Path, room_bytes: int) -> Iterator[None]:
    """Lets files grow only so much beyond the size of this one, as a disk with that much room would."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + room_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("room_bytes", [0, 1, 700, 9000])
def test_lines_that_a_full_disk_refuses_leave_no_trace(tmp_path: Path, room_bytes: int) -> None:
    path = tmp_path / "t.jsonl"
    long = Call(question("x" * 5000), make_response(GOOD), "accepted", "", "direct", 1, 0.5)
    transcript = Transcript(path)
    transcript.append([line_of(1, 0, CALL, 5)])
    before = path.read_bytes()
    with full_disk(path, room_bytes), pytest.raises(OSError, match="too large"):
        transcript.append([line_of(2, 0, CALL, 5), line_of(2, 1, long, 5), line_of(2, 2, long, 5)])
    assert path.read_bytes() == before
    transcript.append([line_of(3, 0, long, 5)])
    transcript.close()
    assert [line.deliberation for line in read(path)] == [1, 3]


def test_read_hashes_names_every_line(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    hashes = written(path, lines_of(1, SNAPSHOT, [CALL, CALL], ""), [line_of(2, 0, CALL, 5)])
    assert list(read_hashes(path)) == [(1, hashes[0][0]), (1, hashes[0][1]), (2, hashes[1][0])]


def test_sort_entries_orders_by_deliberation_and_call() -> None:
    lines = [line_of(d, c, CALL, 5) for d, c in ((2, 0), (1, 1), (1, 0))]
    assert [(line.deliberation, line.call) for line in sort_entries(lines)] == [(1, 0), (1, 1), (2, 0)]


@pytest.mark.parametrize(
    "secret", [KEY, "Bearer abcdef123456", "AKIAABCDEFGHIJKLMNOP", "hf_abcdefghijklmnop12345"]
)
def test_no_secret_reaches_the_file(tmp_path: Path, secret: str) -> None:
    request = question(f"my key is {secret}, keep it")
    response = make_response(f"your key: {secret}", refusal=f"not with {secret}")
    written(
        tmp_path / "t.jsonl",
        [line_of(1, 0, Call(request, response, "no_json", f"bad {secret}", "", 1, 0.0), 5)],
    )
    assert secret.encode() not in (tmp_path / "t.jsonl").read_bytes()
    assert (tmp_path / "t.jsonl").read_bytes().count(b"[redacted]") == 4


@pytest.mark.parametrize(
    "text", ["risk-averse-and-very-careful-1", "ask-1234567890123456", "the bearer of news"]
)
def test_ordinary_text_is_not_redacted(text: str) -> None:
    assert redacted(text) == text


@given(st.text(alphabet=st.characters(exclude_categories=())))
def test_redaction_and_bounding_are_idempotent(text: str) -> None:
    once = redacted(text)
    assert redacted(once) == once
    assert bounded(once) == once


@given(st.integers(-8, 8), st.sampled_from(["a", "é", "€", "🙂"]))
def test_a_long_text_is_cut_once_and_is_still_no_answer(over: int, letter: str) -> None:
    text = '{"a":"' + letter * ((MAX_BYTES - 8 + over) // len(letter.encode())) + '"}'
    bounded_text = bounded(text)
    long = len(text.encode()) > MAX_BYTES
    assert was_cut(bounded_text) == long
    assert bounded(bounded_text) == bounded_text
    assert (extract(bounded_text) is None) == (extract(text) is None) == long


def test_cut_response_is_marked_in_its_entry() -> None:
    call = Call(question(), make_response("x" * 70_000), "no_json", "", "", 1, 0.0)
    line = line_of(1, 0, call, 5)
    assert line.cut
    assert line.response and len(line.response.text) == MAX_BYTES + len(" [cut]")
    assert not line_of(1, 0, CALL, 5).cut


def test_text_that_is_not_unicode_is_written_all_the_same(tmp_path: Path) -> None:
    call = Call(question("\ud800"), make_response("\udfff"), "no_json", "\ud801", "", 1, 0.0)
    written(tmp_path / "t.jsonl", [line_of(1, 0, call, 5)])
    [line] = read(tmp_path / "t.jsonl")
    assert line.response and line.response.text == "?"


def test_request_bytes_ignore_answer_and_timing() -> None:
    other = Call(question(), make_response("no"), "no_json", "", "", 3, 99.0)
    assert (
        request_bytes(line_of(1, 0, CALL, 5))
        == request_bytes(line_of(9, 4, other, 6))
        == request_bytes(question())
    )


@pytest.mark.parametrize(
    "changed",
    [
        {"agent": "quant"},
        {"symbol": "ETH/USD"},
        {"messages": (Message("user", "Trade BTC/USD or not?"),)},
        {"schema": {"type": "array"}},
        {"temperature": 0.1},
        {"max_tokens": 101},
        {"prompt_hash": "p2"},
        {"reasoning": "off"},
        {"extra_body": {"top_k": 5}},
    ],
)
def test_request_bytes_differ_for_every_changed_part(changed: dict[str, object]) -> None:
    assert request_bytes(msgspec.structs.replace(question(), **changed)) != request_bytes(question())


def test_request_bytes_of_entry_with_secret_equal_those_of_request(tmp_path: Path) -> None:
    request = msgspec.structs.replace(question(f"a headline with {KEY}"), temperature=0)
    written(tmp_path / "t.jsonl", [line_of(1, 0, Call(request, None, "budget", "", "", 0, 0.0), 5)])
    [line] = read(tmp_path / "t.jsonl")
    assert request_bytes(line) == request_bytes(request)


def test_model_and_timeout_of_a_request_are_recorded(tmp_path: Path) -> None:
    request = msgspec.structs.replace(question(), model="small", timeout_s=2.5)
    call = msgspec.structs.replace(CALL, request=request)
    written(tmp_path / "t.jsonl", [line_of(1, 0, call, 5)])
    [line] = read(tmp_path / "t.jsonl")
    assert line.request == request and (line.request.model, line.request.timeout_s) == ("small", 2.5)


def test_request_without_model_or_timeout_omits_both_fields(tmp_path: Path) -> None:
    written(tmp_path / "t.jsonl", [line_of(1, 0, CALL, 5)])
    text = (tmp_path / "t.jsonl").read_bytes()
    assert b'"model":""' not in text and b"timeout_s" not in text


def test_settings_of_answers_that_are_unset_leave_the_bytes_of_a_record() -> None:
    line, _ = encode_entry(line_of(1, 0, CALL, 5))
    assert not any(name in line for name in (b"reasoning", b"keep_alive", b"extra_body"))


def test_thoughts_are_recorded_clean_and_bounded(tmp_path: Path) -> None:
    thought = f"The key is {KEY}. " + "x" * MAX_BYTES
    response = msgspec.structs.replace(make_response(GOOD), reasoning=thought)
    written(tmp_path / "t.jsonl", [line_of(1, 0, msgspec.structs.replace(CALL, response=response), 5)])
    [line] = read(tmp_path / "t.jsonl")
    assert line.response and line.response.reasoning and not line.cut
    assert KEY not in line.response.reasoning and was_cut(line.response.reasoning)


def test_request_bytes_include_model_and_exclude_timeout() -> None:
    plain, other = question(), msgspec.structs.replace(question(), model="small")
    assert request_bytes(plain) != request_bytes(other)
    assert request_bytes(msgspec.structs.replace(plain, timeout_s=2.5)) == request_bytes(plain)
