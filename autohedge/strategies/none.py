"""No strategy: what stands in its place where agents alone propose."""

from collections.abc import Sequence

from autohedge.config import Settings
from autohedge.kernels import exits_only
from autohedge.kernels.state import new_states
from autohedge.market.tape import Stream
from autohedge.strategies.interface import CompiledStrategy


def build(settings: Settings, streams: Sequence[Stream]) -> CompiledStrategy:
    """Lanes for these streams, of whatever kind."""
    return CompiledStrategy(new_states(exits_only.DTYPE, len(streams)), exits_only.scan)
