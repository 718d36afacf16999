"""Runs that are made to learn from them: histories of faults and crashes, held against invariants."""
