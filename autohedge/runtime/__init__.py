"""Drives the engine: virtual time, wall time, recovery after a crash, replay, observers, control socket."""

from autohedge.runtime.observers import NullObserver, ObserverFactory, RunObserver
from autohedge.runtime.virtual import DecisionSource, NoDecisions, VirtualRuntime

__all__ = [
    "DecisionSource",
    "NoDecisions",
    "NullObserver",
    "ObserverFactory",
    "RunObserver",
    "VirtualRuntime",
]
