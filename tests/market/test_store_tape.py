"""A closed live store is a tape like any other; an open one is opened only to be followed."""

from pathlib import Path

import numpy as np
import pytest

from autohedge.core.errors import Corrupt, Misconfigured
from autohedge.market import LiveStoreWriter, Rows, open_tape, parse_source, reopen
from autohedge.market.rows import ROW_COLUMNS
from autohedge.market.tape import Tape
from tests.market.store_factory import rows_at, store_of

# Of one time B comes first: a store keeps the order in which its rows came.
TWO = Rows.of([1, 2, 2, 5], [9.0, 5.0, 9.1, 5.2], [9.5, 5.5, 9.6, 5.7], [0, 1, 0, 1], lanes=2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return store_of(tmp_path / "market", TWO, ("A", "B"))


def _open(folder: Path) -> Tape:
    return open_tape([parse_source(str(folder))])


def test_closed_store_is_a_tape_with_the_rows_as_they_came(folder: Path) -> None:
    tape = _open(folder)
    assert (tape.symbols, tape.growing, tape.cursor) == (("A", "B"), None, tape.rows)
    for name in ROW_COLUMNS:
        np.testing.assert_array_equal(getattr(tape.rows, name), getattr(TWO, name))
    first, second = tape.streams
    assert (first.columns["ts"].tolist(), second.columns["bid"].tolist()) == ([1, 2], [5.0, 5.2])
    assert [origin.rows for origin in tape.origins] == [2, 2] == [len(first), len(second)]
    assert len({origin.content_hash for origin in tape.origins}) == 1


def test_store_of_a_run_is_opened_again_by_its_origins(folder: Path) -> None:
    tape = _open(folder)
    again = reopen(tape.origins)
    assert again.origins == tape.origins
    assert again.rows.block_hash(0, 4) == tape.rows.block_hash(0, 4)
    (second,) = reopen(tape.origins[1:]).streams
    assert (second.symbol, second.columns["ts"].tolist()) == ("B", [2, 5])
    part = reopen([origin.between(2, 5) for origin in tape.origins])
    assert part.rows.ts.tolist() == [2, 2]


def test_changed_missing_or_other_store_is_named(folder: Path, tmp_path: Path) -> None:
    origins = _open(folder).origins
    np.memmap(folder / "ask", "<f8", "r+")[3] = 7.0
    with pytest.raises(Corrupt, match="market: its content differs from the recorded tape"):
        reopen(origins)
    folder.rename(tmp_path / "moved")
    with pytest.raises(Misconfigured, match="market: the store of the run is missing"):
        reopen(origins)
    store_of(folder, TWO, ("A", "B"))
    with pytest.raises(Corrupt, match="market: is another store than the one that the run traded"):
        reopen(origins)


def test_open_store_is_only_for_those_who_follow_it(tmp_path: Path) -> None:
    folder = tmp_path / "market"
    writer = LiveStoreWriter(folder, ["A"])
    with pytest.raises(Misconfigured, match="its writer has not closed it yet"):
        _open(folder)
    tape = open_tape([parse_source(str(folder))], growing=True)
    assert (len(tape.rows), len(tape.streams[0])) == (0, 0)
    writer.append(rows_at(1, 2))
    tape.cursor.refresh()
    assert (len(tape.cursor.rows), len(tape.streams[0]), tape.cursor.closed) == (2, 2, False)
    origin = tape.origins[0]
    assert (origin.content_hash, origin.rows, origin.path) == ("", 0, str(folder))
    assert tape.content_hashes == {"A": origin.store}
    writer.close()
    assert reopen(tape.origins).origins == tape.origins


def test_store_is_a_tape_of_its_own(folder: Path, tmp_path: Path) -> None:
    for values in ([str(folder), "A.csv"], [f"A={folder}"]):
        with pytest.raises(Misconfigured, match="a live store has its own symbols"):
            open_tape([parse_source(value) for value in values])
    with LiveStoreWriter(tmp_path / "empty", ["A"]):
        pass
    with pytest.raises(Misconfigured, match="is closed and has no rows"):
        _open(tmp_path / "empty")
