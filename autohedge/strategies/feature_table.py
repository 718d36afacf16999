"""The features by name: their formulas, and the figures that they are made of.

The table of docs/features.md is made from this one; feature_sources.py reads the figures.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from autohedge.core.regimes import RegimeStats, regime_of_bars
from autohedge.strategies.indicators import IndicatorSpec, Values, parse_indicator

REGIME_BARS = 30
INTERVAL = "interval_ns"


@dataclass(frozen=True, slots=True)
class BarField:
    """A field of a bar, or of the one `ago` bars before it."""

    name: str
    ago: int = 0


@dataclass(frozen=True)
class IndicatorColumn:
    """A column of an indicator."""

    spec: IndicatorSpec
    column: str


@dataclass(frozen=True, slots=True)
class BestPrice:
    """A best price or its size: `bid`, `ask`, `bid_size` or `ask_size`."""

    name: str


@dataclass(frozen=True, slots=True)
class BookFigure:
    """A figure of the book over a number of levels; 0 for one that has none."""

    name: str
    levels: int = 0


Figure = BarField | IndicatorColumn | BestPrice | BookFigure

_NEEDS = {
    BarField: "bars",
    IndicatorColumn: "bars",
    BestPrice: "quotes, else the book",
    BookFigure: "the book",
}


class FeatureDefinition(NamedTuple):
    """One feature: `compute` takes the arrays of its figures, one value per bar, and returns its own."""

    name: str
    formula: str
    figures: tuple[Figure, ...]
    compute: Callable[..., Values]

    @property
    def needs(self) -> str:
        """The rows that it is made of."""
        return _NEEDS[type(self.figures[0])]


def plain(name: str, formula: str, figure: Figure) -> FeatureDefinition:
    """Returns a feature that is a figure as it is."""
    return FeatureDefinition(name, formula, (figure,), lambda values: values)


def of_indicator(spec: IndicatorSpec, column: str, name: str = "") -> FeatureDefinition:
    """Returns a feature that is a column of an indicator; its name is that of the column unless it has another one."""
    text = spec.name_of(column)
    return plain(name or text, text, IndicatorColumn(spec, column))


def _indicator(name: str, text: str, column: str = "") -> FeatureDefinition:
    spec = parse_indicator(text)
    return of_indicator(spec, column or spec.columns[0], name)


def _of_bar(name: str, field: str = "") -> FeatureDefinition:
    return plain(name, f"the bar's {field or name}", BarField(field or name))


def _of_book(name: str, formula: str, figure: str, levels: int = 0) -> FeatureDefinition:
    return plain(name, formula, BookFigure(figure, levels))


def _first_column(text: str) -> IndicatorColumn:
    spec = parse_indicator(text)
    return IndicatorColumn(spec, spec.columns[0])


def _mid(bid: Values, ask: Values) -> Values:
    return (bid + ask) / 2.0


def _spread_bps(bid: Values, ask: Values) -> Values:
    return (ask - bid) / _mid(bid, ask) * 10_000.0


def _regimes(*figures: Values) -> list[RegimeStats]:
    volatility, close, earlier, interval_ns = figures
    # One by one: the last bit of a logarithm over whole arrays may depend on their length.
    changes = map(math.log, (close / earlier).tolist())
    rows = zip(volatility.tolist(), changes, interval_ns.tolist(), strict=True)
    return [regime_of_bars(sd, change, REGIME_BARS, int(length)) for sd, change, length in rows]


_BEST = (BestPrice("bid"), BestPrice("ask"))
_REGIME = (
    _first_column(f"realised_volatility({REGIME_BARS})"),
    BarField("close"),
    BarField("close", REGIME_BARS),
    BarField(INTERVAL),
)

_DEFAULT = (
    _of_bar("open"),
    _of_bar("high"),
    _of_bar("low"),
    _of_bar("close"),
    _indicator("rsi14", "rsi(14)"),
    _indicator("macd", "macd"),
    _indicator("macd_signal", "macd", "signal"),
    _indicator("macd_histogram", "macd", "histogram"),
    _indicator("ema9", "ema(9)"),
    _indicator("ema21", "ema(21)"),
    FeatureDefinition(
        "ema9_less_ema21", "ema9 − ema21", (_first_column("ema(9)"), _first_column("ema(21)")), np.subtract
    ),
    _indicator("sma50", "sma(50)"),
    FeatureDefinition(
        "close_over_sma50",
        "close / sma50 − 1",
        (BarField("close"), _first_column("sma(50)")),
        lambda close, mean: close / mean - 1.0,
    ),
    _indicator("sma200", "sma(200)"),
    _indicator("bb_upper", "bollinger", "upper"),
    _indicator("bb_middle", "bollinger", "middle"),
    _indicator("bb_lower", "bollinger", "lower"),
    _indicator("bb_percent_b", "bollinger", "percent_b"),
    _of_bar("volume"),
    FeatureDefinition(
        "volume_change",
        "volume / volume of the bar before − 1",
        (BarField("volume"), BarField("volume", 1)),
        lambda volume, before: volume / before - 1.0,
    ),
    plain("bid", "the best bid", BestPrice("bid")),
    plain("ask", "the best ask", BestPrice("ask")),
    FeatureDefinition("mid", "(bid + ask) / 2", _BEST, _mid),
    FeatureDefinition("spread", "ask − bid", _BEST, lambda bid, ask: ask - bid),
    FeatureDefinition("spread_bps", "(ask − bid) / mid · 10⁴", _BEST, _spread_bps),
    _of_book("bid_depth5", "bid_depth(5)", "bid_depth", 5),
    _of_book("ask_depth5", "ask_depth(5)", "ask_depth", 5),
    _of_book("imbalance5", "imbalance(5)", "imbalance", 5),
    _indicator("log_return", "log_return"),
    _indicator("momentum10", "momentum(10)"),
)

_FURTHER = (
    _of_bar("notional"),
    _of_bar("bar_vwap", "vwap"),
    _of_bar("count"),
    _of_bar("buy_volume"),
    _of_bar("sell_volume"),
    plain("bid_size", "the size at the best bid", BestPrice("bid_size")),
    plain("ask_size", "the size at the best ask", BestPrice("ask_size")),
    _of_book("microprice", "(bid · ask size + ask · bid size) / (bid size + ask size)", "microprice"),
    FeatureDefinition(
        "regime_volatility_bps",
        f"realised_volatility({REGIME_BARS}) · √(60 s / length of a bar) · 10⁴",
        _REGIME,
        lambda *figures: np.array([each.minute_volatility_bps for each in _regimes(*figures)]),
    ),
    FeatureDefinition(
        "regime_t",
        f"ln(close / close {REGIME_BARS} bars before) / (√{REGIME_BARS} · realised_volatility({REGIME_BARS})); "
        "0 where nothing moved",
        _REGIME,
        lambda *figures: np.array([each.t for each in _regimes(*figures)]),
    ),
)

LEVEL_FIGURES = {
    "bid_depth": "the sum of the sizes of the best N bids",
    "ask_depth": "the sum of the sizes of the best N asks",
    "imbalance": "(B − A) / (B + A) of these depths",
    "weighted_imbalance": "the same with each size divided by 1 + d / 10, d its distance from mid in bps",
}
"""The figures of the book over a number of levels, such as `imbalance(5)`."""

DEFAULT = tuple(each.name for each in _DEFAULT)
"""The names of the default features, in their order."""
DEFINITIONS = {each.name: each for each in (*_DEFAULT, *_FURTHER)}
"""The features by name, in the order of the documentation."""
