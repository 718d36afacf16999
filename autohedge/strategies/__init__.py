"""Strategies emit buy and sell signals; engine, sizing and risk decide what follows."""

from autohedge.market.tape import Kind
from autohedge.strategies.interface import StrategyRunner
from autohedge.strategies.python import Bar, Quote, Signal, Strategy
from autohedge.strategies.registry import build, names

__all__ = ["Bar", "Kind", "Quote", "Signal", "Strategy", "StrategyRunner", "build", "names"]
