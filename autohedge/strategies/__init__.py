"""Strategies: when to want a position. The engine, sizing and risk decide what becomes of it."""

from autohedge.strategies.interface import Scanner
from autohedge.strategies.python import Bar, Quote, Signal, Strategy
from autohedge.strategies.registry import build, names

__all__ = ["Bar", "Quote", "Scanner", "Signal", "Strategy", "build", "names"]
