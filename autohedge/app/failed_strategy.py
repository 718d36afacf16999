"""What a user learns when the strategy fails while it trades."""

from collections.abc import Iterator
from contextlib import contextmanager

from autohedge.console.formatting import quantity_text
from autohedge.core.errors import StrategyFailed
from autohedge.engine.engine import Engine
from autohedge.journal import RunFolder


@contextmanager
def positions_named(engine: Engine, folder: RunFolder) -> Iterator[None]:
    """Adds the open positions and the record's name to the error of a strategy that ends the run."""
    try:
        yield
    except StrategyFailed as error:
        positions = engine.result().open_positions.items()
        held = ", ".join(f"{quantity_text(quantity)} {symbol}" for symbol, quantity in positions)
        msg = f"{error}; run {folder.id} is recorded up to there; open positions: {held or 'none'}"
        raise StrategyFailed(msg) from error
