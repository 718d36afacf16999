"""Moving-average crossover: writes the settings into the state records of its kernel."""

from collections.abc import Sequence

from autohedge.config import Settings
from autohedge.core.units import NS_PER_S
from autohedge.kernels import crossover
from autohedge.kernels.state import new_states
from autohedge.market.tape import Kind, Stream
from autohedge.strategies.interface import CompiledStrategy

READS = frozenset({Kind.QUOTES, Kind.BARS})


def build(settings: Settings, streams: Sequence[Stream]) -> CompiledStrategy:
    """Returns the crossover strategy for these streams.

    Rows of a bar stream are bars; rows of a quote stream are aggregated into bars.
    """
    lanes = new_states(crossover.DTYPE, len(streams))
    for lane, stream in zip(lanes, streams, strict=True):
        wanted = settings.for_symbol(stream.symbol).crossover
        lane["fast"], lane["slow"] = wanted.fast, wanted.slow
        # For the kernel 0 means that each row is a finished bar.
        lane["bar_ns"] = 0 if stream.kind is Kind.BARS else round(wanted.bar_s * NS_PER_S)
    return CompiledStrategy(lanes, crossover.scan)
