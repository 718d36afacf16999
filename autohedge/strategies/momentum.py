"""Momentum: writes the settings into the state records of its kernel."""

from collections.abc import Sequence
from functools import partial

import numpy as np

from autohedge.config import Settings
from autohedge.config.sections import MomentumSettings
from autohedge.core.errors import Misconfigured
from autohedge.kernels import momentum
from autohedge.kernels.state import KernelStates, new_states
from autohedge.market.reads import Reads
from autohedge.market.stream import Kind, Stream, prices_of
from autohedge.strategies.interface import CompiledStrategy

READS = frozenset({Kind.QUOTES})


def reads(settings: Settings) -> Reads:
    """Returns what the strategy reads."""
    return Reads(READS)


def build(settings: Settings, streams: Sequence[Stream]) -> CompiledStrategy:
    """Returns the momentum strategy for these streams.

    Raises Misconfigured if a filter needs sizes that a stream does not have.
    """
    prices = prices_of(streams)
    lanes = new_states(momentum.DTYPE, len(prices))
    for i, stream in enumerate(prices):
        wanted = settings.for_symbol(stream.symbol).momentum
        filters = wanted.min_volume_ratio > 0 or wanted.use_vwap_filter
        # A sample of the first rows: sources have sizes in most rows or in none. A window may have no rows.
        if filters and len(stream) and not np.any(stream.columns["bid_size"][:1000] > 0):
            cure = "set momentum.min_volume_ratio=0 and momentum.use_vwap_filter=false"
            msg = f"{stream.symbol} has no sizes for the momentum filters; {cure}"
            raise Misconfigured(msg)
        _fill(lanes[i], wanted, filters=filters)
    symbols = [stream.symbol for stream in prices]
    return CompiledStrategy(lanes, momentum.scan, partial(_update, lanes, symbols))


def _update(lanes: KernelStates, symbols: Sequence[str], settings: Settings) -> None:
    for lane, symbol in zip(lanes, symbols, strict=True):
        _fill_live(lane, settings.for_symbol(symbol).momentum)


def _fill(lane: np.void, wanted: MomentumSettings, *, filters: bool) -> None:
    _fill_live(lane, wanted)
    lane["min_volume_ratio"] = wanted.min_volume_ratio
    lane["lookback"] = wanted.lookback
    lane["warmup_count"] = max(wanted.warmup_count, 2)  # an edge needs two mids
    lane["filters"] = filters
    lane["use_vwap"] = wanted.use_vwap_filter


def _fill_live(lane: np.void, wanted: MomentumSettings) -> None:
    """Writes the parameters that can change during a run."""
    lane["max_spread_bps"] = wanted.max_spread_bps
    lane["min_edge_bps"] = wanted.min_edge_bps
    lane["evaluate_every_quotes"] = wanted.evaluate_every_quotes
