"""The rows of a run are sealed in blocks and at the end, whatever they were kept in."""

import dataclasses

import numpy as np
import pytest
import xxhash

from autohedge.app import engine_for
from autohedge.core.clock import NEVER
from autohedge.core.errors import Corrupt
from autohedge.core.events import EndOfTape, Restarted, TapeSealed
from autohedge.market import Rows, Tape
from autohedge.runtime.seals import require_seals
from autohedge.runtime.virtual import VirtualRuntime
from tests.run_harness import Recording, play, quotes_tape, settings
from tests.runtime.test_virtual import UnansweringVenue

S = 10**9
BLOCK = 4


@pytest.fixture(autouse=True)
def short_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autohedge.runtime.virtual.SEAL_ROWS", BLOCK)


def _tape(rows: int) -> Tape:
    return quotes_tape([(n * S, 100.0 + n, 100.5 + n) for n in range(1, rows + 1)])


@pytest.mark.parametrize(("rows", "ends"), [(3, [3]), (4, [4]), (5, [4, 5]), (9, [4, 8, 9])])
def test_every_block_and_the_rest_is_sealed_where_it_ends(rows: int, ends: list[int]) -> None:
    tape = _tape(rows)
    record = play(settings(), tape).record
    sealed = [entry for entry in record if isinstance(entry.event, TapeSealed)]
    assert [entry.pos for entry in sealed] == ends
    starts = [0, *ends]
    assert [entry.event for entry in sealed] == [
        TapeSealed(end * S, end, tape.rows.block_hash(start, end))
        for start, end in zip(starts, ends, strict=False)
    ]
    assert isinstance(record[-2].event, EndOfTape) and record[-3] == sealed[-1]


def test_hash_is_that_of_the_columns_bytes_one_after_the_other() -> None:
    rows = Rows.of([1, 2, 3], [1.5, 2.5, np.nan], [2.0, 3.0, 4.0], [0, 1, 0], lanes=2)
    columns: list[list[float]] = [[2.5, np.nan], [3.0, 4.0], [0.0, 0.0], [0.0, 0.0]]
    parts = [np.array([2, 3], "<i8"), np.array([1, 0], "<i4"), *(np.array(each, "<f8") for each in columns)]
    digests = b"".join(xxhash.xxh3_128_digest(part.tobytes()) for part in parts)
    assert rows.block_hash(1, 3) == xxhash.xxh3_128_hexdigest(digests)


def test_rows_that_a_restart_skipped_are_sealed_too() -> None:
    tape, record = _tape(11), Recording()
    runtime = VirtualRuntime(engine_for(settings(), tape), UnansweringVenue(), tape.rows, record, clock=None)
    runtime.late_as_one = True
    runtime.begin("n")
    runtime.advance(2 * S)
    runtime.inject(Restarted(10 * S, 10, "m"))
    runtime.advance(NEVER)
    runtime.finish()
    assert [event.rows for event in _seals(record)] == [4, 8, 11]
    require_seals(_seals(record), 11, tape.rows, "the tape")


def test_blocks_that_a_restart_skipped_are_sealed_apart_at_a_stop() -> None:
    tape, record = _tape(11), Recording()
    runtime = VirtualRuntime(engine_for(settings(), tape), UnansweringVenue(), tape.rows, record, clock=None)
    runtime.begin("n")
    runtime.inject(Restarted(10 * S, 10, "m"))
    runtime.finish()
    assert [event.rows for event in _seals(record)] == [4, 8, 10]


def _seals(record: Recording) -> list[TapeSealed]:
    return [entry.event for entry in record if isinstance(entry.event, TapeSealed)]


def test_changed_row_is_named_by_its_block() -> None:
    tape = _tape(9)
    record = play(settings(), tape).record
    bid = tape.rows.bid.copy()
    bid[5] += 0.25
    with pytest.raises(Corrupt, match="the store: rows 4 to 7 are not those that the run traded"):
        require_seals(_seals(record), 9, dataclasses.replace(tape.rows, bid=bid), "the store")


def test_rows_that_are_missing_are_named() -> None:
    record = play(settings(), _tape(9)).record
    with pytest.raises(Corrupt, match="the store has 8 rows, but the run took 9; restore the others"):
        require_seals(_seals(record), 9, _tape(8).rows, "the store")
