"""Momentum: buy when the mid has risen by a minimum edge over the last accepted quotes.

Where the direction allows it, a fall of the mid by as much is a signal to sell short.

The scan over a batch and the step for one live quote share one inlined step, so both give the same bits.
Columns are separate read-only arrays; sizes are read only by the two filters. Indices are unsigned, because a
signed index costs a test for Python's negative indexing at every access.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from autohedge.core.reasons import Reason
from autohedge.kernels.jit import compiled, inlined
from autohedge.kernels.state import (
    LONG_ONLY,
    SHORT_ONLY,
    KernelStates,
    check_quote_and_exits,
    entry_code,
    must_stop,
    record_code,
    state_dtype,
)

LOOKBACK_MAX = 1023

DTYPE = state_dtype(
    [
        ("max_spread_bps", "f8"),
        ("min_edge_bps", "f8"),
        ("min_volume_ratio", "f8"),
        ("evaluate_every_quotes", "i8"),
        ("lookback", "i8"),
        ("warmup_count", "i8"),
        ("filters", "i8"),
        ("use_vwap", "i8"),
        ("accepted", "i8"),
        ("debounce", "i8"),
        ("slot", "i8"),
        ("mids", "f8", (LOOKBACK_MAX + 1,)),
        ("volumes", "f8", (LOOKBACK_MAX + 1,)),
    ]
)

_WIDE_SPREAD = int(Reason.WIDE_SPREAD)
_DEBOUNCE = int(Reason.DEBOUNCE)
_WARMING_UP = int(Reason.WARMING_UP)
_NO_EDGE = int(Reason.NO_EDGE)
_LOW_VOLUME = int(Reason.LOW_VOLUME)
_BELOW_VWAP = int(Reason.BELOW_VWAP)
_ENTRY = int(Reason.ENTRY)
_LONG_ONLY, _SHORT_ONLY = LONG_ONLY, SHORT_ONLY


@inlined
def _remember(lane: Any, mid: float, volume: float) -> float:
    """Stores a mid in the ring of the last lookback + 1; returns the oldest one."""
    slot = lane["slot"]
    lane["mids"][np.uintp(slot)] = mid
    if lane["filters"]:
        lane["volumes"][np.uintp(slot)] = volume
    slot = 0 if slot == lane["lookback"] else slot + 1
    lane["slot"] = slot
    lane["accepted"] += 1
    # A full ring: the next slot to overwrite has the oldest mid. A filling ring: slot 0 has it.
    oldest = slot if lane["accepted"] > lane["lookback"] else 0
    return lane["mids"][np.uintp(oldest)]  # type: ignore[no-any-return]


@inlined
def _filtered(lane: Any, mid: float, volume: float) -> int:
    """Applies the volume-ratio and VWAP filters to the stored quotes; returns ENTRY if both pass."""
    count = min(lane["accepted"], lane["lookback"] + 1)
    shown = 0.0
    weighted = 0.0
    for i in range(count):
        shown += lane["volumes"][i]
        weighted += lane["mids"][i] * lane["volumes"][i]
    if volume < lane["min_volume_ratio"] * (shown / count):
        return _LOW_VOLUME
    # "not >" instead of "<=": without sizes the VWAP is NaN, and then the filter must refuse.
    if lane["use_vwap"] and not (mid - weighted / shown) * lane["entry_side"] > 0.0:
        return _BELOW_VWAP
    return _ENTRY


@inlined
def _evaluate(lane: Any, bid: float, ask: float, volume: float) -> int:
    mid = (bid + ask) / 2.0
    if (ask - bid) / mid * 10_000.0 > lane["max_spread_bps"]:
        return _WIDE_SPREAD
    past = _remember(lane, mid, volume)
    lane["debounce"] += 1
    if lane["debounce"] < lane["evaluate_every_quotes"]:
        return _DEBOUNCE
    lane["debounce"] = 0
    if lane["accepted"] < lane["warmup_count"]:
        return _WARMING_UP
    edge = (mid - past) / past * 10_000.0
    if edge < lane["min_edge_bps"] or lane["direction"] == _SHORT_ONLY:
        if edge > -lane["min_edge_bps"] or lane["direction"] == _LONG_ONLY:
            return _NO_EDGE
        lane["entry_side"] = -1
    else:
        lane["entry_side"] = 1
    # The filters run last: they loop over the whole lookback.
    code = entry_code(lane)
    if code == _ENTRY and lane["filters"]:
        code = _filtered(lane, mid, volume)
    return code


@inlined
def step(lane: Any, bid: float, ask: float, volume: float) -> int:
    """Processes one quote; returns exactly one code, and counts it if it is final."""
    code = check_quote_and_exits(lane, bid, ask)
    if code < 0:
        code = _evaluate(lane, bid, ask, volume)
    record_code(lane, code)
    return code


@compiled
def step_one(lanes: KernelStates, lane: int, ts: int, bid: float, ask: float, volume: float) -> int:
    """Runs the same step on one live quote; `ts` is part of every strategy's signature, unused here."""
    return step(lanes[np.uintp(lane)], bid, ask, volume)


@compiled
def scan(
    lanes: KernelStates,
    lane_of: NDArray[np.int32],
    ts: NDArray[np.int64],
    bid: NDArray[np.float64],
    ask: NDArray[np.float64],
    bid_size: NDArray[np.float64],
    ask_size: NDArray[np.float64],
    start: int,
    stop: int,
) -> int:
    """Scans rows `start` to `stop`; returns the row at which the engine must decide, else `stop`."""
    for i in range(start, stop):
        u = np.uintp(i)
        lane = lanes[np.uintp(lane_of[u])]
        volume = bid_size[u] + ask_size[u] if lane["filters"] else 0.0
        if must_stop(lane, step(lane, bid[u], ask[u], volume)):
            return i
    return stop
