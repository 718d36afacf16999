"""What a terminal shows: summary, live event log, progress, doctor. Import the modules."""

__all__: list[str] = []
