"""The momentum kernel against its rules in plain Python."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from autohedge.core.reasons import STOPS_FROM, Reason
from autohedge.kernels import momentum
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
from tests.kernels.quote_factory import INF, NAN, Quote, quotes, scanned, stepped, stops_of, trailed

SHORT_LEVELS = (-99.5, -100.5)
EXIT_LEVELS = {FLAT: (INF, -INF), PENDING: (INF, -INF), OPEN: (100.5, 99.5), EXITING: (-INF, -INF)}
TRAILS = st.sampled_from([(INF, 0.0), (99.9, 0.998), (100.2, 0.997)])


@dataclass
class Params:
    """The parameters of one lane."""

    evaluate_every_quotes: int = 1
    lookback: int = 1
    warmup_count: int = 2
    min_edge_bps: float = 1.0
    max_spread_bps: float = 25.0
    min_volume_ratio: float = 0.0
    use_vwap: bool = False
    status: int = FLAT
    trail: tuple[float, float] = (INF, 0.0)
    short: bool = False
    direction: int = LONG_ONLY

    @property
    def exit_levels(self) -> tuple[float, float]:
        """The levels of a long at its bids, or those of a short at its negated asks."""
        return SHORT_LEVELS if self.short and self.status == OPEN else EXIT_LEVELS[self.status]

    @property
    def exit_trail(self) -> tuple[float, float]:
        """Where the trail begins, and which multiple of the best exit price it is."""
        start, keep = self.trail
        return (-start if start < INF else INF, 2.0 - keep) if self.short else self.trail


params = st.builds(
    Params,
    evaluate_every_quotes=st.sampled_from([1, 2, 5]),
    lookback=st.sampled_from([1, 2, 3, 7, 1023]),
    warmup_count=st.sampled_from([2, 3, 10]),
    min_edge_bps=st.sampled_from([-20.0, 0.0, 1.0, 10.0]),
    max_spread_bps=st.sampled_from([0.0, 25.0, 40.0]),
    min_volume_ratio=st.sampled_from([0.0, 0.5, 1.0, 1.5]),
    use_vwap=st.booleans(),
    status=st.sampled_from([FLAT, FLAT, PENDING, OPEN, EXITING]),
    trail=TRAILS,
    short=st.booleans(),
    direction=st.sampled_from([SHORT_ONLY, BOTH, LONG_ONLY]),
)


def _lanes(*wanted: Params) -> KernelStates:
    lanes = new_states(momentum.DTYPE, len(wanted))
    for lane, p in zip(lanes, wanted, strict=True):
        for name in ("evaluate_every_quotes", "lookback", "warmup_count", "min_edge_bps", "max_spread_bps"):
            lane[name] = getattr(p, name)
        lane["min_volume_ratio"], lane["use_vwap"] = p.min_volume_ratio, p.use_vwap
        lane["filters"] = p.min_volume_ratio > 0 or p.use_vwap
        lane["status"] = p.status
        lane["short"], lane["direction"] = p.short, p.direction
        lane["take_profit"], lane["stop_loss"] = p.exit_levels
        if p.status == OPEN:
            lane["trail_from"], lane["trail_keep"] = p.exit_trail
    return lanes


def _by_the_rules(p: Params, rows: Sequence[Quote]) -> list[Reason]:
    """Returns the code of each row up to the entry trigger, by the rules; a trigger is not acted on."""
    mids: list[float] = []
    watched: list[float] = []
    sizes: list[float] = []
    debounce = 0
    codes = []
    take_profit, stop_loss = p.exit_levels
    for _, _, bid, ask, bid_size, ask_size in rows:
        mid, price = (bid + ask) / 2, -ask if p.short else bid
        if not (math.isfinite(bid) and math.isfinite(ask)) or bid <= 0 or ask <= 0 or ask < bid:
            codes.append(Reason.BAD_QUOTE)
        elif p.status == EXITING:
            codes.append(Reason.EXIT_PENDING)
        elif p.status == OPEN and price >= take_profit:
            codes.append(Reason.TAKE_PROFIT)
        elif p.status == OPEN and price <= stop_loss:
            codes.append(Reason.STOP_LOSS)
        elif p.status == OPEN and trailed(watched := [*watched, price], p.exit_trail):
            codes.append(Reason.TRAILING_STOP)
        elif (ask - bid) / mid * 10_000 > p.max_spread_bps:
            codes.append(Reason.WIDE_SPREAD)
        else:
            mids.append(mid)
            sizes.append(bid_size + ask_size)
            debounce += 1
            if debounce < p.evaluate_every_quotes:
                codes.append(Reason.DEBOUNCE)
                continue
            debounce = 0
            codes.append(_judged(p, mids, sizes))
    return codes


def _judged(p: Params, mids: list[float], sizes: list[float]) -> Reason:
    if len(mids) < p.warmup_count:
        return Reason.WARMING_UP
    recent, shown = mids[-(p.lookback + 1) :], sizes[-(p.lookback + 1) :]
    side = _side(p, (recent[-1] - recent[0]) / recent[0] * 10_000)
    if not side:
        return Reason.NO_EDGE
    if p.status in (OPEN, PENDING):
        return Reason.IN_POSITION if p.status == OPEN else Reason.ORDER_PENDING
    total = sum(shown)
    if shown[-1] < p.min_volume_ratio * (total / len(shown)):
        return Reason.LOW_VOLUME
    weighted = math.fsum(mid * size for mid, size in zip(recent, shown, strict=True))
    if p.use_vwap and not (total > 0 and side * (recent[-1] - weighted / total) > 1e-9):
        return Reason.BELOW_VWAP
    return Reason.ENTRY


def _side(p: Params, edge_bps: float) -> int:
    """Returns 1 for a long, -1 for a short, 0 for no entry."""
    if edge_bps >= p.min_edge_bps and p.direction != SHORT_ONLY:
        return 1
    return -1 if edge_bps <= -p.min_edge_bps and p.direction != LONG_ONLY else 0


@budget(max_examples=60, deadline=None)
@given(params, quotes())
def test_every_quote_ends_in_the_code_that_the_rules_give(p: Params, rows: list[Quote]) -> None:
    lanes = _lanes(p)
    codes = stepped(lanes, momentum.step_one, rows)
    assert [Reason(code) for code in codes] == _by_the_rules(p, rows)
    final = Counter(code for code in codes if code < STOPS_FROM)
    assert {i: n for i, n in enumerate(lanes[0]["counts"].tolist()) if n} == final


@budget(max_examples=40, deadline=None)
@given(params, params, quotes(lanes=2), st.lists(st.integers(1, 60), max_size=6))
def test_one_scan_many_scans_and_single_steps_leave_the_same_bits(
    p: Params, q: Params, rows: list[Quote], cuts: list[int]
) -> None:
    single, whole, parts, ones = (_lanes(p, q) for _ in range(4))
    stops = stops_of(stepped(single, momentum.step_one, rows))
    assert scanned(whole, momentum.scan, rows, []) == stops
    assert scanned(parts, momentum.scan, rows, cuts) == stops
    assert scanned(ones, momentum.scan, rows, range(len(rows))) == stops
    assert whole.tobytes() == parts.tobytes() == ones.tobytes() == single.tobytes()


@budget(max_examples=25, deadline=None)
@given(params, params, quotes(lanes=2))
def test_lane_is_independent_of_its_neighbour(p: Params, q: Params, rows: list[Quote]) -> None:
    both = stepped(_lanes(p, q), momentum.step_one, rows)
    alone = [row for row in rows if row.lane == 0]
    assert stepped(_lanes(p), momentum.step_one, alone) == [
        code for code, row in zip(both, rows, strict=True) if row.lane == 0
    ]


def _mids(*mids: float, size: float = 1.0) -> list[Quote]:
    return [Quote(0, i, mid, mid, size, size) for i, mid in enumerate(mids)]


def _codes(p: Params, rows: Sequence[Quote]) -> list[str]:
    return [Reason(code).label for code in stepped(_lanes(p), momentum.step_one, rows)]


def test_the_edge_is_reached_at_exactly_its_bound() -> None:
    assert _codes(Params(min_edge_bps=100.0), _mids(100, 101))[-1] == "entry"
    assert _codes(Params(min_edge_bps=100.0), _mids(100, 100.99))[-1] == "no_edge"


def test_the_edge_is_measured_over_the_lookback() -> None:
    rise = _mids(100, 100, 101, 101, 101)
    assert _codes(Params(lookback=2, min_edge_bps=50), rise)[1:] == ["no_edge", "entry", "entry", "no_edge"]
    assert _codes(Params(lookback=3, min_edge_bps=50), rise)[1:] == ["no_edge", "entry", "entry", "entry"]


def test_a_fall_is_an_entry_on_the_short_side_where_the_direction_allows_it() -> None:
    rise, fall = _mids(100, 101), _mids(100, 99)
    for direction, codes in (
        (LONG_ONLY, ["entry", "no_edge"]),
        (SHORT_ONLY, ["no_edge", "entry"]),
        (BOTH, ["entry", "entry"]),
    ):
        wanted = Params(min_edge_bps=100.0, direction=direction)
        assert [_codes(wanted, rows)[-1] for rows in (rise, fall)] == codes
    lanes = _lanes(Params(min_edge_bps=100.0, direction=BOTH))
    stepped(lanes, momentum.step_one, rise)
    assert lanes[0]["entry_side"] == 1
    stepped(lanes, momentum.step_one, _mids(99))
    assert lanes[0]["entry_side"] == -1


def test_exits_of_a_short_fire_at_exactly_the_ask_however_low_the_bid() -> None:
    for ask, code in (
        (99.5, "take_profit"),
        (99.51, "warming_up"),
        (100.5, "stop_loss"),
        (100.49, "warming_up"),
    ):
        assert _codes(Params(status=OPEN, short=True), [Quote(0, 0, ask, ask, 0, 0)]) == [code]
        if code != "warming_up":
            assert _codes(Params(status=OPEN, short=True), [Quote(0, 0, ask / 2, ask, 0, 0)]) == [code]


def test_a_spread_at_exactly_its_bound_is_not_wide() -> None:
    at = Quote(0, 0, 99.5, 100.5, 0, 0)
    assert _codes(Params(max_spread_bps=100.0), [at]) == ["warming_up"]
    assert _codes(Params(max_spread_bps=99.99), [at]) == ["wide_spread"]


@pytest.mark.parametrize(
    ("bid", "code"),
    [(100.5, "take_profit"), (100.49, "warming_up"), (99.5, "stop_loss"), (99.51, "warming_up")],
)
def test_exits_fire_at_exactly_their_price_however_wide_the_spread(bid: float, code: str) -> None:
    assert _codes(Params(status=OPEN), [Quote(0, 0, bid, bid, 0, 0)]) == [code]
    if code != "warming_up":
        assert _codes(Params(status=OPEN), [Quote(0, 0, bid, bid * 2, 0, 0)]) == [code]


def test_quotes_that_end_before_the_history_leave_no_trace_in_it() -> None:
    noise = [Quote(0, 0, 100.0, 150.0, 9, 9), Quote(0, 0, NAN, 1.0, 9, 9), Quote(0, 0, 90.0, 80.0, 9, 9)]
    plain, noisy = _lanes(Params(lookback=3)), _lanes(Params(lookback=3))
    rows = _mids(100, 101, 100, 102)
    stepped(plain, momentum.step_one, rows)
    stepped(noisy, momentum.step_one, [row for good in rows for row in (*noise, good)])
    for name in ("mids", "accepted", "debounce", "slot"):
        assert (plain[name] == noisy[name]).all()


def test_bad_quote_does_not_update_bid_and_ask() -> None:
    lanes = _lanes(Params())
    stepped(lanes, momentum.step_one, [Quote(0, 0, 99.0, 99.1, 1, 1), Quote(0, 1, 50.0, NAN, 1, 1)])
    assert (lanes[0]["bid"], lanes[0]["ask"]) == (99.0, 99.1)
    stepped(lanes, momentum.step_one, [Quote(0, 2, 50.0, 60.0, 1, 1)])
    assert (lanes[0]["bid"], lanes[0]["ask"]) == (50.0, 60.0)


@pytest.mark.parametrize(("last_size", "code"), [(0.6, "entry"), (0.5, "low_volume")])
def test_a_thin_quote_is_below_its_share_of_the_mean_size(last_size: float, code: str) -> None:
    rows = [*_mids(100, 100, 100), Quote(0, 9, 101, 101, last_size, last_size)]
    # 0.65 of the mean of 2, 2 and 1.2 is 1.13; of 2, 2 and 1.0 it is 1.08.
    wanted = Params(lookback=2, min_volume_ratio=0.65)
    assert _codes(wanted, rows)[-1] == code


def test_the_vwap_filter_weighs_prices_by_size() -> None:
    heavy_above = [*_mids(100), *_mids(103, size=50.0), *_mids(101)]
    heavy_below = [*_mids(100, size=50.0), *_mids(103), *_mids(101)]
    assert _codes(Params(lookback=2, use_vwap=True), heavy_above)[-1] == "below_vwap"
    assert _codes(Params(lookback=2, use_vwap=True), heavy_below)[-1] == "entry"
    assert _codes(Params(lookback=2, use_vwap=False), heavy_above)[-1] == "entry"
    assert _codes(Params(lookback=2, use_vwap=True), _mids(100, 103, 101, size=0.0))[-1] == "below_vwap"
    short = Params(lookback=2, use_vwap=True, direction=SHORT_ONLY)
    assert _codes(short, [*_mids(100), *_mids(97, size=50.0), *_mids(99)])[-1] == "below_vwap"
    assert _codes(short, [*_mids(100, size=50.0), *_mids(97), *_mids(99)])[-1] == "entry"
