"""Statistics of quote returns, shared by the agents' tools and the rules.

All sums use Python floats and `math.fsum`, which is exact to the last bit. numpy's vectorized sums differ in
the last bits between processors, and a prompt must be the same bytes on every machine.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

from autohedge.core.snapshots import QuoteRow


def mids(quotes: Sequence[QuoteRow]) -> list[float]:
    """Returns the mid of each quote: positive and finite, as bid and ask are."""
    # Not (bid + ask) / 2: that sum can overflow to infinity.
    return [row.bid + (row.ask - row.bid) / 2 for row in quotes]


def log_returns(prices: Sequence[float]) -> list[float]:
    """Returns the log of each price over the price before it; prices must be positive."""
    logs = [math.log(price) for price in prices]
    return [later - earlier for earlier, later in pairwise(logs)]


def mean(values: Sequence[float]) -> float | None:
    """Returns the arithmetic mean; None for no values."""
    return math.fsum(values) / len(values) if values else None


def sample_sd(values: Sequence[float]) -> float | None:
    """Returns the standard deviation with n - 1 in the denominator; None for fewer than two values."""
    if len(values) < 2:
        return None
    centre = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((value - centre) ** 2 for value in values) / (len(values) - 1))


def spreads_bps(quotes: Sequence[QuoteRow]) -> list[float]:
    """Returns the spread of each quote in bps of its mid."""
    return [(row.ask - row.bid) / mid * 1e4 for row, mid in zip(quotes, mids(quotes), strict=True)]


def drift_t(returns: Sequence[float]) -> float | None:
    """Returns Student's t of the mean return: mean / (sd / sqrt(n)).

    None for fewer than two returns, or if all are equal.
    """
    deviation = sample_sd(returns)
    if not deviation:
        return None
    return math.fsum(returns) / math.sqrt(len(returns)) / deviation
