"""Runtimes: drive the engine in virtual or wall time; recovery, replay, observers, control socket."""

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
