"""`python -m autohedge.graph`: a door to the command line."""

from autohedge.cli import main

main()
