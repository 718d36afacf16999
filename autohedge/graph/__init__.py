"""The slow plane: the graph of agents, what it is shown, and where it runs; `__main__` is a door to the command line."""
