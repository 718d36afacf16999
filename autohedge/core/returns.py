"""Statistics of quote returns, shared by the agents' tools and the rules.

All sums use Python floats and `math.fsum`, which is exact to the last bit. numpy's vectorized sums differ in
the last bits between processors, and a prompt must be the same bytes on every machine.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

from autohedge.core.snapshots import QuoteRow


def mids(quotes: Sequence[QuoteRow]) -> list[float]:
    """Returns the mid of each quote."""
    return [row.mid for row in quotes]


def log_returns(prices: Sequence[float]) -> list[float]:
    """Returns the log of each price over the price before it, ln(m_i / m_(i-1)); prices must be positive."""
    return [_log_return(earlier, later) for earlier, later in pairwise(prices)]


def mean(values: Sequence[float]) -> float | None:
    """Returns the arithmetic mean; None for no values."""
    return math.fsum(values) / len(values) if values else None


def sample_sd(values: Sequence[float]) -> float | None:
    """Returns the standard deviation with n - 1 in the denominator; None for fewer than two values."""
    if len(values) < 2:
        return None
    centre = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((value - centre) ** 2 for value in values) / (len(values) - 1))


def volatility_bps(prices: Sequence[float]) -> float | None:
    """Returns the sample standard deviation of the k log returns in bps; needs two returns.

    10^4 sqrt(Σ(r_i - mean)² / (k - 1)) is close-to-close volatility per quote, not scaled to a time unit. It is
    10^4 times the indicator `realised_volatility` with a period of k, where each quote is a bar.
    Source: Hull, Options, Futures, and Other Derivatives, "Estimating volatility from historical data".
    """
    deviation = sample_sd(log_returns(prices))
    return None if deviation is None else deviation * 1e4


def spreads_bps(quotes: Sequence[QuoteRow]) -> list[float]:
    """Returns the spread of each quote in bps of its mid."""
    return [(row.ask - row.bid) / row.mid * 1e4 for row in quotes]


def drift_t(returns: Sequence[float]) -> float | None:
    """Returns Student's t of the mean return: mean / (sd / sqrt(n)).

    None for fewer than two returns, or if all are equal.
    """
    deviation = sample_sd(returns)
    if not deviation:
        return None
    return math.fsum(returns) / math.sqrt(len(returns)) / deviation


def _log_return(earlier: float, later: float) -> float:
    ratio = later / earlier
    # A difference of logs is less exact, but stays finite where the ratio of extreme prices does not.
    return math.log(ratio) if 0 < ratio < math.inf else math.log(later) - math.log(earlier)
