"""Compiled strategy steps and tape queries: numba only, primitive arguments, one state record per instrument. Import the modules."""

__all__: list[str] = []
