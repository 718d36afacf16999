"""Compiled strategy steps and tape queries: numba on arrays and state records. Import its modules."""

__all__: list[str] = []
