"""Strategies emit signals to enter and to leave; engine, sizing and risk decide what follows."""

from autohedge.core.orders import Purpose, Side
from autohedge.market.stream import Kind
from autohedge.strategies.features import FeatureRow, FeatureTable, compute_features
from autohedge.strategies.indicators import IndicatorSet, parse_indicator
from autohedge.strategies.interface import StrategyRunner
from autohedge.strategies.market_data import Bar, Book, Funding, Liquidation, Quote, TradeTick
from autohedge.strategies.python import Strategy
from autohedge.strategies.registry import build, names, reads_of
from autohedge.strategies.signals import Signal

__all__ = [
    "Bar",
    "Book",
    "FeatureRow",
    "FeatureTable",
    "Funding",
    "IndicatorSet",
    "Kind",
    "Liquidation",
    "Purpose",
    "Quote",
    "Side",
    "Signal",
    "Strategy",
    "StrategyRunner",
    "TradeTick",
    "build",
    "compute_features",
    "names",
    "parse_indicator",
    "reads_of",
]
