"""Runtimes: drive the engine in virtual or wall time; recovery, replay, observers, control socket."""

from autohedge.runtime.observers import NullObserver, ObserverFactory
from autohedge.runtime.virtual import NoDecisions, VirtualRuntime

__all__ = [
    "NoDecisions",
    "NullObserver",
    "ObserverFactory",
    "VirtualRuntime",
]
