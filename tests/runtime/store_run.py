"""Runs over a live store to which a writer in this process appends between the calls of the runtime."""

from pathlib import Path

from autohedge.app import engine_for
from autohedge.config import Settings
from autohedge.core.clock import NEVER
from autohedge.core.ids import nonce_from_seed, seeded_random
from autohedge.exchanges.simulated import SimulatedVenue, VenueModel, lots_of
from autohedge.market import LiveStore, LiveStoreWriter, Tape
from autohedge.runtime.virtual import VirtualRuntime
from tests.market.store_factory import part
from tests.run_harness import Played, Recording

BATCHES = (1, 2, 7, 50, 400)


def play_growing(wanted: Settings, tape: Tape, folder: Path) -> Played:
    """Runs a tape whose rows come through a live store in random batches; `folder` is its new folder."""
    writer, draw = LiveStoreWriter(folder, tape.symbols), seeded_random(str(len(tape)), "batches")
    market, record, nonce = LiveStore(folder), Recording(), nonce_from_seed(wanted.seed)
    engine = engine_for(wanted, tape)
    venue = SimulatedVenue(VenueModel.of(wanted), lots_of(wanted, tape.symbols), market, nonce=nonce)
    runtime = VirtualRuntime(engine, venue, market, record, clock=venue)
    runtime.begin(nonce)
    while not runtime.ended:
        if len(writer) < len(tape):
            writer.append(part(tape.rows, len(writer), len(writer) + draw.choice(BATCHES)))
        else:
            writer.close()
        runtime.refresh()
        runtime.advance(NEVER)
    runtime.finish()
    return Played(engine, record)
