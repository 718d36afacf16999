"""Settings, tapes and runs of the benchmarks, independent of the settings of this machine."""

from functools import cache
from pathlib import Path

from autohedge import config
from autohedge.app import engine_for, venue_for
from autohedge.config import Settings
from autohedge.core.events import JournalEntry
from autohedge.core.ids import nonce_from_seed
from autohedge.core.reasons import STOPS, STOPS_FROM, Reason
from autohedge.engine.engine import Engine
from autohedge.journal import Journal
from autohedge.journal.chain import BufferedStore
from autohedge.market import Tape, TapeSource, open_tape
from autohedge.runtime.virtual import VirtualRuntime
from benchmarks.market import SYMBOL, tape_file

NEVER_TRADES = ["momentum.min_edge_bps=1e9"]


def settings(overrides: list[str]) -> Settings:
    """Returns the shipped settings with `overrides`; ignores any config.toml of the working directory."""
    return config.load(config.shipped_file(), ["trading.mode=hft", *overrides])


@cache
def tape(quotes: int) -> Tape:
    """Opens the benchmark tape, through the tape cache."""
    return open_tape([TapeSource(tape_file(quotes), SYMBOL)])


class InMemoryRecord(list[JournalEntry]):
    """A recorder that keeps its entries in memory."""


def play(wanted: Settings, market: Tape, recorder: Journal | InMemoryRecord) -> Engine:
    """Runs in virtual time. Raises AssertionError if a limit refused an entry, as refusals cost less."""
    engine, nonce = engine_for(wanted, market), nonce_from_seed(wanted.seed)
    venue = venue_for(wanted, market, nonce)
    VirtualRuntime(engine, venue, market.rows, recorder, clock=venue).run(nonce)
    refusals = {reason for reason in Reason if reason > STOPS_FROM} - STOPS
    refused = {reason.label for reason in refusals if engine.codes()[reason.label]}
    if refused:
        msg = f"no limit may refuse an entry on this tape, but these did: {', '.join(sorted(refused))}"
        raise AssertionError(msg)
    return engine


def play_recorded(wanted: Settings, market: Tape, folder: Path) -> Engine:
    """Runs with a journal in `folder`, replacing one that is there."""
    path = folder / "journal.jsonl"
    path.unlink(missing_ok=True)
    journal = Journal.begin(BufferedStore(path), {"benchmark": True})
    try:
        return play(wanted, market, journal)
    finally:
        journal.close()
