"""Compares rows with the hashes of them that a run has journaled."""

from collections.abc import Iterable

from autohedge.core.errors import Corrupt
from autohedge.core.events import TapeSealed
from autohedge.market.cursor import MarketCursor


def require_seals(seals: Iterable[TapeSealed], taken: int, market: MarketCursor, subject: str) -> None:
    """Raises Corrupt if some of the `taken` rows are missing, or if sealed rows are not those of the run.

    `subject` starts the message, which names the rows.
    """
    count = len(market.rows)
    if taken > count:
        raise Corrupt(f"{subject} has {count:,} rows, but the run took {taken:,}; restore the others")
    start = 0
    for seal in seals:
        if market.block_hash(start, seal.rows) != seal.hash:
            rows = (
                market.named_difference(start, seal.rows, seal.hash) or f"rows {start:,} to {seal.rows - 1:,}"
            )
            raise Corrupt(f"{subject}: {rows} are not those that the run traded; restore them")
        start = seal.rows
