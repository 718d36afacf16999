"""No strategy: what stands in its place where agents alone propose."""

from collections.abc import Sequence

from autohedge.config import Settings
from autohedge.kernels import watching
from autohedge.kernels.lane import new_lanes
from autohedge.market.tape import Stream
from autohedge.strategies.interface import Compiled


def build(settings: Settings, streams: Sequence[Stream]) -> Compiled:
    """Lanes for these streams, of whatever kind."""
    return Compiled(new_lanes(watching.DTYPE, len(streams)), watching.scan)
