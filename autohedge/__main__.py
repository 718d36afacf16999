"""`python -m autohedge`: a door to the command line."""

from autohedge.cli import main

main()
