"""What a symbol's market is like, in two words: how much it moves, and where to.

An answer of a model about one regime is not taken for another; so the words must be the same in every process.
"""

import math
from collections.abc import Sequence

from autohedge.core.moves import drift_t, log_returns, mids, sample_sd
from autohedge.core.snapshots import QuoteRow

CALM_BELOW_BPS = 5.0
WILD_ABOVE_BPS = 15.0
TREND_T = 0.5
UNKNOWN = "unknown"
MINUTE_S = 60.0


def regime(quotes: Sequence[QuoteRow]) -> str:
    """Volatility and trend of a snapshot's quotes, such as `calm/up`.

    Fewer than three quotes, or quotes that span no time, are `unknown`: no such band is ever measured.
    """
    volatility_bps = minute_volatility_bps(quotes)
    if volatility_bps is None:
        return UNKNOWN
    return f"{_volatility(volatility_bps)}/{_trend(log_returns(mids(quotes)))}"


def minute_volatility_bps(quotes: Sequence[QuoteRow]) -> float | None:
    """The sample standard deviation of the mids' log returns, scaled to one minute by the quotes' own time.

    None of fewer than three quotes or of a span that is not positive.
    """
    span_s = (quotes[-1].ts_ns - quotes[0].ts_ns) / 1e9 if quotes else 0.0
    deviation = sample_sd(log_returns(mids(quotes)))
    if deviation is None or span_s <= 0:
        return None
    return deviation * math.sqrt(MINUTE_S * (len(quotes) - 1) / span_s) * 1e4


def _volatility(bps: float) -> str:
    """Both bounds belong to `normal`."""
    if bps < CALM_BELOW_BPS:
        return "calm"
    return "wild" if bps > WILD_ABOVE_BPS else "normal"


def _trend(returns: Sequence[float]) -> str:
    """Both bounds belong to the trend; where all returns are equal, t is as large as can be, or 0 if they are 0."""
    t = drift_t(returns)
    if t is None:
        t = math.copysign(math.inf, returns[0]) if returns[0] else 0.0
    if t <= -TREND_T:
        return "down"
    return "up" if t >= TREND_T else "flat"
