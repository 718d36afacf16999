"""Hard limits outside any model: only this package can approve an intent."""

from autohedge.risk.checks import Approved, Book, Limits, check_entry, check_exit

__all__ = ["Approved", "Book", "Limits", "check_entry", "check_exit"]
