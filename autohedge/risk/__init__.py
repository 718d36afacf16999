"""Hard limits outside any model: only this package can approve an intent."""

from autohedge.risk.checks import Approved, Book, Limits, check_entry, check_exit
from autohedge.risk.rate import Rate

__all__ = ["Approved", "Book", "Limits", "Rate", "check_entry", "check_exit"]
