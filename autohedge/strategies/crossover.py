"""Moving-average crossover: settings into the records of its kernel."""

from collections.abc import Sequence

from autohedge.config import Settings
from autohedge.kernels import crossover
from autohedge.kernels.lane import new_lanes
from autohedge.market.tape import Kind, Stream
from autohedge.strategies.interface import Compiled

READS = frozenset({Kind.QUOTES, Kind.BARS})
NS_PER_S = 1_000_000_000


def build(settings: Settings, streams: Sequence[Stream]) -> Compiled:
    """Crossover lanes: rows of bar streams are bars, rows of quote streams are gathered into bars."""
    lanes = new_lanes(crossover.DTYPE, len(streams))
    for lane, stream in zip(lanes, streams, strict=True):
        wanted = settings.for_symbol(stream.symbol).crossover
        lane["fast"], lane["slow"] = wanted.fast, wanted.slow
        lane["bar_ns"] = 0 if stream.kind is Kind.BARS else round(wanted.bar_s * NS_PER_S)
    return Compiled(lanes, crossover.scan)
