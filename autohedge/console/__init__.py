"""Terminal output: summary, live event log, progress, doctor. Import the modules."""

__all__: list[str] = []
