"""The placeholder strategy of llm mode, where only the agents propose entries."""

from collections.abc import Sequence

from autohedge.config import Settings
from autohedge.kernels import exits_only
from autohedge.kernels.state import new_states
from autohedge.market.stream import Stream, prices_of
from autohedge.strategies.interface import CompiledStrategy


def build(settings: Settings, streams: Sequence[Stream]) -> CompiledStrategy:
    """Returns a strategy without signals for these streams, of any kind."""
    return CompiledStrategy(new_states(exits_only.DTYPE, len(prices_of(streams))), exits_only.scan)
