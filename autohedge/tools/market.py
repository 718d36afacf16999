"""The market as text: the break-even move, and what the last bars of each length did. All moves are in bps."""

import math
from collections.abc import Iterator
from decimal import Decimal

from autohedge.core.regimes import RegimeStats, regime_of_bars
from autohedge.core.returns import log_returns, mean, mids, sample_sd, spreads_bps
from autohedge.core.snapshots import BarWindow, Snapshot
from autohedge.core.units import NS_PER_S, S_PER_MINUTE
from autohedge.market.bars import length_text
from autohedge.tools.formatting import format_decimal

_MOST_S = {"days": 86_400, "hours": 3_600, "minutes": S_PER_MINUTE}


def break_even_bps(snapshot: Snapshot) -> float | None:
    """Returns the move that pays for an entry and its exit: both fees and the mean spread; None without a quote."""
    spread = mean(spreads_bps(snapshot.quotes))
    return None if spread is None else 2 * float(snapshot.limits.fee_bps) + spread


def window_figures(window: BarWindow) -> tuple[float, float, float | None]:
    """Returns the move from the first open to the last close, the range over the first open, and the volatility.

    Volatility is the sample standard deviation of the log returns between the closes; None for fewer than two.
    """
    first = window.open[0]
    deviation = sample_sd(log_returns(window.close))
    volatility = None if deviation is None else deviation * 1e4
    return (
        (window.close[-1] / first - 1) * 1e4,
        (max(window.high) - min(window.low)) / first * 1e4,
        volatility,
    )


def closes_bps(window: BarWindow, last: float) -> list[int]:
    """Returns how far each close lies from a price, oldest first."""
    return [round((close / last - 1) * 1e4) for close in window.close]


def bar_regime(window: BarWindow) -> RegimeStats | None:
    """Returns the volatility and the trend of the closes, as those of quotes; None for fewer than three."""
    returns = log_returns(window.close)
    deviation = sample_sd(returns)
    if deviation is None:
        return None
    return regime_of_bars(deviation, math.fsum(returns), len(returns), window.length_s * NS_PER_S)


def market_text(snapshot: Snapshot) -> str:
    """Returns the break-even move, then each window of bars, and how far back the history reaches."""
    return "\n".join([*_costs(snapshot), *_windows(snapshot)])


def _costs(snapshot: Snapshot) -> Iterator[str]:
    needed = break_even_bps(snapshot)
    if needed is None:
        return
    price = format_decimal(Decimal(f"{mids(snapshot.quotes[-1:])[0] * needed / 1e4:.4g}"))
    yield f"break-even move, both fees and the spread: {needed:.1f} bps, {price} in price"


def _windows(snapshot: Snapshot) -> Iterator[str]:
    if not snapshot.bars or not snapshot.quotes:
        return
    last = mids(snapshot.quotes[-1:])[0]
    for window in snapshot.bars:
        yield _window_text(window, last)
    regime = bar_regime(snapshot.bars[0])
    if regime is not None:
        length = length_text(snapshot.bars[0].length_s * NS_PER_S)
        t = f", t {regime.t:+.1f}" if math.isfinite(regime.t) else ""
        yield f"regime of the {length} bars: {regime.label}, {regime.minute_volatility_bps:.1f} bps a minute{t}"
    oldest_ns = min(window.start_ns[0] for window in snapshot.bars)
    yield f"the bars reach back {_span((snapshot.at_ns - oldest_ns) // NS_PER_S)}"


def _window_text(window: BarWindow, last: float) -> str:
    move, span, volatility = window_figures(window)
    figures = f"{move:+.1f} bps, range {span:.1f}"
    if volatility is not None:
        figures += f", volatility {volatility:.1f} a bar"
    closes = " ".join(f"{each:+d}" for each in closes_bps(window, last))
    length = length_text(window.length_s * NS_PER_S)
    return f"last {len(window)} bars of {length}: {figures}; closes from now, oldest first: {closes}"


def _span(seconds: int) -> str:
    """Returns a time in the largest unit of which it has two."""
    for unit, unit_s in _MOST_S.items():
        if seconds >= 2 * unit_s:
            return f"{math.floor(seconds / unit_s)} {unit}"
    return f"{seconds} seconds"
