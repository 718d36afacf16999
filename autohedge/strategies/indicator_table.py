"""The technical indicators: their names, parameters, definitions and sources.

`autohedge indicators --list` and docs/indicators.md are made from this table; kernels/indicators.py computes them.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

from autohedge.kernels import indicator_set

SETTLED_SHARE = 1e-6
"""An indicator is settled when the values that began it weigh less than this share."""
NEEDS_VOLUME, NEEDS_SIDES = "volume", "volume by side"


class IndicatorParameter(NamedTuple):
    """A parameter: a number of bars of at least `least`, or a `width`, which is any number above 0.

    A parameter without default may be left out.
    """

    name: str
    default: float | None
    least: int = 1


class IndicatorDefinition(NamedTuple):
    """One indicator.

    `first` returns the place of the first defined value of each column, and `settled` the number of bars after which
    the seed weighs less than `SETTLED_SHARE`; both take the parameters by name. `spare` is the number of series that
    only the computation needs.
    """

    name: str
    parameters: tuple[IndicatorParameter, ...]
    columns: tuple[str, ...]
    formula: str
    source: str
    seed: str
    differs: str
    first: Callable[..., tuple[int, ...]]
    settled: Callable[..., int]
    spare: int = 0
    needs: str = ""

    @property
    def kind(self) -> int:
        """The number of its kernel."""
        return KINDS[self.name]

    @property
    def form(self) -> str:
        """How it is written with its defaults, as `macd(fast=12, slow=26, signal=9)`."""
        given = [f"{each.name}={each.default}" for each in self.parameters if each.default is not None]
        return f"{self.name}({', '.join(given)})"


KINDS = {kernel.__name__: kind for kind, kernel in enumerate(indicator_set.KERNELS)}
"""The number of each kernel by the name of its indicator."""


def fading_bars(alpha: float) -> int:
    """Returns the steps after which a recursion with this weight has forgotten its seed but for `SETTLED_SHARE`."""
    return 0 if alpha >= 1 else math.ceil(math.log(SETTLED_SHARE) / math.log(1 - alpha))


def _ema_bars(period: int) -> int:
    return period + fading_bars(2 / (period + 1))


def _wilder_bars(period: int) -> int:
    return period + fading_bars(1 / period)


_WINDOW = "none: a window"
_WILDER = "Wilder, New Concepts in Technical Trading Systems (1978)"
_EQUAL = "TA-Lib: equal"


def _period(default: int, least: int = 1) -> tuple[IndicatorParameter, ...]:
    return (IndicatorParameter("period", default, least),)


_DEFINITIONS = (
    IndicatorDefinition(
        "sma",
        _period(20),
        ("sma",),
        "mean of n closes",
        "Murphy, Technical Analysis of the Financial Markets (1999)",
        _WINDOW,
        _EQUAL,
        first=lambda period: (period - 1,),
        settled=lambda period: period,
    ),
    IndicatorDefinition(
        "wma",
        _period(20),
        ("wma",),
        "Σ (k+1)·c / Σ (k+1), k = 0 for the oldest of n closes",
        "Murphy, Technical Analysis of the Financial Markets (1999)",
        _WINDOW,
        _EQUAL,
        first=lambda period: (period - 1,),
        settled=lambda period: period,
    ),
    IndicatorDefinition(
        "ema",
        _period(20),
        ("ema",),
        "s + α·(c − s), α = 2/(n+1)",
        "Appel, The Moving Average Convergence-Divergence Trading Method (1979)",
        "mean of the first n closes",
        "TA-Lib: equal. pandas `adjust=False`: the first close is the seed",
        first=lambda period: (period - 1,),
        settled=_ema_bars,
    ),
    IndicatorDefinition(
        "rma",
        _period(14),
        ("rma",),
        "s + α·(c − s), α = 1/n",
        _WILDER,
        "mean of the first n closes",
        _EQUAL,
        first=lambda period: (period - 1,),
        settled=_wilder_bars,
    ),
    IndicatorDefinition(
        "rsi",
        _period(14, 2),
        ("rsi",),
        "100·U/(U+D), with U and D the averages (as rma) of rises and falls of the close",
        _WILDER,
        "mean of the first n rises and falls",
        "TA-Lib: equal, but 0 where U + D = 0; TradingView 100; here undefined",
        first=lambda period: (period,),
        settled=lambda period: 1 + _wilder_bars(period),
    ),
    IndicatorDefinition(
        "macd",
        (IndicatorParameter("fast", 12), IndicatorParameter("slow", 26), IndicatorParameter("signal", 9)),
        ("macd", "signal", "histogram"),
        "ema(fast) − ema(slow); signal: ema of it; histogram: macd − signal",
        "Appel, The Moving Average Convergence-Divergence Trading Method (1979)",
        "each average has its own: the mean of its first values",
        "TradingView: equal. TA-Lib starts the fast average together with the slow one, which changes the values by "
        "1e-3 of the price at bar 33, by 1e-8 at bar 100 and not at all from bar 200 on",
        first=lambda fast, slow, signal: (slow - 1, slow + signal - 2, slow + signal - 2),
        settled=lambda fast, slow, signal: _ema_bars(slow) + _ema_bars(signal) - 1,
    ),
    IndicatorDefinition(
        "bollinger",
        (IndicatorParameter("period", 20, 2), IndicatorParameter("width", 2.0)),
        ("upper", "middle", "lower", "percent_b", "bandwidth"),
        "mean ± w·sd of n closes, sd with n in the denominator; percent_b = (c − lower)/(upper − lower); "
        "bandwidth = (upper − lower)/middle",
        "Bollinger, Bollinger on Bollinger Bands (2001)",
        _WINDOW,
        "TA-Lib: equal. pandas-ta and qtpylib: n − 1 in the denominator",
        first=lambda period, width: (period - 1,) * 5,
        settled=lambda period, width: period,
    ),
    IndicatorDefinition(
        "atr",
        _period(14, 2),
        ("atr",),
        "average (as rma) of the true range max(h, c₁) − min(l, c₁)",
        _WILDER,
        "mean of the first n true ranges, from bar 1 on",
        "TA-Lib: equal. TradingView: the range of bar 0 counts too, and the first value is at bar n − 1",
        first=lambda period: (period,),
        settled=lambda period: 1 + _wilder_bars(period),
    ),
    IndicatorDefinition(
        "adx",
        _period(14, 2),
        ("adx", "plus_di", "minus_di"),
        "S ← S − S/n + x of +DM, −DM and true range; DI = 100·S(DM)/S(TR); adx: average (as rma) of "
        "100·|+DI − −DI|/(+DI + −DI)",
        _WILDER,
        "sums of bars 1 to n − 1; for adx the mean of its first n values",
        _EQUAL,
        first=lambda period: (2 * period - 1, period, period),
        settled=lambda period: 1 + _wilder_bars(period) + _wilder_bars(period) - 1,
    ),
    IndicatorDefinition(
        "stochastic",
        (IndicatorParameter("period", 14), IndicatorParameter("smooth", 3), IndicatorParameter("signal", 3)),
        ("k", "d"),
        "k: mean of the last `smooth` values of 100·(c − L)/(H − L), with the highest high and the lowest low of "
        "n bars; d: mean of the last `signal` values of k",
        "Lane, Lane's Stochastics (1984)",
        _WINDOW,
        "TA-Lib: equal, but k is hidden until d begins, and 0 where H = L; here undefined",
        first=lambda period, smooth, signal: (period + smooth - 2, period + smooth + signal - 3),
        settled=lambda period, smooth, signal: period + smooth + signal - 2,
        spare=1,
    ),
    IndicatorDefinition(
        "cci",
        _period(20),
        ("cci",),
        "(t − mean)/(0.015·mean absolute deviation) of n typical prices t = (h + l + c)/3",
        "Lambert, Commodity Channel Index, Commodities 10 (1980)",
        _WINDOW,
        "TA-Lib: equal, but 0 where the deviation is 0; here undefined",
        first=lambda period: (period - 1,),
        settled=lambda period: period,
        spare=2,
    ),
    IndicatorDefinition(
        "obv",
        (),
        ("obv",),
        "the sum of volumes, each with the sign of the change of the close",
        "Granville, Granville's New Key to Stock Market Profits (1963)",
        "the volume of bar 0; the level depends on where the history begins",
        "TA-Lib: equal. TradingView: begins at 0",
        first=lambda: (0,),
        settled=lambda: 1,
        needs=NEEDS_VOLUME,
    ),
    IndicatorDefinition(
        "roc",
        _period(10),
        ("roc",),
        "100·(c/cₙ − 1)",
        "Murphy, Technical Analysis of the Financial Markets (1999)",
        _WINDOW,
        _EQUAL,
        first=lambda period: (period,),
        settled=lambda period: period + 1,
    ),
    IndicatorDefinition(
        "momentum",
        _period(10),
        ("momentum",),
        "c − cₙ",
        "Murphy, Technical Analysis of the Financial Markets (1999)",
        _WINDOW,
        "TA-Lib (MOM): equal",
        first=lambda period: (period,),
        settled=lambda period: period + 1,
    ),
    IndicatorDefinition(
        "zscore",
        _period(20, 2),
        ("zscore",),
        "(c − mean)/sd of n closes, sd with n − 1 in the denominator",
        "any textbook of statistics",
        _WINDOW,
        "TA-Lib has none",
        first=lambda period: (period - 1,),
        settled=lambda period: period,
        spare=1,
    ),
    IndicatorDefinition(
        "log_return",
        (),
        ("log_return",),
        "ln(c/c₁)",
        "Hull, Options, Futures, and Other Derivatives",
        _WINDOW,
        "TA-Lib has none",
        first=lambda: (1,),
        settled=lambda: 2,
    ),
    IndicatorDefinition(
        "realised_volatility",
        _period(20, 2),
        ("realised_volatility",),
        "sd of the last n log returns, n − 1 in the denominator, per bar, not annualised",
        "Hull, Options, Futures, and Other Derivatives",
        _WINDOW,
        "TA-Lib has none",
        first=lambda period: (period,),
        settled=lambda period: period + 1,
        spare=2,
    ),
    IndicatorDefinition(
        "vwap",
        (IndicatorParameter("period", None),),
        ("vwap",),
        "Σ t·v/Σ v since UTC midnight or the opening of the session, t = (h + l + c)/3; with a period over the last "
        "n bars",
        "Berkowitz, Logue, Noser, The Total Cost of Transactions on the NYSE (1988)",
        "none: sums since the opening, or a window",
        "TA-Lib: never resets",
        first=lambda period: (period - 1 if period else 0,),
        settled=lambda period: period or 1,
        spare=2,
        needs=NEEDS_VOLUME,
    ),
    IndicatorDefinition(
        "donchian",
        _period(20),
        ("upper", "middle", "lower"),
        "highest high and lowest low of n bars, this one included, and their mean",
        "Donchian, in: Kaufman, Trading Systems and Methods",
        _WINDOW,
        "TA-Lib: equal. A breakout compares with the value of the bar before",
        first=lambda period: (period - 1,) * 3,
        settled=lambda period: period,
    ),
    IndicatorDefinition(
        "keltner",
        (
            IndicatorParameter("period", 20),
            IndicatorParameter("atr_period", 10, 2),
            IndicatorParameter("width", 2.0),
        ),
        ("upper", "middle", "lower"),
        "ema(period) ± w·atr(atr_period)",
        "Raschke's form of Keltner, How to Make Money in Commodities (1960)",
        "as ema and atr",
        "TradingView: equal, but for the seed of its ATR. TA-Lib: the middle is of typical prices, and its ATR starts "
        "with the middle",
        first=lambda period, atr_period, width: (
            max(period - 1, atr_period),
            period - 1,
            max(period - 1, atr_period),
        ),
        settled=lambda period, atr_period, width: max(_ema_bars(period), 1 + _wilder_bars(atr_period)),
    ),
    IndicatorDefinition(
        "supertrend",
        (IndicatorParameter("period", 10, 2), IndicatorParameter("width", 3.0)),
        ("line", "trend"),
        "bands (h + l)/2 ± w·atr; the upper one only falls, the lower one only rises, unless the close before was "
        "beyond it; trend 1 until c < lower, −1 until c > upper, 0 before the first; line: the band of the trend",
        "Seban, Supertrend",
        "as atr; the first trend is 1",
        _EQUAL,
        first=lambda period, width: (period, period),
        settled=lambda period, width: 1 + _wilder_bars(period),
    ),
    IndicatorDefinition(
        "cvd",
        (),
        ("cvd",),
        "the sum of buy volume − sell volume",
        "common practice",
        "0 before bar 0; the level depends on where the history begins",
        "TA-Lib has none",
        first=lambda: (0,),
        settled=lambda: 1,
        needs=NEEDS_SIDES,
    ),
)

DEFINITIONS = {each.name: each for each in _DEFINITIONS}
"""The indicators by name, in the order of the documentation."""
