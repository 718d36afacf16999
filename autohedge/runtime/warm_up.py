"""What is done once before a run's clock starts, so that no quote has to wait for it."""

import gc

import numpy as np

from autohedge.core.garbage import collection_paused
from autohedge.engine.engine import Engine
from autohedge.kernels.matching import first_touch, fold_recent, last_valid
from autohedge.kernels.prices import scan_prices
from autohedge.kernels.state import check_one, net_and_gross, new_states, state_dtype
from autohedge.market.rows import Rows


def warm_up(engine: Engine, rows: Rows) -> None:
    """Loads the machine code of a run, and takes the objects made so far out of later garbage collections."""
    with collection_paused():  # the first kernel makes numba import much
        load_kernels(engine, rows)
    gc.unfreeze()  # what an earlier run of this process has left
    freeze_objects()


def freeze_objects() -> None:
    """Takes the objects made so far out of later garbage collections."""
    gc.collect()
    gc.freeze()


def load_kernels(engine: Engine, rows: Rows) -> None:
    """Calls every kernel of a run once, on an empty range: its machine code is loaded at its first call."""
    columns, states = (rows.lane, rows.bid, rows.ask), engine.kernel_states
    engine.scan(rows, engine.pos, engine.pos)
    last_valid(*columns, 0, 0, 0)
    first_touch(*columns, 0, 0, 0, 1, 0.0)
    net_and_gross(states, np.zeros(0))
    all_columns = (rows.lane, rows.ts, rows.bid, rows.ask, rows.bid_size, rows.ask_size)
    counts, ring = np.zeros(0, np.int64), np.zeros((0, 1), np.int64)
    fold_recent(*all_columns, 0, 0, counts, ring, np.zeros((0, 1, 4)), ring)
    if states.dtype == state_dtype([]):  # the states of a Python strategy, whose rows are checked one by one
        check_one(new_states(states.dtype, 1), 0, np.nan, np.nan)
        scan_prices(states, *columns, 0, 0)
