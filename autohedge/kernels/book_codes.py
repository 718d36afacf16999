"""The codes and limits of a book, without numba, which takes half a second to import."""

APPLIED, SNAPSHOT, STALE, KEPT, GAP, NO_ROOM = 0, 1, 2, 3, 4, 5
"""What a step did with a message: STALE is dropped, KEPT and GAP wait for a snapshot, NO_ROOM did nothing."""
NO_SNAPSHOT, VALID, AFTER_GAP = 0, 1, 2
NO_SEQ = -(1 << 62)
"""The sequence number of a message that has none."""
KEPT_MAX = 10_000
KEY_DIGITS = 18
"""A price whose key has more digits is a bad one."""

BID, ASK = 0, 1
"""The positions of the sides of a book."""
