"""The five agents: the answer schema, the checks and the `ask` function of each. Import the modules."""

__all__: list[str] = []
