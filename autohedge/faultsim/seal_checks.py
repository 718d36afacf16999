"""Invariant 32: each row is sealed once, with the hash of the rows that were written."""

import numpy as np
import xxhash

from autohedge.core.events import EndOfTape, JournalEntry, TapeSealed
from autohedge.faultsim.question_checks import InvariantViolation
from autohedge.market.rows import Rows

SEAL_ROWS = 400
"""How many rows a seal covers in the simulation, so that a history has several."""

_COLUMNS = {"ts": "<i8", "lane": "<i4", "bid": "<f8", "ask": "<f8", "bid_size": "<f8", "ask_size": "<f8"}
_KIND_COLUMNS = {"source": "<i4", "priced": "?", "close": "<f8"}


class SealChecker:
    """Holds the seals of one record against the rows of the history; keeps a hash of its own of each block."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._hashes: dict[tuple[int, int], str] = {}
        self._sealed = 0

    def reset(self) -> None:
        """Forgets the seals, before a record is applied from its beginning."""
        self._sealed = 0

    def apply(self, entry: JournalEntry) -> None:
        """Checks a seal, and at the end that every row has one."""
        if isinstance(entry.event, TapeSealed):
            self._on_seal(entry.event, entry.pos)
        elif isinstance(entry.event, EndOfTape) and self._sealed != entry.pos:
            raise InvariantViolation(f"32: {entry.pos} rows were taken, {self._sealed} are sealed")

    def _on_seal(self, seal: TapeSealed, pos: int) -> None:
        start, end = self._sealed, seal.rows
        if start % SEAL_ROWS or not start < end <= min(pos, start + SEAL_ROWS):
            raise InvariantViolation(f"32: the rows before {end} are sealed after {start}, at row {pos}")
        if seal.at_ns != self._rows.next_ts(end - 1):
            raise InvariantViolation(f"32: the seal of the rows before {end} has another time than the last")
        if seal.hash != self._hash(start, end):
            raise InvariantViolation(f"32: rows {start} to {end - 1} are not those that were sealed")
        self._sealed = end

    def _hash(self, start: int, end: int) -> str:
        if (start, end) not in self._hashes:
            columns = [
                np.asarray(getattr(self._rows, name)[start:end], kind) for name, kind in _COLUMNS.items()
            ]
            if kinds := self._rows.kinds:
                columns += [
                    np.asarray(getattr(kinds, name)[start:end], kind) for name, kind in _KIND_COLUMNS.items()
                ]
            parts = (xxhash.xxh3_128_digest(column.tobytes()) for column in columns)
            self._hashes[start, end] = xxhash.xxh3_128_hexdigest(b"".join(parts))
        return self._hashes[start, end]
