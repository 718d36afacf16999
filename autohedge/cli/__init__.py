"""The command line."""

from autohedge.cli.main import main

__all__ = ["main"]
