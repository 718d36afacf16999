"""AutoHedge: LLM agents propose, a deterministic engine disposes."""

__version__ = "0.3.0"
__released__ = "2026-11-30"
