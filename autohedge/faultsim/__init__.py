"""Fault simulation: histories of faults and crashes against the real engine, with invariants after every step."""

from autohedge.faultsim.history import History, read_history, write_history
from autohedge.faultsim.runner import simulate
from autohedge.faultsim.scenario import ScenarioResult, run_history

__all__ = ["History", "ScenarioResult", "read_history", "run_history", "simulate", "write_history"]
