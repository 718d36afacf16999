"""The market regime of a symbol, as volatility and trend.

A cached verdict is only reused in the regime that it was given in, so every process must compute the same
label.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from autohedge.core.returns import drift_t, log_returns, mids, sample_sd
from autohedge.core.snapshots import QuoteRow
from autohedge.core.units import NS_PER_MINUTE, S_PER_MINUTE

CALM_BELOW_BPS = 5.0
WILD_ABOVE_BPS = 15.0
TREND_T = 0.5
UNKNOWN = "unknown"


def regime(quotes: Sequence[QuoteRow]) -> str:
    """Returns volatility and trend of a snapshot's quotes, such as `calm/up`.

    `unknown` for fewer than three quotes, or for quotes that span no time.
    """
    measured = regime_stats(quotes)
    return UNKNOWN if measured is None else measured.label


class RegimeStats(NamedTuple):
    """Volatility in bps per minute, and Student's t of the trend; NaN where they are not known."""

    minute_volatility_bps: float
    t: float

    @property
    def label(self) -> str:
        """Volatility and trend by their bands, such as `calm/up`; `unknown` if one of them is not known."""
        if math.isnan(self.minute_volatility_bps) or math.isnan(self.t):
            return UNKNOWN
        return f"{_volatility(self.minute_volatility_bps)}/{_trend(self.t)}"


def regime_stats(quotes: Sequence[QuoteRow]) -> RegimeStats | None:
    """Returns the figures behind a regime; None for fewer than three quotes or a span that is not positive.

    Volatility is the sample standard deviation of the mids' log returns, scaled to one minute by the quotes'
    own timestamps. `t` is Student's t of their mean: infinite if all are equal and not 0.
    """
    returns = log_returns(mids(quotes))
    deviation = sample_sd(returns)
    span_s = (quotes[-1].ts_ns - quotes[0].ts_ns) / 1e9 if quotes else 0.0
    if deviation is None or span_s <= 0:
        return None
    t = drift_t(returns)
    if t is None:
        t = _t_of_equal_returns(returns[0])
    return RegimeStats(deviation * math.sqrt(S_PER_MINUTE * len(returns) / span_s) * 1e4, t)


def regime_of_bars(realised_volatility: float, log_change: float, bars: int, interval_ns: int) -> RegimeStats:
    """Returns the figures of a regime over bars of one length; they are those of quotes with that distance.

    `realised_volatility` is the sample standard deviation of the last `bars` log returns, as the indicator of that
    name has it, and `log_change` the log of the last close over the close `bars` bars before it. Volatility is NaN
    for bars without a length, and both are NaN if either value is.
    """
    scale = math.sqrt(NS_PER_MINUTE / interval_ns) if interval_ns > 0 else math.nan
    if realised_volatility:
        t = log_change / (math.sqrt(bars) * realised_volatility)
    else:
        t = _t_of_equal_returns(log_change)
    return RegimeStats(realised_volatility * scale * 1e4, t)


def _t_of_equal_returns(change: float) -> float:
    return math.copysign(math.inf, change) if change else 0.0


def _volatility(bps: float) -> str:
    """Returns the volatility band; both bounds belong to `normal`."""
    if bps < CALM_BELOW_BPS:
        return "calm"
    return "wild" if bps > WILD_ABOVE_BPS else "normal"


def _trend(t: float) -> str:
    """Returns the trend band; both bounds belong to the trend."""
    if t <= -TREND_T:
        return "down"
    return "up" if t >= TREND_T else "flat"
