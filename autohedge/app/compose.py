"""Builds the parts of a run from settings: tape, engine with its strategy, simulated venue."""

from collections.abc import Sequence

from autohedge.config import Settings
from autohedge.engine.engine import Engine
from autohedge.exchanges.simulated import SimulatedVenue, VenueModel, lots_of
from autohedge.market import SyntheticSpec, Tape, TapeSource, open_tape, synthesize
from autohedge.strategies import build


def tape_for(settings: Settings, sources: Sequence[TapeSource]) -> Tape:
    """The tape that was asked for; without sources, the seeded synthetic market."""
    return open_tape(sources) if sources else synthesize(recipe_for(settings))


def recipe_for(settings: Settings) -> SyntheticSpec:
    """The synthetic market that the settings describe."""
    synthetic = settings.synthetic
    return SyntheticSpec(
        symbols=synthetic.symbols,
        hours=synthetic.hours,
        quotes_per_s=synthetic.quotes_per_s,
        bad_quote_rate=synthetic.bad_quote_rate,
        seed=settings.seed,
    )


def engine_for(settings: Settings, tape: Tape) -> Engine:
    """A fresh engine with the configured strategy on the tape's lanes."""
    return Engine(settings, tape.symbols, build(settings, tape.streams))


def venue_for(settings: Settings, tape: Tape, nonce: str) -> SimulatedVenue:
    """A fresh simulated venue on the tape."""
    return SimulatedVenue(VenueModel.of(settings), lots_of(settings, tape.symbols), tape.rows, nonce=nonce)
