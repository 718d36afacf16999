"""Runs the command line with `python -m autohedge.graph`."""

from autohedge.cli import main

main()
