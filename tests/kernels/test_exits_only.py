"""The exits-only kernel: it checks exits, counts quotes under the gate's code, and never enters."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from autohedge.core.clock import NEVER
from autohedge.core.reasons import Reason
from autohedge.kernels import exits_only
from autohedge.kernels.state import EXITING, FLAT, OPEN, PENDING, REFRESH_DUE, KernelStates, new_states
from tests.kernels.quote_factory import Quote, quotes, scanned

WAITS = (0, Reason.NO_SIGNAL, Reason.DELIBERATING, Reason.AGENTS_COOLDOWN)
STATUSES = (FLAT, PENDING, OPEN, EXITING)


def _lanes(status: int = FLAT, gate: int = 0, refresh_in: int = NEVER, count: int = 1) -> KernelStates:
    lanes = new_states(exits_only.DTYPE, count)
    lanes["status"], lanes["gate"], lanes["refresh_in"] = status, gate, refresh_in
    if status == OPEN:
        lanes["take_profit"], lanes["stop_loss"] = 100.5, 99.5
    elif status == EXITING:
        lanes["take_profit"] = -float("inf")
    return lanes


def _codes(lanes: KernelStates) -> dict[str, int]:
    totals = lanes["counts"].sum(axis=0)
    return {code.label: int(totals[code]) for code in Reason if totals[code]}


GOOD = [Quote(0, ts, 99.9, 100.0, 1.0, 1.0) for ts in range(10)]


@pytest.mark.parametrize("gate", WAITS)
def test_quote_of_flat_lane_is_counted_under_its_gate_code(gate: int) -> None:
    lanes = _lanes(gate=gate)
    assert scanned(lanes, exits_only.scan, GOOD, [3]) == []
    assert _codes(lanes) == {Reason(gate or Reason.NO_SIGNAL).label: 10}


@pytest.mark.parametrize(
    ("status", "code"), [(PENDING, "order_pending"), (OPEN, "in_position"), (EXITING, "exit_pending")]
)
def test_pending_order_or_position_precedes_gate_code(status: int, code: str) -> None:
    lanes = _lanes(status, gate=int(Reason.DELIBERATING))
    assert scanned(lanes, exits_only.scan, GOOD, []) == []
    assert _codes(lanes) == {code: 10}


@pytest.mark.parametrize(("bid", "code"), [(100.5, Reason.TAKE_PROFIT), (99.5, Reason.STOP_LOSS)])
def test_exit_level_met_stops_the_scan_under_every_gate_code(bid: float, code: Reason) -> None:
    for gate in WAITS:
        lanes = _lanes(OPEN, gate=gate)
        rows = [*GOOD[:4], Quote(0, 4, bid, bid + 0.1, 1.0, 1.0)]
        assert scanned(lanes, exits_only.scan, rows, []) == [4]
        assert lanes[0]["stop"] == code


def test_scan_stops_when_refresh_is_due() -> None:
    lanes = _lanes(refresh_in=4)
    bad = Quote(0, 0, 100.0, 99.0, 1.0, 1.0)
    assert scanned(lanes, exits_only.scan, [bad, *GOOD], []) == [4]
    assert lanes[0]["stop"] == REFRESH_DUE
    assert _codes(lanes) == {"bad_quote": 1, "no_signal": 10}


@st.composite
def situations(draw: st.DrawFn) -> KernelStates:
    """Draws lanes in any state that the engine can set."""
    lanes = _lanes(count=2)
    for lane in range(2):
        lanes[lane] = _lanes(draw(st.sampled_from(STATUSES)), draw(st.sampled_from(WAITS)))[0]
        lanes[lane]["refresh_in"] = draw(st.sampled_from([1, 2, 5, NEVER]))
    return lanes


@budget(max_examples=150, deadline=None)
@given(situations(), quotes(lanes=2), st.lists(st.integers(0, 60), max_size=4))
def test_exits_only_never_enters_and_ignores_batch_cuts(
    lanes: KernelStates, rows: list[Quote], cuts: Sequence[int]
) -> None:
    whole = lanes.copy()
    assert scanned(lanes, exits_only.scan, rows, cuts) == scanned(whole, exits_only.scan, rows, [])
    assert lanes.tobytes() == whole.tobytes()
    assert not lanes["counts"][:, Reason.ENTRY].any()
    assert not (lanes["stop"] == Reason.ENTRY).any()


def repeat_exit_tests() -> None:
    """Runs three tests of this file; test_without_compiler.py calls it in a process without the compiler."""
    for gate in WAITS:
        test_quote_of_flat_lane_is_counted_under_its_gate_code(gate)
    test_exit_level_met_stops_the_scan_under_every_gate_code(99.5, Reason.STOP_LOSS)
    test_scan_stops_when_refresh_is_due()
