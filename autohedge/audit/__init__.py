"""What was asked, what was said, and what came of it: a run's conversations, read from its record and checked."""

from autohedge.audit.page import write_page
from autohedge.audit.plain import as_dict
from autohedge.audit.questions import Conversation, Wanted
from autohedge.audit.reading import Audit, audit

__all__ = ["Audit", "Conversation", "Wanted", "as_dict", "audit", "write_page"]
