"""The entry of the command line: readies streams and signals, then imports and runs it.

This module imports little, so that a signal in the first moments ends the process with one line too.
"""

import os
import signal

ENDING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
"""The signals that end a run in order; Windows has no SIGHUP."""


def main() -> None:
    """Run the command line. Every error is one line on stderr and an exit code."""
    _handle_signals(_end_at_once)
    from autohedge.cli.streams import open_standard_streams

    open_standard_streams()
    from autohedge.cli.invocation import invoke

    # Raises KeyboardInterrupt, so that files are closed. A run on a clock has handlers of its own.
    _handle_signals(signal.default_int_handler)
    invoke()


def _handle_signals(handler: "signal._HANDLER") -> None:
    """Gives the ending signals a handler, except those that the parent ignores, as `nohup` does."""
    for each in ENDING:
        if signal.getsignal(each) is not signal.SIG_IGN:
            signal.signal(each, handler)


def _end_at_once(*_: object) -> None:
    """Ends the process while it imports: an exception would be reported by whatever is half imported."""
    os.write(2, b"autohedge: interrupted before the command began\n")
    os._exit(1)
