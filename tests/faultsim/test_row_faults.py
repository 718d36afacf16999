"""Faults of the rows beside the quotes change the rows that they are about and no others."""

from collections import Counter
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from autohedge.core.units import NS_PER_S
from autohedge.faultsim.history import Feed, Level
from autohedge.faultsim.random_history import random_history
from autohedge.faultsim.row_faults import KINDS_BESIDE, RowFault, spoiled_feeds
from autohedge.faultsim.strikes import Strike
from autohedge.market.stream import Kind, Stream
from tests.faultsim.test_random_feeds import SEEDS

START_NS, COUNT = 10**18, 60
SYMBOLS = ("A/USD", "B/USD")
LONGEST_NS = 26 * NS_PER_S
A, TRADES, BOOK, FUNDING, LIQUIDATIONS = 0.1, 0.1, 0.3, 0.6, 0.9  # as values of a strike


def _feeds() -> list[Feed]:
    """Feeds of a row a second: the first column of a row says which one it is."""
    numbers: list[int | float] = [each + 1.0 for each in range(COUNT)]
    ones: list[int | float] = [1] * COUNT
    seqs: list[int | float] = list(range(COUNT))
    book = {
        "is_snapshot": [0] * COUNT,
        "first_seq": seqs,
        "last_seq": seqs,
        "prev_seq": [-1, *range(COUNT - 1)],
    }
    columns: dict[Kind, dict[str, Any]] = {
        Kind.TRADES: {"price": numbers, "size": ones, "side": ones},
        Kind.BOOK: book,
        Kind.FUNDING: {"rate": numbers},
        Kind.LIQUIDATIONS: {"side": ones, "price": numbers, "size": ones},
    }
    levels = [[Level(1, number, 1.0), Level(-1, number + 1.0, 1.0)] for number in numbers]
    times = [each * NS_PER_S for each in range(COUNT)]
    return [
        Feed(symbol, kind, times, columns[kind], 1.0, levels if kind is Kind.BOOK else [])
        for symbol in SYMBOLS
        for kind in KINDS_BESIDE
    ]


def _streams(strikes: list[Strike]) -> dict[tuple[str, Kind], Stream]:
    streams = spoiled_feeds(_feeds(), SYMBOLS, strikes, START_NS, Counter())
    return {(stream.symbol, stream.kind): stream for stream in streams}


def _strike(fault: str, kind: float, values: tuple[float, ...] = (), after_s: float = 10.0) -> Strike:
    return Strike(fault, START_NS + int(after_s * NS_PER_S), values=(A, kind, *values))


def _numbers(stream: Stream) -> list[tuple[int, float]]:
    """The rows as seconds after the start, and their number."""
    name = {Kind.BOOK: "last_seq", Kind.FUNDING: "rate"}.get(stream.kind, "price")
    seconds = (stream.columns["ts"] - START_NS) // NS_PER_S
    return list(zip(seconds.tolist(), stream.columns[name].tolist(), strict=True))


def _rows(stream: Stream) -> set[tuple[int, str]]:
    names = [name for name in stream.columns if name not in {"ts", "start"}]
    shown = [stream.columns[name].tolist() for name in names]
    if stream.messages:
        starts, levels = stream.messages.now.start.tolist(), stream.messages.now.levels()
        spans = [slice(*span) for span in pairwise(starts)]
        shown += [[column[span].tolist() for span in spans] for column in levels.values()]
    return set(zip(stream.columns["ts"].tolist(), map(repr, zip(*shown, strict=True)), strict=True))


shares = st.tuples(*[st.floats(0, 1, exclude_max=True)] * 4)
strikes_of = st.builds(
    lambda fault, after_s, values: Strike(fault, START_NS + int(after_s * NS_PER_S), values=values),
    st.sampled_from(RowFault),
    st.floats(0, 60),
    shares,
)


@budget(max_examples=60, deadline=None)
@given(st.lists(strikes_of, min_size=1, max_size=8), st.data())
def test_leaving_one_strike_out_changes_no_row_of_another_feed_or_time(
    strikes: list[Strike], data: st.DataObject
) -> None:
    strike = strikes.pop(data.draw(st.integers(0, len(strikes) - 1)))
    with_it, without = _streams([*strikes, strike]), _streams(strikes)
    for key, stream in with_it.items():
        for ts_ns, _ in _rows(stream) ^ _rows(without[key]):
            assert key == (strike.choose(SYMBOLS), strike.choose(KINDS_BESIDE, 1))
            # Rows that are late by several strikes come later still.
            assert strike.at_ns <= ts_ns <= strike.at_ns + LONGEST_NS + len(strikes) * 8 * NS_PER_S


@pytest.mark.parametrize("kind", [TRADES, BOOK, FUNDING, LIQUIDATIONS])
def test_late_rows_come_after_later_ones(kind: float) -> None:
    before, after = _struck("late_rows", kind, (0.0, 0.57))
    late, *_ = set(before) - set(after)
    assert late[0] == 10
    moved = (14, late[1])
    assert after[13:15] == [before[14], moved] and sorted(n for _, n in after) == [n for _, n in before]


