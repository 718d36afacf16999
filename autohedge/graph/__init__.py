"""The slow plane's home; for now its `__main__` is a door to the command line."""
