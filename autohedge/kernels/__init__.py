"""Compiled steps: numba only, primitive arguments, one state record per lane, no classes."""
