"""Warnings for the person at the terminal, on stderr; what a run did stands in its journal."""

import sys
from typing import Any


def warn(event: str, **facts: Any) -> None:
    """Say in one line what is wrong, with its facts; the run goes on."""
    import structlog

    shown = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=0)
    logger = structlog.wrap_logger(
        structlog.PrintLogger(sys.stderr), processors=[structlog.processors.add_log_level, shown]
    )
    logger.warning(event, **facts)
