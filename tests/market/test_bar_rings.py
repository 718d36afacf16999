"""The bars that agents see: finished ones only, of mids, whatever the batches, and as `make_bars` makes them."""

import numpy as np
import pytest

from autohedge.core.errors import Misconfigured
from autohedge.core.snapshots import BarWindow
from autohedge.core.units import NS_PER_S
from autohedge.market import Rows
from autohedge.market.bar_aggregator import BarSource, make_bars
from autohedge.market.bar_rings import BarRings, bar_windows
from autohedge.market.bar_spec import BarSpec
from autohedge.market.stream import Kind

WINDOWS = {"5s": 4, "20s": 3}
START_NS = 1_700_000_000 * NS_PER_S + 1
ROWS = 400


def _rows(lanes: int = 1) -> Rows:
    rng = np.random.default_rng(3)
    ts = START_NS + np.cumsum(rng.integers(1, NS_PER_S, ROWS))
    mid = 100.0 + np.cumsum(rng.normal(0.0, 0.05, ROWS))
    bid = np.where(rng.random(ROWS) < 0.05, np.nan, mid - 0.01)
    return Rows.of(ts, bid, mid + 0.01, np.arange(ROWS) % lanes, lanes=lanes)


def _windows(rows: Rows, end: int, now_ns: int, lane: int = 0, lanes: int = 1) -> tuple[BarWindow, ...]:
    rings = BarRings(lanes, bar_windows(WINDOWS))
    rings.extend(rows, 0, end)
    return rings.windows(lane, now_ns)


@pytest.mark.parametrize("end", [1, 40, 173, ROWS])
def test_windows_are_the_last_finished_bars_of_quotes(end: int) -> None:
    rows = _rows()
    found = {window.length_s: window for window in _windows(rows, end, rows.ts.item(end - 1))}
    columns = {"ts": rows.ts[:end], "bid": rows.bid[:end], "ask": rows.ask[:end]}
    for every, count in WINDOWS.items():
        bars = make_bars(BarSpec.of(every), BarSource(Kind.QUOTES), columns).finished
        whole = bars[bars["partial"] == 0][-count:]
        window = found.get(int(every.removesuffix("s")))
        assert (window.start_ns if window else ()) == tuple(whole["start_ns"].tolist())
        for name in ("open", "high", "low", "close") if window else ():
            np.testing.assert_allclose(getattr(window, name), whole[name], rtol=1e-15)


def test_windows_do_not_depend_on_the_batches() -> None:
    rows, rings = _rows(lanes=2), BarRings(2, bar_windows(WINDOWS))
    for start in range(0, ROWS, 37):
        cut = slice(start, start + 37)
        part = Rows.of(rows.ts[cut], rows.bid[cut], rows.ask[cut], rows.lane[cut], lanes=2)
        middle = len(part) // 2
        rings.extend(part, 0, middle)
        rings.windows(0, START_NS)
        rings.extend(part, middle, len(part))
    now_ns = rows.ts.item(-1)
    for lane in range(2):
        assert rings.windows(lane, now_ns) == _windows(rows, ROWS, now_ns, lane, lanes=2)


def test_a_bar_is_shown_once_the_clock_has_reached_its_end() -> None:
    second = np.array([0, 1, 6, 7], np.int64) * NS_PER_S + 1_700_000_000 * NS_PER_S
    rows = Rows.of(second, [1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 4.0])
    end_ns = 1_700_000_010 * NS_PER_S
    before, at = (_windows(rows, 4, now_ns)[0] for now_ns in (end_ns - 1, end_ns))
    assert (before.close, at.close) == ((2.0,), (2.0, 4.0))
    assert at.start_ns[-1] == end_ns - 5 * NS_PER_S


def test_later_rows_change_no_window() -> None:
    rows = _rows()
    now_ns = rows.ts.item(199)
    changed = Rows.of(rows.ts, np.where(np.arange(ROWS) < 200, rows.bid, 50.0), rows.ask)
    assert _windows(rows, 200, now_ns) == _windows(changed, 200, now_ns)


@pytest.mark.parametrize(
    ("wanted", "problem"),
    [
        ({"500 ticks": 3}, "write a length of time"),
        ({"1M": 3}, "write a length of time"),
        ({"1x": 3}, "tools.bars 1x: write a length of time"),
        ({"1m": 0}, "show 1 to 500 bars, not 0"),
        ({"1m": 501}, "show 1 to 500 bars, not 501"),
    ],
)
def test_windows_that_cannot_be_kept_are_refused(wanted: dict[str, int], problem: str) -> None:
    with pytest.raises(Misconfigured, match=problem):
        bar_windows(wanted)
