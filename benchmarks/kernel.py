"""Row `kernel`: the compiled momentum step over a whole tape, against the same loop in C."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autohedge.core.reasons import STOPS_FROM, Reason
from autohedge.kernels import momentum
from autohedge.kernels.jit import compiled
from autohedge.kernels.state import FLAT, OPEN, KernelStates
from autohedge.market import Rows, Tape
from autohedge.strategies import build
from benchmarks import native, session
from benchmarks.row import Row, Spent, Timed, clocked, interleaved

BOUND, AIM = 5.0, 1.5
ROUNDS = 15

# Module globals of plain types, which numba compiles in as constants.
_STOPS_FROM = STOPS_FROM
_ENTRY = int(Reason.ENTRY)
_OPEN, _FLAT = OPEN, FLAT
_step = momentum.step


@compiled
def play(
    lanes: KernelStates,
    lane_of: NDArray[np.int32],
    bid: NDArray[np.float64],
    ask: NDArray[np.float64],
    bid_size: NDArray[np.float64],
    ask_size: NDArray[np.float64],
    profit_bps: float,
    loss_bps: float,
    stops: NDArray[np.int64],
    codes: NDArray[np.int8],
) -> int:
    """Plays all rows with a venue that fills at once; records the rows and codes where a scan would stop."""
    found = 0
    for i in range(len(lane_of)):
        u = np.uintp(i)
        lane = lanes[np.uintp(lane_of[u])]
        volume = bid_size[u] + ask_size[u] if lane["filters"] else 0.0
        code = _step(lane, bid[u], ask[u], volume)
        if code >= _STOPS_FROM:
            lane["counts"][np.uintp(code)] += 1
            if code == _ENTRY:
                mid = (bid[u] + ask[u]) / 2.0
                lane["status"] = _OPEN
                lane["take_profit"] = mid * (1.0 + profit_bps / 10_000.0)
                lane["stop_loss"] = mid * (1.0 - loss_bps / 10_000.0)
            else:
                lane["status"] = _FLAT
                lane["take_profit"] = np.inf
                lane["stop_loss"] = -np.inf
            stops[np.uintp(found)] = i
            codes[np.uintp(found)] = code
            found += 1
    return found


@dataclass(slots=True)
class Played:
    """The outcome of one loop over the tape: its state records, and the rows and codes where it stopped."""

    lanes: KernelStates
    stops: NDArray[np.int64]
    codes: NDArray[np.int8]
    found: int = 0

    def outcome(self) -> tuple[bytes, bytes, bytes]:
        """Returns everything that two loops with the same logic must agree on, bit by bit."""
        return (
            self.lanes.tobytes(),
            self.stops[: self.found].tobytes(),
            self.codes[: self.found].tobytes(),
        )


def loops(tape: Tape, overrides: list[str]) -> tuple[Played, dict[str, Any]]:
    """Returns the available loops by name; each resets and fills the same `Played`."""
    settings = session.settings(overrides)
    fresh = build(settings, tape.streams).lanes
    rows = len(tape)
    played = Played(fresh.copy(), np.zeros(rows, np.int64), np.zeros(rows, np.int8))
    exits = (settings.exits.take_profit_bps, settings.exits.stop_loss_bps)
    ways: dict[str, Any] = {"numba": partial(_numba, tape.rows, exits)}
    if native.compiler():
        ways["c"] = partial(native.player(fresh.dtype), tape.rows, exits)
    return played, {name: partial(_timed, way, fresh, played) for name, way in ways.items()}


def _timed(way: Any, fresh: KernelStates, played: Played) -> Spent:
    # The reset is not part of the measured time.
    played.lanes[:] = fresh

    def action() -> None:
        played.found = way(played)

    return clocked(action)


def _numba(rows: Rows, exits: tuple[float, float], played: Played) -> int:
    columns = (rows.lane, rows.bid, rows.ask, rows.bid_size, rows.ask_size)
    return play(played.lanes, *columns, *exits, played.stops, played.codes)


def measure(quotes: int) -> list[Row]:
    """Measures the kernel against C. Raises AssertionError if their outcomes differ."""
    tape = session.tape(quotes)
    played, variants = loops(tape, [])
    bound = f"<= {BOUND:g}x C (aim {AIM:g}x)"
    if "c" not in variants:
        return [Row("kernel", bound, "no gcc to compile the C loop with", None)]
    outcomes = set()
    for variant in variants.values():
        variant()
        outcomes.add(played.outcome())
    if len(outcomes) != 1:
        msg = "the compiled kernel and the C loop disagree, so their times mean nothing"
        raise AssertionError(msg)
    times = {name: Timed.wall(runs) for name, runs in interleaved(variants, ROUNDS).items()}
    ratio = times["numba"].median / times["c"].median
    least = times["numba"].least / times["c"].least
    figure = f"{ratio:.2f}x C (least {least:.2f}x)"
    each = ", ".join(
        f"{name} {t.median / quotes * 1e9:.2f} ns/quote (least {t.least / quotes * 1e9:.2f})"
        for name, t in times.items()
    )
    return [Row("kernel", bound, figure, ratio <= BOUND, f"{each}; {played.found} stops, all equal")]
