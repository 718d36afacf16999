"""The crossover kernel against plain means over aggregated bars."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from autohedge.core.reasons import STOPS_FROM, Reason
from autohedge.kernels import crossover
from autohedge.kernels.state import (
    BOTH,
    EXITING,
    FLAT,
    LONG_ONLY,
    OPEN,
    PENDING,
    SHORT_ONLY,
    KernelStates,
    new_states,
)
from tests.kernels.quote_factory import INF, Quote, columns, quotes, scanned, stepped, stops_of, trailed

EXIT_LEVELS = {FLAT: (INF, -INF), PENDING: (INF, -INF), OPEN: (100.9, 99.1), EXITING: (-INF, -INF)}
TRAILS = st.sampled_from([(INF, 0.0), (99.9, 0.998), (100.2, 0.997)])
LATER = 1_000_000


@dataclass
class Params:
    """The parameters of one lane; without `bar_ns` each row is a bar."""

    fast: int = 1
    slow: int = 2
    bar_ns: int = 0
    status: int = FLAT
    trail: tuple[float, float] = (INF, 0.0)
    direction: int = LONG_ONLY


params = st.builds(
    lambda fast, more, *others: Params(fast, fast + more, *others),
    st.sampled_from([1, 2, 3]),
    st.sampled_from([1, 2, 4]),
    st.sampled_from([0, 1, 10, 40]),
    st.sampled_from([FLAT, FLAT, PENDING, OPEN, EXITING]),
    TRAILS,
    st.sampled_from([SHORT_ONLY, BOTH, LONG_ONLY]),
)


def _lanes(*wanted: Params) -> KernelStates:
    lanes = new_states(crossover.DTYPE, len(wanted))
    for lane, p in zip(lanes, wanted, strict=True):
        lane["fast"], lane["slow"], lane["bar_ns"], lane["status"] = p.fast, p.slow, p.bar_ns, p.status
        lane["direction"] = p.direction
        lane["take_profit"], lane["stop_loss"] = EXIT_LEVELS[p.status]
        if p.status == OPEN:
            lane["trail_from"], lane["trail_keep"] = p.trail
    return lanes


def _by_the_rules(p: Params, rows: Sequence[Quote]) -> list[Reason]:
    """Aggregates valid rows into bars and evaluates each closed bar by plain means, without acting on it."""
    take_profit, stop_loss = EXIT_LEVELS[p.status]
    closes: list[float] = []
    watched: list[float] = []
    codes = []
    forming: tuple[int, float] | None = None
    for _, ts, bid, ask, *_ in rows:
        mid = (bid + ask) / 2
        if not (math.isfinite(bid) and math.isfinite(ask)) or bid <= 0 or ask < bid:
            codes.append(Reason.BAD_QUOTE)
        elif p.status == EXITING:
            codes.append(Reason.EXIT_PENDING)
        elif bid >= take_profit:
            codes.append(Reason.TAKE_PROFIT)
        elif bid <= stop_loss:
            codes.append(Reason.STOP_LOSS)
        elif p.status == OPEN and trailed(watched := [*watched, bid], p.trail):
            codes.append(Reason.TRAILING_STOP)
        elif p.bar_ns == 0:
            closes.append(mid)
            codes.append(_judged(p, closes))
        else:
            interval = ts // p.bar_ns
            if forming is None or forming[0] == interval:
                codes.append(Reason.BAR_FORMING)
            else:
                closes.append(forming[1])
                codes.append(_judged(p, closes))
            forming = (interval, mid)
    return codes


def _above(p: Params, closes: list[float]) -> bool:
    newest_first = closes[::-1]
    return sum(newest_first[: p.fast]) / p.fast > sum(newest_first[: p.slow]) / p.slow


def _judged(p: Params, closes: list[float]) -> Reason:
    if len(closes) < p.slow:
        return Reason.WARMING_UP
    above = _above(p, closes)
    if len(closes) == p.slow or above == _above(p, closes[:-1]):
        return Reason.NO_SIGNAL
    if not above and p.status == OPEN:
        return Reason.EXIT_SIGNAL
    if p.direction == (SHORT_ONLY if above else LONG_ONLY):
        return Reason.NO_SIGNAL
    return {OPEN: Reason.IN_POSITION, PENDING: Reason.ORDER_PENDING}.get(p.status, Reason.ENTRY)


def _later(rows: Sequence[Quote]) -> list[Quote]:
    return [row._replace(ts=row.ts + LATER) for row in rows]


@budget(max_examples=60, deadline=None)
@given(params, quotes())
def test_every_row_ends_in_the_code_that_plain_means_give(p: Params, rows: list[Quote]) -> None:
    rows, lanes = _later(rows), _lanes(p)
    codes = stepped(lanes, crossover.step_one, rows)
    assert [Reason(code) for code in codes] == _by_the_rules(p, rows)
    final = Counter(code for code in codes if code < STOPS_FROM)
    assert {i: n for i, n in enumerate(lanes[0]["counts"].tolist()) if n} == final


@budget(max_examples=40, deadline=None)
@given(params, params, quotes(lanes=2), st.lists(st.integers(1, 60), max_size=6))
def test_one_scan_many_scans_and_single_steps_leave_the_same_bits(
    p: Params, q: Params, rows: list[Quote], cuts: list[int]
) -> None:
    single, whole, parts, ones = (_lanes(p, q) for _ in range(4))
    stops = stops_of(stepped(single, crossover.step_one, rows))
    assert scanned(whole, crossover.scan, rows, []) == stops
    assert scanned(parts, crossover.scan, rows, cuts) == stops
    assert scanned(ones, crossover.scan, rows, range(len(rows))) == stops
    assert whole.tobytes() == parts.tobytes() == ones.tobytes() == single.tobytes()


def _bars(*closes: float, start: int = 0, step: int = 10) -> list[Quote]:
    return [Quote(0, start + i * step, close, close, 1, 1) for i, close in enumerate(closes)]


def _codes(p: Params, rows: Sequence[Quote]) -> list[str]:
    return [Reason(code).label for code in stepped(_lanes(p), crossover.step_one, rows)]


def test_crossover_fast_mean_above_slow_enters() -> None:
    codes = _codes(Params(1, 3), _bars(100, 100, 99, 98, 100, 101, 101, 100))
    assert codes == ["warming_up"] * 2 + ["no_signal", "no_signal", "entry"] + ["no_signal"] * 3


def test_crossover_fast_mean_below_slow_exits_open_position() -> None:
    fall = _bars(100, 100, 100.5, 100, 99.5)
    assert _codes(Params(1, 2, status=OPEN), fall)[-2:] == ["exit_signal", "no_signal"]
    assert _codes(Params(1, 2, status=FLAT), fall)[-2:] == ["no_signal", "no_signal"]


def test_equal_means_are_not_above() -> None:
    assert _codes(Params(1, 2), _bars(100, 99, 99, 99, 99.01))[-2:] == ["no_signal", "entry"]


def test_a_side_before_the_first_full_mean_is_no_crossing() -> None:
    assert "entry" not in _codes(Params(1, 2), _bars(100, 101, 102, 103))


@pytest.mark.parametrize("start", [0, 10, 1_700_000_000_000_000_000])
def test_the_first_bar_counts_whenever_the_tape_begins(start: int) -> None:
    codes = _codes(Params(1, 2, bar_ns=10), _bars(100, 99, 98, 101, 101, start=start))
    assert codes == ["bar_forming", "warming_up", "no_signal", "no_signal", "entry"]


def test_a_bar_closes_at_its_last_quote_and_is_judged_at_the_next_interval() -> None:
    rows = _bars(100, 90, 99, 98.5, 98, 150, 101, start=LATER, step=5)
    codes = _codes(Params(1, 2, bar_ns=10), rows)
    # Bars close at 90, 98.5 and 150; the last quote opens the interval after them.
    assert [code for code in codes if code != "bar_forming"] == ["warming_up", "no_signal", "no_signal"]


def test_an_empty_interval_makes_no_bar() -> None:
    rows = [row._replace(ts=row.ts * 7) for row in _bars(100, 99, 98, 101, 101, start=LATER)]
    codes = _codes(Params(1, 2, bar_ns=10), rows)
    assert codes == ["bar_forming", "warming_up", "no_signal", "no_signal", "entry"]


def test_the_longest_slow_mean_keeps_all_its_bars() -> None:
    closes = [100.0] * 1022 + [100.5, 100.0, 100.0, 100.5]
    codes = _codes(Params(1, crossover.SLOW_MAX), _bars(*closes))
    assert codes[:1022] == ["warming_up"] * 1022
    assert codes[1022:] == ["no_signal", "no_signal", "no_signal", "entry"]


def test_a_crossing_enters_the_side_that_the_direction_allows() -> None:
    up, down = _bars(3, 2, 4), _bars(3, 4, 2)
    for direction, codes in (
        (LONG_ONLY, ["entry", "no_signal"]),
        (SHORT_ONLY, ["no_signal", "entry"]),
        (BOTH, ["entry", "entry"]),
    ):
        assert [_codes(Params(direction=direction), rows)[-1] for rows in (up, down)] == codes


def test_a_short_is_left_by_a_crossing_upwards_only() -> None:
    for rows, code in ((_bars(3, 2, 4), "exit_signal"), (_bars(3, 4, 2), "in_position")):
        lanes = _lanes(Params(direction=BOTH, status=OPEN))
        lanes["short"], lanes["take_profit"], lanes["stop_loss"] = 1, INF, -INF
        assert Reason(stepped(lanes, crossover.step_one, rows)[-1]).label == code


@pytest.mark.parametrize("short", [False, True])
def test_the_other_side_is_entered_at_the_first_flat_bar_after_a_crossing(short: bool) -> None:
    before, after = ([3, 2, 4], [5, 6, 7]) if short else ([3, 4, 2], [1.5, 1, 0.5])
    lanes = _lanes(Params(direction=BOTH, status=OPEN))
    lanes["short"], lanes["take_profit"], lanes["stop_loss"] = short, INF, -INF
    stepped(lanes, crossover.step_one, _bars(*before, after[0]))  # still held at the bar after the crossing
    lanes["status"] = FLAT
    assert stepped(lanes, crossover.step_one, _bars(*after[1:])) == [Reason.ENTRY, Reason.NO_SIGNAL]
    assert lanes[0]["entry_side"] == (1 if short else -1)


def test_a_crossing_back_cancels_the_signal_for_the_other_side() -> None:
    lanes = _lanes(Params(direction=BOTH, status=OPEN))
    lanes["take_profit"], lanes["stop_loss"] = INF, -INF
    codes = stepped(lanes, crossover.step_one, _bars(3, 4, 2, 4))
    assert codes[2:] == [Reason.EXIT_SIGNAL, Reason.IN_POSITION]
    lanes["status"] = FLAT
    assert stepped(lanes, crossover.step_one, _bars(5, 6)) == [Reason.NO_SIGNAL] * 2


def test_without_permission_for_the_other_side_a_crossing_only_leaves() -> None:
    lanes = _lanes(Params(status=OPEN))
    lanes["take_profit"], lanes["stop_loss"] = INF, -INF
    assert stepped(lanes, crossover.step_one, _bars(3, 4, 2))[-1] == Reason.EXIT_SIGNAL
    lanes["status"] = FLAT
    assert stepped(lanes, crossover.step_one, _bars(1.5, 1)) == [Reason.NO_SIGNAL] * 2


def _mixed(
    lanes: KernelStates, rows: Sequence[Quote], priced: Sequence[bool], close: Sequence[float]
) -> list[int]:
    """Returns the rows at which the scan of rows of several kinds stops."""
    lane, ts, bid, ask, *_ = columns(rows)
    columns_of_kinds = np.array(priced, np.bool_), np.array(close, np.float64)
    for column in columns_of_kinds:
        column.flags.writeable = False
    stops, start = [], 0
    while start < len(rows):
        at = crossover.scan_mixed(lanes, lane, ts, bid, ask, *columns_of_kinds, start, len(rows))
        if at < len(rows):
            stops.append(at)
        start = at + 1
    return stops


@budget(max_examples=40, deadline=None)
@given(params, quotes())
def test_mixed_scan_of_prices_alone_is_the_plain_scan(p: Params, rows: list[Quote]) -> None:
    rows, plain, mixed = _later(rows), _lanes(p), _lanes(p)
    # Without `bar_ns` each row is also a bar, of its close.
    close = [(row.bid + row.ask) / 2.0 if p.bar_ns == 0 else math.nan for row in rows]
    assert _mixed(mixed, rows, [True] * len(rows), close) == scanned(plain, crossover.scan, rows, [])
    assert mixed.tobytes() == plain.tobytes()


@budget(max_examples=40, deadline=None)
@given(params, quotes(), st.lists(st.booleans(), min_size=60, max_size=60))
def test_bars_beside_prices_give_the_codes_of_bars_alone(
    p: Params, rows: list[Quote], priced: list[bool]
) -> None:
    rows, lanes = _later(rows), _lanes(replace(p, bar_ns=0, status=FLAT))
    flags = [True, *priced][: len(rows)]
    rows[0] = rows[0]._replace(bid=100.0, ask=100.0)
    close = [math.nan if flag else 100.0 + row.bid_size for flag, row in zip(flags, rows, strict=True)]
    bars = [Quote(0, row.ts, value, value, 0, 0) for row, value in zip(rows, close, strict=True) if value > 0]
    alone = _lanes(replace(p, bar_ns=0, status=FLAT))
    at_bars = [at for at, flag in enumerate(flags) if not flag]
    stops = scanned(alone, crossover.scan, bars, [])
    assert _mixed(lanes, rows, flags, close) == [at_bars[stop] for stop in stops]
    # Only prices are counted: a bar alone has a code that the engine counts once it has decided.
    assert lanes[0]["counts"].sum() == sum(flags)
