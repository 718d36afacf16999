"""Random but plausible tapes and settings for property tests."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from autohedge.config import Settings
from autohedge.market import Tape
from tests.run_harness import columns_tape, settings

DIRECTIONS = [
    ("long", "cash"),
    ("both", "covered"),
    ("short", "covered"),
    ("both", "cash"),
    ("long", "covered"),
]
START_NS = 1_700_000_000_000_000_000


@st.composite
def tapes(draw: st.DrawFn, symbols: int = 2, rows_max: int = 400) -> Tape:
    """A merged tape whose prices move enough to trade, with bad quotes and equal timestamps."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    rows = draw(st.integers(20, rows_max))
    return columns_tape({f"S{i}": _columns(rng, rows) for i in range(symbols)})


def _columns(rng: np.random.Generator, rows: int) -> dict[str, Any]:
    mid = 100.0 * np.exp(np.cumsum(rng.normal(0, 0.002, rows)))
    half = rng.choice([0.0, 0.01, 0.05, 0.5], rows)
    bid, ask = np.round(mid - half, 2), np.round(mid + half, 2)
    bid[rng.random(rows) < 0.02] = np.nan
    ask[rng.random(rows) < 0.02] = 0.0
    return {
        "ts": START_NS + np.cumsum(rng.choice([0, 1, 1_000_000, 40_000_000], rows)),
        "bid": bid,
        "ask": ask,
        "bid_size": rng.choice([0.0, 0.001, 0.5, 20.0], rows),
        "ask_size": rng.choice([0.0, 0.001, 0.5, 20.0], rows),
    }


@st.composite
def run_settings(draw: st.DrawFn) -> Settings:
    """Settings under which such a tape trades, with varied directions, latencies, order types and fill models."""
    direction, kind = draw(st.sampled_from(DIRECTIONS))
    return settings(
        trading__direction=direction,
        account__kind=kind,
        momentum__evaluate_every_quotes=draw(st.sampled_from([1, 2, 5])),
        momentum__lookback=draw(st.sampled_from([1, 3, 10])),
        momentum__warmup_count=draw(st.sampled_from([0, 5])),
        momentum__min_edge_bps=draw(st.sampled_from([-5, 0, 10])),
        exits__take_profit_bps=draw(st.sampled_from([10, 40])),
        exits__stop_loss_bps=draw(st.sampled_from([10, 40])),
        exits__trailing_activation_bps=draw(st.sampled_from([0, 5])),
        exits__trailing_distance_bps=draw(st.sampled_from([1, 8])),
        execution__time_in_force=draw(st.sampled_from(["ioc", "gtc"])),
        execution__cancel_after_s=draw(st.sampled_from([0.001, 0.1, 60])),
        simulated__order_latency_ms=draw(st.sampled_from([0, 1, 50])),
        simulated__response_latency_ms=draw(st.sampled_from([0, 10])),
        simulated__latency_jitter_ms=draw(st.sampled_from([0, 5])),
        simulated__partial_fills=draw(st.booleans()),
        seed=draw(st.integers(0, 3)),
    )
