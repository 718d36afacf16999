"""A market in memory whose rows come bit by bit."""

from autohedge.market import GrowingRows, Rows
from tests.market.store_factory import part


class GrowingMarket(GrowingRows):
    """The rows of a tape, of which only the first have come; `refresh` shows those that `grow` has added."""

    def __init__(self, rows: Rows, count: int = 0) -> None:
        super().__init__(len(rows))
        self._all, self._grown = rows, 0
        self.grow(count)
        self.refresh()

    def grow(self, count: int) -> None:
        """Adds rows."""
        start, self._grown = self._grown, min(self._grown + count, len(self._all))
        self.append(part(self._all, start, self._grown))

    def close(self) -> None:
        """Adds all rows that are left, and closes."""
        self.grow(len(self._all))
        super().close()
