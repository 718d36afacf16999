"""AutoHedge: LLM agents propose, a deterministic engine disposes."""

__version__ = "0.1.0"
