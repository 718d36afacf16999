"""AutoHedge: LLM agents propose, a deterministic engine disposes."""

__version__ = "0.4.0"
__released__ = "2026-11-30"
