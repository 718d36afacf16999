"""The seals of a record are held against the rows, with a hash of the checker's own."""

import pytest

from autohedge.core.events import EndOfTape, JournalEntry, TapeSealed
from autohedge.faultsim.question_checks import InvariantViolation
from autohedge.faultsim.seal_checks import SEAL_ROWS, SealChecker
from autohedge.market import Rows

COUNT = 2 * SEAL_ROWS + 100
TIMES = range(COUNT)
ROWS = Rows.of(TIMES, [1.0 + ts for ts in TIMES], [2.0 + ts for ts in TIMES])
ENDS = (SEAL_ROWS, 2 * SEAL_ROWS, COUNT)


def _seal(start: int, end: int, pos: int | None = None) -> JournalEntry:
    sealed = TapeSealed(ROWS.next_ts(end - 1), end, ROWS.block_hash(start, end))
    return JournalEntry(0, end if pos is None else pos, sealed)


def _sealed(ends: tuple[int, ...]) -> list[JournalEntry]:
    return [_seal(start, end) for start, end in zip((0, *ends), ends, strict=False)]


def _check(*entries: JournalEntry) -> None:
    checker = SealChecker(ROWS)
    for entry in entries:
        checker.apply(entry)


def test_seals_of_every_block_and_of_the_rest_pass() -> None:
    _check(*_sealed(ENDS), JournalEntry(0, COUNT, EndOfTape()))


@pytest.mark.parametrize(
    ("entries", "text"),
    [
        ([_seal(1, SEAL_ROWS)], "rows 0 to 399 are not those"),
        ([*_sealed(ENDS[:1]), _seal(0, 2 * SEAL_ROWS)], "rows 400 to 799 are not those"),
        (_sealed((100, 200)), "the rows before 200 are sealed after 100"),
        ([_seal(0, SEAL_ROWS + 1)], "the rows before 401 are sealed after 0"),
        ([_seal(0, SEAL_ROWS, SEAL_ROWS - 1)], "the rows before 400 are sealed after 0, at row 399"),
        ([*_sealed(ENDS[:2]), JournalEntry(0, COUNT, EndOfTape())], "900 rows were taken, 800 are sealed"),
        ([JournalEntry(0, 3, TapeSealed(1, 3, ROWS.block_hash(0, 3)))], "another time than the last"),
    ],
)
def test_seals_that_do_not_match_the_rows_are_violations(entries: list[JournalEntry], text: str) -> None:
    with pytest.raises(InvariantViolation, match=f"^32: .*{text}"):
        _check(*entries)
