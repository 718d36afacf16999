"""The engine: a deterministic function from recorded inputs to outputs."""

from autohedge.engine.engine import Engine

__all__ = ["Engine"]
