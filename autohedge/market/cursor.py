"""What a run reads its market from: rows that have come, and perhaps more."""

from typing import Protocol

from autohedge.market.rows import Rows


class ClockedMarket(Protocol):
    """A market in which a clock finishes bars while no row comes."""

    @property
    def clock_ns(self) -> int:
        """The latest time of its rows."""
        ...

    @property
    def count(self) -> int:
        """How many rows of all its streams have come."""
        ...

    @property
    def next_bar_ns(self) -> int:
        """When the clock finishes the next bar; NEVER if none forms."""
        ...

    def reach_clock(self, at_ns: int) -> None:
        """Adds the rows of the bars that are finished at a time, which later rows cannot precede."""
        ...


class MarketCursor(Protocol):
    """The rows of a market by their absolute position. More may come, but none that is there changes.

    A finished tape has all its rows from the start (`Rows` itself); a live store, and `GrowingRows` in memory, get
    more until they are closed.
    """

    @property
    def rows(self) -> Rows:
        """The rows that have come; row n of the market is row n of the columns."""
        ...

    @property
    def closed(self) -> bool:
        """Whether no more rows will come."""
        ...

    def refresh(self) -> None:
        """Takes in the rows that have come since the last call.

        Raises Corrupt if they go back in time.
        """
        ...

    def block_hash(self, start: int, end: int) -> str:
        """Returns the hash of the rows from `start` to before `end`, which does not depend on where they are kept.

        Raises Corrupt if they were changed after they came.
        """
        ...

    def named_difference(self, start: int, end: int, recorded: str) -> str:
        """Returns which rows are not those whose hash was recorded for `start` to before `end`.

        Empty where the numbers of the rows say it, as in a market of prices alone.
        """
        ...
