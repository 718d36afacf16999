"""The command line: one module per group of commands."""

from autohedge.cli.main import main

__all__ = ["main"]
