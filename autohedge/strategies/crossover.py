"""Moving-average crossover: writes the settings into the state records of its kernel."""

from collections.abc import Sequence
from functools import partial

from autohedge.config import Settings
from autohedge.config.sections import BarsSettings
from autohedge.core.units import NS_PER_S
from autohedge.kernels import crossover
from autohedge.kernels.state import new_states
from autohedge.market.reads import Reads
from autohedge.market.stream import Kind, Stream, prices_of
from autohedge.strategies.interface import CompiledStrategy

READS = frozenset({Kind.QUOTES, Kind.BARS})


def reads(settings: Settings) -> Reads:
    """Returns what the strategy reads: `bars.every`, else bars of `bar_s` if the tape has them, else its prices."""
    return Reads(READS, partial(_bars, settings), makes_bars=bool(settings.bars.every))


def _bars(settings: Settings, symbol: str) -> BarsSettings:
    if settings.bars.every:
        return settings.bars
    bar_s = settings.for_symbol(symbol).crossover.bar_s
    return settings.bars.model_copy(update={"every": f"{int(bar_s)}s" if bar_s == int(bar_s) else ""})


def build(settings: Settings, streams: Sequence[Stream]) -> CompiledStrategy:
    """Returns the crossover strategy for these streams.

    Rows of a bar stream are bars; quotes of an instrument without bars are aggregated into bars.
    """
    prices = prices_of(streams)
    with_bars = {each.symbol for each in streams if each.kind is Kind.BARS and each.origin.read}
    lanes = new_states(crossover.DTYPE, len(prices))
    for lane, stream in zip(lanes, prices, strict=True):
        wanted = settings.for_symbol(stream.symbol).crossover
        lane["fast"], lane["slow"] = wanted.fast, wanted.slow
        # For the kernel 0 means that bars come as rows.
        lane["bar_ns"] = 0 if stream.symbol in with_bars else round(wanted.bar_s * NS_PER_S)
    return CompiledStrategy(lanes, crossover.scan, mixed_kernel=crossover.scan_mixed)
