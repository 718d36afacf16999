"""Strategies emit signals to enter and to leave; engine, sizing and risk decide what follows."""

from autohedge.core.orders import Purpose, Side
from autohedge.market.tape import Kind
from autohedge.strategies.interface import StrategyRunner
from autohedge.strategies.python import Bar, Quote, Strategy
from autohedge.strategies.registry import build, names
from autohedge.strategies.signals import Signal

__all__ = [
    "Bar",
    "Kind",
    "Purpose",
    "Quote",
    "Side",
    "Signal",
    "Strategy",
    "StrategyRunner",
    "build",
    "names",
]
