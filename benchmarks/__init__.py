"""Measures the bounds on speed and memory that AutoHedge promises: `python -m benchmarks`."""
