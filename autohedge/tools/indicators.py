"""Indicators over the quotes of the market table; each docstring has the formula. Undefined values are shown as `n/a`.

Prices are the mids m_1 … m_n of the table's quotes, and r_i = ln(m_i / m_(i-1)). strategies/indicator_table.py
defines the indicators over bars. Where one of them has the same meaning or the same name, the docstring says so.
These here are computed apart with `math.fsum`, because a prompt must be the same bytes on every machine.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from autohedge.core.returns import mean, mids, spreads_bps, volatility_bps
from autohedge.core.snapshots import QuoteRow, Snapshot

RSI_CHANGES = 14
# A residual below this relative size is rounding error: the values lie on a line.
_ROUNDING = 1e-14


@dataclass(frozen=True, slots=True)
class Indicators:
    """The indicators; None is undefined. `volatility_bps` is that of `core.returns`."""

    return_bps: float | None
    volatility_bps: float | None
    mean_spread_bps: float | None
    last_spread_bps: float | None
    slope_t: float | None
    rsi: float | None
    imbalance: float | None


def indicators(snapshot: Snapshot, rows: int) -> Indicators:
    """Returns the indicators over the last `rows` quotes."""
    quotes = snapshot.quotes[-rows:]
    prices, spreads = mids(quotes), spreads_bps(quotes)
    return Indicators(
        return_bps=return_bps(prices),
        volatility_bps=volatility_bps(prices),
        mean_spread_bps=mean(spreads),
        last_spread_bps=spreads[-1] if spreads else None,
        slope_t=slope_t([math.log(price) for price in prices]),
        rsi=rsi(prices),
        imbalance=imbalance(quotes),
    )


def indicators_text(snapshot: Snapshot, rows: int) -> str:
    """Returns the indicators as lines for a prompt, each of which says what it has in place of bars."""
    found, count = indicators(snapshot, rows), len(snapshot.quotes[-rows:])
    return "\n".join(
        (
            f"return over the last {count} quotes: {_shown(found.return_bps, '+.2f')} bps",
            f"volatility per quote, not per bar: {_shown(found.volatility_bps, '.4f')} bps",
            (
                f"spread: last {_shown(found.last_spread_bps, '.3f')} bps, "
                f"mean {_shown(found.mean_spread_bps, '.3f')} bps"
            ),
            f"t-value of the slope over these quotes: {_shown(found.slope_t, '+.2f')}",
            (
                f"RSI of plain sums of the last {RSI_CHANGES} changes between quotes, "
                f"not Wilder's average over bars: {_shown(found.rsi, '.1f')}"
            ),
            (
                "mean size imbalance of these quotes, -1 all ask to 1 all bid: "
                f"{_shown(found.imbalance, '+.2f')}"
            ),
        )
    )


def return_bps(prices: Sequence[float]) -> float | None:
    """Returns the simple return from first to last price, 10^4 (m_n / m_1 - 1); needs two prices.

    It is 100 times the indicator `roc` with a period of n - 1, where each quote is a bar.
    """
    return (prices[-1] / prices[0] - 1) * 1e4 if len(prices) > 1 else None


def slope_t(values: Sequence[float]) -> float | None:
    """Returns the t-value of the least-squares slope over 1 … n: b / sqrt(SSR / (n - 2) / Σ(i - mean)²).

    Source: any textbook on simple regression, for example Greene, Econometric Analysis. Prices are not
    independent draws: a random walk exceeds the usual threshold of 2 more often than not. So the value
    measures how straight the path was, not how likely a trend is. Undefined for fewer than three values, or
    if they lie on a line.
    """
    n = len(values)
    if n < 3:
        return None
    middle, level = (n - 1) / 2, math.fsum(values) / n
    across = n * (n * n - 1) / 12
    slope = math.fsum((i - middle) * (value - level) for i, value in enumerate(values)) / across
    left = [value - level - slope * (i - middle) for i, value in enumerate(values)]
    unexplained = math.fsum(each * each for each in left)
    if math.sqrt(unexplained / n) <= _ROUNDING * max(1.0, abs(level)):
        return None
    return slope / math.sqrt(unexplained / (n - 2) / across)


def rsi(prices: Sequence[float], changes: int = RSI_CHANGES) -> float | None:
    """Returns 100 U / (U + D), with the sums of rises U and falls D over the last `changes` changes.

    It is not the indicator `rsi`, which smooths rises and falls from the first bar on; the two agree only at the
    first value of that. Source: Wilder, New Concepts in Technical Trading Systems (1978), in the form of its first
    value: plain sums, no smoothing; known as Cutler's RSI. Undefined with fewer changes, or if the price never changed.
    """
    # Scaled by the highest price, which cancels out, so that very large prices do not overflow.
    scale = max(prices, default=1.0)
    steps = [later / scale - earlier / scale for earlier, later in pairwise(prices)][-changes:]
    rises = math.fsum(step for step in steps if step > 0)
    falls = math.fsum(-step for step in steps if step < 0)
    return 100 * rises / (rises + falls) if len(steps) == changes and rises + falls > 0 else None


def imbalance(quotes: Sequence[QuoteRow]) -> float | None:
    """Returns the mean of (bid size - ask size) / (bid size + ask size) over quotes with both sizes known.

    It is not the `imbalance` of an order book, which is of several levels at one time.
    Source: Gould and Bonart, Queue Imbalance as a One-Tick-Ahead Price Predictor in a Limit Order Book
    (2016).
    """
    return mean(
        [
            (row.bid_size - row.ask_size) / (row.bid_size + row.ask_size)
            for row in quotes
            if row.bid_size > 0 and row.ask_size > 0
        ]
    )


def _shown(value: float | None, form: str) -> str:
    return "n/a" if value is None or not math.isfinite(value) else format(value, form)
