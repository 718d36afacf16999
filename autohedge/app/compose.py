"""Builds the parts of a run from settings: tape, engine with its strategy, simulated venue."""

from collections.abc import Sequence

from autohedge.config import Settings
from autohedge.engine.engine import Engine
from autohedge.exchanges.simulated import SimulatedVenue, VenueModel, lots_of
from autohedge.market import SyntheticSpec, Tape, TapeSource, open_tape, read_by, synthesize
from autohedge.strategies import build, reads_of


def tape_for(settings: Settings, sources: Sequence[TapeSource], *, growing: bool = False) -> Tape:
    """Opens the tape of `sources`, see `open_tape`; without any, synthesizes the seeded market of the settings."""
    reads = reads_of(settings)
    if sources:
        return open_tape(sources, growing=growing, reads=reads)
    return synthesize(recipe_for(settings), reads)


def as_read(settings: Settings, tape: Tape) -> Tape:
    """Returns the tape with the rows that the strategy of the settings takes."""
    return read_by(tape, reads_of(settings))


def recipe_for(settings: Settings) -> SyntheticSpec:
    """Returns the synthetic market that the settings describe."""
    synthetic = settings.synthetic
    return SyntheticSpec(
        symbols=synthetic.symbols,
        hours=synthetic.hours,
        quotes_per_s=synthetic.quotes_per_s,
        bad_quote_rate=synthetic.bad_quote_rate,
        seed=settings.seed,
    )


def engine_for(settings: Settings, tape: Tape) -> Engine:
    """Returns a new engine that runs the configured strategy on the streams of the tape."""
    return Engine(settings, tape.symbols, build(settings, tape.streams))


def venue_for(settings: Settings, tape: Tape, nonce: str) -> SimulatedVenue:
    """Returns a new simulated venue that fills orders from the tape."""
    model = VenueModel.of(settings, tape.symbols)
    return SimulatedVenue(model, lots_of(settings, tape.symbols), tape.cursor, nonce=nonce)
