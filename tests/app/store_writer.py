"""Appends the rows of a finished store to a live store, from where the last writer ended, at any pace.

It closes the live store after the last row; with fewer rows to append it then waits to be killed. As a program:
python -m tests.app.store_writer STORE FINISHED ROWS SEED
"""

import signal
import sys
from pathlib import Path
from threading import Event

from autohedge.core.ids import seeded_random
from autohedge.market import LiveStore, LiveStoreWriter
from tests.market.store_factory import part


def main(folder: str, finished: str, rows: str, seed: str) -> None:
    """Writes until the live store has so many rows."""
    market, draw, pause = LiveStore(Path(finished)), seeded_random(seed, "pace"), Event()
    with LiveStoreWriter(Path(folder), [stream.symbol for stream in market.manifest.streams]) as writer:
        while (pos := len(writer)) < int(rows):
            count = draw.choice((1, 1, 1, 2, 5, 30, 200))
            writer.append(part(market.rows, pos, min(pos + count, int(rows))))
            pause.wait(draw.choice((0.0, 0.0, 0.0, 0.001, 0.004)))
        if len(writer) < len(market.rows):
            signal.pause()


if __name__ == "__main__":
    main(*sys.argv[1:])
