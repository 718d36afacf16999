"""Fault simulation: seeded scenarios of faults, crashes and bad decisions, checked against invariants."""

from autohedge.faultsim.question_checks import InvariantViolation
from autohedge.faultsim.runner import simulate
from autohedge.faultsim.scenario import ScenarioResult, run_scenario

__all__ = ["InvariantViolation", "ScenarioResult", "run_scenario", "simulate"]
