"""Hard limits that no model can change: only this package can approve an intent."""

from autohedge.risk.checks import Approved, Limits, RiskContext, check_entry, check_exit
from autohedge.risk.rate import Throttler

__all__ = ["Approved", "Limits", "RiskContext", "Throttler", "check_entry", "check_exit"]
