"""Opening tapes, and reopening the tape of a recorded run."""

import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest

from autohedge.core.errors import Corrupt, Misconfigured
from autohedge.market import (
    Kind,
    Origin,
    Stream,
    SyntheticSpec,
    Tape,
    TapeSource,
    open_tape,
    parse_source,
    reopen,
    synthesize,
    tape_of,
)

Write = Callable[..., Path]

START_NS = 1_700_000_000_000_000_000

SMALL = SyntheticSpec(symbols=("A/USD", "B/USD"), hours=0.05)


def same_rows(first: Tape, second: Tape) -> bool:
    names = ("ts", "lane", "bid", "ask", "bid_size", "ask_size")
    return all(
        np.array_equal(getattr(first.rows, name), getattr(second.rows, name), equal_nan=True)
        for name in names
    )


def through_json(origins: tuple[Origin, ...]) -> list[Origin]:
    written = msgspec.json.encode([asdict(origin) for origin in origins])
    return msgspec.convert(msgspec.json.decode(written), list[Origin])


def test_origin_of_file_records_its_path_and_content_hash(quotes_file: Path) -> None:
    origin = open_tape([TapeSource(quotes_file)]).origins[0]
    assert origin == Origin(
        symbol="BTCUSDT",
        kind=Kind.QUOTES,
        rows=3,
        content_hash=origin.content_hash,
        path=str(quotes_file),
    )
    assert len(origin.content_hash) == 64


def test_a_relative_path_is_recorded_as_absolute(quotes_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(quotes_file.parent)
    assert open_tape([parse_source(quotes_file.name)]).origins[0].path == str(quotes_file)


def test_two_files_merge_by_time_in_a_lane_each(write: Write) -> None:
    first = write("A_quotes.parquet", ts_ns=[START_NS, START_NS + 2], bid=[1, 3], ask=[2, 4])
    second = write("B_quotes.csv", ts_ns=[START_NS, START_NS + 1], bid=[5, 6], ask=[6, 7])
    for _ in ("cold", "warm"):
        tape = open_tape([TapeSource(first), TapeSource(second)])
        assert tape.symbols == ("A", "B")
        assert tape.rows.lane.tolist() == [0, 1, 1, 0]
        assert tape.rows.bid.tolist() == [1, 5, 6, 3]


def test_two_files_for_one_symbol_are_refused(quotes_file: Path) -> None:
    with pytest.raises(Misconfigured, match="two sources of quotes for one symbol"):
        open_tape([TapeSource(quotes_file), TapeSource(quotes_file)])


def test_tape_of_files_is_reopened_from_origins(quotes_file: Path, bars_file: Path) -> None:
    tape = open_tape([TapeSource(quotes_file), TapeSource(bars_file)])
    reopened = reopen(through_json(tape.origins))
    assert reopened.origins == tape.origins
    assert same_rows(reopened, tape)


def test_a_measured_bar_length_and_a_choice_of_symbol_survive(write: Write) -> None:
    ts = [START_NS + 60 * row for row in (0, 0, 1, 1)]
    prices = {key: [1.0, 2.0, 3.0, 4.0] for key in ("open", "high", "low", "close")}
    path = write("bars.parquet", ts_ns=ts, symbol=["A", "B"] * 2, **prices)
    tape = open_tape([TapeSource(path, "B")])
    assert same_rows(reopen(through_json(tape.origins)), tape)


def test_synthetic_tape_is_reopened_from_its_spec(cache_dir: Path) -> None:
    tape = synthesize(SMALL)
    warm = reopen(through_json(tape.origins))
    assert same_rows(warm, tape)
    shutil.rmtree(cache_dir)
    assert same_rows(reopen(through_json(tape.origins)), tape)
    assert warm.origins == tape.origins


def test_packed_copy_takes_precedence_over_path(quotes_file: Path, tmp_path: Path) -> None:
    tape = open_tape([TapeSource(quotes_file)])
    folder = tmp_path / "tapes"
    folder.mkdir()
    quotes_file.rename(folder / f"{tape.origins[0].content_hash}.parquet")
    assert same_rows(reopen(tape.origins, folder), tape)


def test_a_tape_that_is_gone_is_named(quotes_file: Path) -> None:
    origins = open_tape([TapeSource(quotes_file)]).origins
    quotes_file.unlink()
    with pytest.raises(Misconfigured, match=quotes_file.name):
        reopen(origins)


def test_a_changed_tape_is_corrupt(quotes_file: Path) -> None:
    origins = open_tape([TapeSource(quotes_file)]).origins
    pl.read_parquet(quotes_file).with_columns(bid=pl.lit(1.0)).write_parquet(quotes_file)
    with pytest.raises(Corrupt, match="differs from the recorded tape"):
        reopen(origins)


def test_packed_copy_with_other_content_is_corrupt(quotes_file: Path, tmp_path: Path) -> None:
    origins = open_tape([TapeSource(quotes_file)]).origins
    (tmp_path / f"{origins[0].content_hash}.parquet").write_bytes(b"something else")
    with pytest.raises(Corrupt):
        reopen(origins, tmp_path)


@pytest.mark.parametrize("change", [{"content_hash": "0" * 64}, {"rows": 1}])
def test_a_synthetic_tape_that_comes_out_different_is_corrupt(change: dict[str, Any]) -> None:
    origins = [replace(origin, **change) for origin in synthesize(SMALL).origins]
    with pytest.raises(Corrupt):
        reopen(origins)


def test_damaged_synthetic_spec_is_corrupt() -> None:
    origin = replace(synthesize(SMALL).origins[0], recipe={"symbols": 3})
    with pytest.raises(Corrupt, match="recipe is damaged"):
        reopen([origin])


def test_tape_made_in_memory_cannot_be_reopened() -> None:
    tape = tape_of([Stream.of("A", {"ts": [1], "bid": [1], "ask": [2]})])
    with pytest.raises(Misconfigured, match="in memory only"):
        reopen(tape.origins)
