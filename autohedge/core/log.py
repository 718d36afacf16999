"""Warnings on stderr for the operator; the journal has the record of a run."""

import sys
from typing import Any

from autohedge.core.text import printable


def warn(event: str, **facts: Any) -> None:
    """Writes one warning with its facts to stderr; the run continues."""
    import structlog  # here, because most runs never warn and the import slows every start

    shown = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=0)
    logger = structlog.wrap_logger(
        structlog.PrintLogger(sys.stderr), processors=[structlog.processors.add_log_level, shown]
    )
    logger.warning(
        printable(event),
        **{key: printable(fact) if isinstance(fact, str) else fact for key, fact in facts.items()},
    )
