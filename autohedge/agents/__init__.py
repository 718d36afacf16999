"""The five agents: the answer schema of each, its checks, and the call that asks it. Import the modules."""

__all__: list[str] = []
