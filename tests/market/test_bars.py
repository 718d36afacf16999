"""Files of bars whose times contradict each other, or the length in the file's name."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from autohedge.core.errors import Misconfigured
from autohedge.market import Origin, TapeSource, check, csv_reader, open_tape, readers, reopen

Write = Callable[..., Path]

START_NS = 1_700_000_000_000_000_000
MINUTES = [60.0 * number for number in range(12)]


def bars(write: Write, name: str, starts_s: Sequence[float]) -> Path:
    prices = dict.fromkeys(("open", "high", "low", "close"), [1.0] * len(starts_s))
    return write(name, ts_ns=[START_NS + round(second * 1e9) for second in starts_s], **prices)


def refusals(path: Path) -> str:
    """Returns the message of a cold and a warm cache, which must be the same."""
    messages = []
    for _ in ("cold", "warm"):
        with pytest.raises(Misconfigured) as caught:
            open_tape([TapeSource(path)])
        messages.append(str(caught.value))
    assert messages[0] == messages[1]
    return messages[0]


@pytest.mark.parametrize("name", ["A_bars.csv", "A_1m_bars.parquet"])
@pytest.mark.parametrize("block_rows", [3, 1_000])
def test_two_bars_of_one_time_are_refused_with_their_row(
    write: Write, monkeypatch: pytest.MonkeyPatch, name: str, block_rows: int
) -> None:
    monkeypatch.setattr(readers, "BLOCK_ROWS", block_rows)
    monkeypatch.setattr(csv_reader, "BLOCK_ROWS", block_rows)
    path = bars(write, name, [*MINUTES[:6], MINUTES[5], *MINUTES[6:]])
    assert "row 6 has the time of the bar before it" in refusals(path)


@pytest.mark.parametrize("name", ["A_bars.csv", "A_1m_bars.parquet"])
def test_bar_that_starts_within_another_is_refused_with_its_row(write: Write, name: str) -> None:
    path = bars(write, name, [*MINUTES[:6], 330.0, *MINUTES[6:]])
    assert "row 6 starts 30s after a bar of 1m has started" in refusals(path)


@pytest.mark.parametrize(("named", "length"), [("1h", "1h"), ("15m", "15m"), ("1s", "1s"), ("30s", "30s")])
def test_length_in_the_name_must_fit_the_times(write: Write, named: str, length: str) -> None:
    message = refusals(bars(write, f"A_{named}_bars.csv", MINUTES))
    assert f"bars of {length}, but its rows are 1m apart" in message


def test_bars_without_a_common_length_ask_for_it(write: Write) -> None:
    path = bars(write, "A_bars.csv", [0, 1, 64, 70, 99, 112, 200, 217])
    assert "few or irregular; name the file with it" in refusals(path)


@pytest.mark.parametrize(
    ("name", "starts_s"),
    [
        ("A_1m_bars.csv", [0, 60, 300, 420, 1_000 * 60]),
        ("A_1d_bars.csv", [0, 86_400, 2 * 86_400, 3 * 86_400 - 3_600, 4 * 86_400 - 3_600]),
        ("A_1d_bars.csv", [0, 3 * 86_400]),
        ("A_bars.csv", [86_400 * day for day in (0, 31, 59, 90, 120, 151, 181, 212, 243)]),
    ],
    ids=["absent bars", "summer time", "weekend", "months"],
)
def test_bars_of_a_calendar_with_gaps_are_accepted(write: Write, name: str, starts_s: list[int]) -> None:
    assert len(open_tape([TapeSource(bars(write, name, starts_s))])) == len(starts_s)


def test_bars_that_are_refused_today_are_reopened_for_an_older_run(write: Write) -> None:
    path = bars(write, "A_bars.csv", [*MINUTES, MINUTES[-1]])
    refusals(path)
    content = bars(write, "B_bars.csv", MINUTES)
    recorded = open_tape([TapeSource(content)]).origins[0]
    old = Origin("A", recorded.kind, 13, _hash(path), str(path), interval_ns=recorded.interval_ns)
    assert len(reopen([old])) == 13


def test_bad_bar_is_skipped_in_new_runs_only(write: Write) -> None:
    prices = {"open": [1.0] * 12, "high": [2.0] * 12, "low": [1.0] * 12, "close": [1.5] * 11 + [6.0]}
    path = write("A_bars.csv", ts_ns=[START_NS + round(second * 1e9) for second in MINUTES], **prices)
    tape = open_tape([TapeSource(path)])
    origin = tape.origins[0]
    assert (origin.bad_bars, check(tape.streams)[0].bad_quote) == (1, 1)
    assert np.isnan(tape.rows.bid[-1]) and np.isnan(reopen([origin]).rows.ask[-1])
    old = Origin("A", origin.kind, 12, origin.content_hash, str(path), interval_ns=origin.interval_ns)
    assert reopen([old]).rows.bid[-1] == 6.0


def _hash(path: Path) -> str:
    from hashlib import blake2b

    return blake2b(path.read_bytes(), digest_size=32).hexdigest()
