"""Vocabulary that every package shares: events, orders, reasons, errors, ids, time, money, units. Import the modules."""

__all__: list[str] = []
