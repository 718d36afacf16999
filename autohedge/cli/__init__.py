"""The command line."""

from autohedge.cli.entry import main

__all__ = ["main"]
