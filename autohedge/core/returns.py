"""How quotes moved: a few sums that agents' figures and rules share.

They are sums of Python floats, exact to the last bit by `math.fsum`, and not numpy's: its vector code gives
other last bits on other processors, and a prompt must be the same bytes everywhere.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

from autohedge.core.snapshots import QuoteRow


def mids(quotes: Sequence[QuoteRow]) -> list[float]:
    """The middle of each quote: positive and finite, as its sides are."""
    return [row.bid + (row.ask - row.bid) / 2 for row in quotes]


def log_returns(prices: Sequence[float]) -> list[float]:
    """The logarithm of each price over the one before; prices are positive."""
    logs = [math.log(price) for price in prices]
    return [later - earlier for earlier, later in pairwise(logs)]


def mean(values: Sequence[float]) -> float | None:
    """The arithmetic mean, None of nothing."""
    return math.fsum(values) / len(values) if values else None


def sample_sd(values: Sequence[float]) -> float | None:
    """The standard deviation with n - 1 in the denominator, None of fewer than two."""
    if len(values) < 2:
        return None
    centre = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((value - centre) ** 2 for value in values) / (len(values) - 1))


def spreads_bps(quotes: Sequence[QuoteRow]) -> list[float]:
    """Each quote's ask above its bid, in bps of its mid."""
    return [(row.ask - row.bid) / mid * 1e4 for row, mid in zip(quotes, mids(quotes), strict=True)]


def drift_t(returns: Sequence[float]) -> float | None:
    """Student's t of the mean return: mean / (sd / sqrt(n)); None of fewer than two, or if all are equal."""
    deviation = sample_sd(returns)
    if not deviation:
        return None
    return math.fsum(returns) / math.sqrt(len(returns)) / deviation