@pytest.mark.parametrize(("later", "place"), [(0.2, 11), (0.76, 15)])
@pytest.mark.parametrize("kind", [TRADES, BOOK, FUNDING, LIQUIDATIONS])
def test_doubled_rows_come_twice_at_once_or_later(kind: float, later: float, place: int) -> None:
    before, after = _struck("doubled_rows", kind, (0.0, later))
    assert len(after) == len(before) + 1
    assert after[place][1] == after[10][1] == before[10][1]
    assert after[:place] + after[place + 1 :] == before


@pytest.mark.parametrize("kind", [TRADES, BOOK, FUNDING, LIQUIDATIONS])
def test_missing_rows_are_left_out(kind: float) -> None:
    before, after = _struck("missing_rows", kind, (0.99, 0.0))
    assert after == before[:10] + before[14:]


@pytest.mark.parametrize("kind", [TRADES, BOOK, FUNDING, LIQUIDATIONS])
def test_a_gapped_feed_has_no_rows_for_a_while_but_its_last_one(kind: float) -> None:
    before, after = _struck("gapped_rows", kind, (0.0, 0.0))
    assert after == before[:10] + before[15:]
    _, to_the_end = _struck("gapped_rows", kind, (0.9, 0.0), after_s=50.0)
    assert to_the_end == before[:50] + before[-1:]


def _struck(
    fault: str, kind: float, values: tuple[float, ...], after_s: float = 10.0
) -> tuple[list[tuple[int, float]], list[tuple[int, float]]]:
    strike = _strike(fault, kind, values, after_s)
    key = SYMBOLS[0], strike.choose(KINDS_BESIDE, 1)
    return _numbers(_streams([])[key]), _numbers(_streams([strike])[key])


@pytest.mark.parametrize(
    ("kind", "detail", "name", "value"),
    [
        (TRADES, 0.0, "price", np.nan),
        (TRADES, 0.99, "size", -1.0),
        (FUNDING, 0.0, "rate", np.nan),
        (LIQUIDATIONS, 0.99, "side", 0),
    ],
)
def test_bad_rows_have_a_bad_value(kind: float, detail: float, name: str, value: float) -> None:
    strike = _strike("bad_rows", kind, (0.0, detail))
    key = SYMBOLS[0], strike.choose(KINDS_BESIDE, 1)
    clean, spoiled = _streams([])[key].columns[name], _streams([strike])[key].columns[name]
    assert np.array_equal(spoiled[10], value, equal_nan=True) and clean[10] != value
    assert np.array_equal(np.delete(spoiled, 10), np.delete(clean, 10))


@pytest.mark.parametrize("detail", [each / 7 + 0.01 for each in range(7)])
def test_a_bad_message_of_a_book_differs_in_its_levels_alone(detail: float) -> None:
    strike, key = _strike("bad_rows", BOOK, (0.0, detail)), (SYMBOLS[0], Kind.BOOK)
    clean, spoiled = _rows(_streams([])[key]), _rows(_streams([strike])[key])
    assert len(clean - spoiled) == len(spoiled - clean) == 1


@pytest.mark.parametrize(("share", "place"), [(0.9, 19), (0.1, 16)])
def test_rows_stop_with_the_quotes_or_go_on_at_half_their_rate(share: float, place: int) -> None:
    gap = Strike("gap", START_NS + 10 * NS_PER_S, values=(0.0, share))  # of 6 s
    for key, stream in _streams([gap]).items():
        clean, later = _numbers(_streams([])[key]), _numbers(stream)
        assert later[:11] == clean[:11] and [number for _, number in later] == [number for _, number in clean]
        assert later[13][0] == place
        assert [after - before for (after, _), (before, _) in zip(later, clean, strict=True)][16:] == [6] * 44


def test_strikes_are_counted_if_they_meet_a_row() -> None:
    counts: Counter[str] = Counter()
    strikes = [
        _strike("bad_rows", TRADES),
        _strike("bad_rows", TRADES, after_s=100.0),
        _strike("gap", TRADES),
    ]
    spoiled_feeds(_feeds(), SYMBOLS, strikes, START_NS, counts)
    assert +counts == {"bad_rows": 1}
    spoiled_feeds(_feeds()[4:], SYMBOLS, strikes, START_NS, counts)
    assert +counts == {"bad_rows": 1}


def test_each_fault_meets_rows_of_each_kind() -> None:
    met = Counter[tuple[str, Kind]]()
    for seed in SEEDS:
        history = random_history(seed)
        symbols = [quotes.symbol for quotes in history.market]
        for strike in history.strikes:
            if strike.fault in set(RowFault):
                counts: Counter[str] = Counter()
                spoiled_feeds(history.feeds, symbols, [strike], history.start_ns, counts)
                met[strike.fault, strike.choose(KINDS_BESIDE, 1)] += counts[strike.fault]
    assert len(met) == len(RowFault) * len(KINDS_BESIDE) and min(met.values()) >= 3
