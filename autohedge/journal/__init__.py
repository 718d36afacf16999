"""The record of a run: a folder whose journal is a chain of hashes."""

from autohedge.journal.chain import Journal, JournalLine, encode_line, read
from autohedge.journal.folder import RunFolder
from autohedge.journal.follow import follow
from autohedge.journal.verification import verify

__all__ = ["Journal", "JournalLine", "RunFolder", "encode_line", "follow", "read", "verify"]
