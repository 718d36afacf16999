"""Recognises orders that this run sent, though a crash took their lines from the record."""

import numpy as np
from numpy.typing import NDArray

from autohedge.core.ids import client_order_id

LINES_MAX = 2_000  # lines that a crash may take from the record's end
ROWS_MAX = 2_000_000  # rows before such an order; to hash their seqs takes a few seconds, once


class LostOrderIds:
    """The ids that orders may have that were sent after the end of the record, over all crashes of a run.

    An id derives from a nonce and a `seq`, which counts rows too. An order may show up after any number of
    restarts, so what was added stays.
    """

    def __init__(self) -> None:
        self._added: list[tuple[str, range]] = []
        # The first 64 bits of each id, sorted: whole ids as text would take ten times the memory.
        self._prefixes: NDArray[np.uint64] = np.empty(0, np.uint64)

    def add(self, nonce: str, first_seq: int, rows: int) -> None:
        """Adds the ids of one process: from `first_seq` on, over `rows` and the lines that may be lost."""
        self._added.append((nonce, range(first_seq, first_seq + min(rows, ROWS_MAX) + LINES_MAX)))

    def __contains__(self, order_id: str) -> bool:
        """Whether an order with this id is one of the run."""
        try:
            prefix = _prefix(order_id)
        except ValueError:  # not hexadecimal: an id of somebody else
            return False
        while self._added:  # hashed only when an unknown order appears
            nonce, seqs = self._added.pop()
            ids = np.fromiter((_prefix(client_order_id(nonce, seq)) for seq in seqs), np.uint64, len(seqs))
            self._prefixes = np.sort(np.concatenate((self._prefixes, ids)))
        at = np.searchsorted(self._prefixes, np.uint64(prefix))
        return bool(at < len(self._prefixes) and self._prefixes[at] == prefix)


def _prefix(order_id: str) -> int:
    return int.from_bytes(bytes.fromhex(order_id[:16]), "big")
