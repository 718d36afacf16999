"""No telemetry: the libraries below send every prompt and answer to a third party if the environment says so."""

import os

_SWITCHES = (
    "LANGSMITH_TRACING_V2",
    "LANGCHAIN_TRACING_V2",
    "LANGSMITH_TRACING",
    "LANGCHAIN_TRACING",
    "LANGCHAIN_HANDLER",
)


def disable_tracing() -> None:
    """Call this before LangChain or LangGraph is imported, for they remember what they read."""
    os.environ.update(dict.fromkeys(_SWITCHES, "false"))
