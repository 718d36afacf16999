"""Disables the telemetry of LangChain and LangGraph, which would send every prompt to a third party."""

import os

# Each of these variables alone turns tracing on.
_SWITCHES = (
    "LANGSMITH_TRACING_V2",
    "LANGCHAIN_TRACING_V2",
    "LANGSMITH_TRACING",
    "LANGCHAIN_TRACING",
    "LANGCHAIN_HANDLER",
)


def disable_tracing() -> None:
    """Turns tracing off; to be called before importing LangChain or LangGraph, which cache the value."""
    os.environ.update(dict.fromkeys(_SWITCHES, "false"))
