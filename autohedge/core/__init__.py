"""Shared vocabulary: events, orders, reasons, errors, ids, time, money, units. Import its modules."""

__all__: list[str] = []
