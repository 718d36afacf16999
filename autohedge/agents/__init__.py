"""The five agents: a table of them, and the answer schema and the checks of each. Import the modules."""

__all__: list[str] = []
