"""The audit of a run: its questions, answers and outcomes, read from its record and verified."""

from autohedge.audit.as_json import as_dict
from autohedge.audit.audit import Audit, audit, audit_end
from autohedge.audit.conversations import AuditFilter, Conversation
from autohedge.audit.page import write_page

__all__ = ["Audit", "AuditFilter", "Conversation", "as_dict", "audit", "audit_end", "write_page"]
