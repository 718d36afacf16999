"""Notices rows of a live store that were changed after they had been read."""

from collections.abc import Callable
from typing import Any

from autohedge.market.columns import Columns

_CHECKED_ROWS = 1 << 12  # whose hash is kept: rows that were changed are named to so many


class RowHashes:
    """The hashes of rows of one table as they were read, by chunks, until they are sealed."""

    def __init__(self) -> None:
        self._chunks: dict[int, bytes] = {}
        self._hashers: dict[str, Any] = {}
        self._end = 0

    def add(self, columns: Columns, start: int) -> None:
        """Notes rows that have just been read, of which the first is row `start`."""
        first, end = start, start + len(next(iter(columns.values())))
        while start < end:
            number = start // _CHECKED_ROWS
            stop = min(end, (number + 1) * _CHECKED_ROWS)
            if start % _CHECKED_ROWS == 0:
                self._hashers = _new_hashers(columns)
            self._chunks[number] = _updated(self._hashers, columns, start - first, stop - first)
            start = self._end = stop

    def changed(self, read: Callable[[int, int], Columns], start: int, end: int) -> range | None:
        """Returns the first chunk of rows that are not as they were read; forgets the chunks that are.

        `read` returns the rows between two numbers.
        """
        if start == end:
            return None
        for number in range(start // _CHECKED_ROWS, -(-end // _CHECKED_ROWS)):
            first, stop = number * _CHECKED_ROWS, min((number + 1) * _CHECKED_ROWS, self._end)
            noted = self._chunks.get(number)  # None: those of an earlier seal, which did not differ
            if noted and _hashed(read(first, stop)) != noted:
                return range(first, stop)
        # The last chunk can belong to the next block as well.
        for number in [each for each in self._chunks if (each + 1) * _CHECKED_ROWS <= end]:
            del self._chunks[number]
        return None


def _hashed(columns: Columns) -> bytes:
    return _updated(_new_hashers(columns), columns, 0, len(next(iter(columns.values()))))


def _new_hashers(columns: Columns) -> dict[str, Any]:
    import xxhash

    return {name: xxhash.xxh3_64() for name in columns}


def _updated(hashers: dict[str, Any], columns: Columns, start: int, end: int) -> bytes:
    """Adds rows to the hashers of the columns; returns the digests of all."""
    for name, hasher in hashers.items():
        hasher.update(columns[name][start:end].data)
    return b"".join(hasher.digest() for hasher in hashers.values())
