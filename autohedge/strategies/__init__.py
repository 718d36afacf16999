"""Strategies: when to want a position. The engine, sizing and risk decide what becomes of it."""

from autohedge.market.tape import Kind
from autohedge.strategies.interface import StrategyRunner
from autohedge.strategies.python import Bar, Quote, Signal, Strategy
from autohedge.strategies.registry import build, names

__all__ = ["Bar", "Kind", "Quote", "Signal", "Strategy", "StrategyRunner", "build", "names"]
