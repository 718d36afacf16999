"""Runs an engine on rows that come in batches, as from a live market."""

import dataclasses

from autohedge.app import engine_for
from autohedge.config import Settings
from autohedge.core.events import Input, JournalEntry
from autohedge.market import Rows, Tape


def in_batches(
    wanted: Settings, tape: Tape, record: list[JournalEntry], cuts: list[int]
) -> list[JournalEntry]:
    """Gives a fresh engine the inputs of a record, and its rows in batches of separate arrays; returns its events."""
    engine = engine_for(wanted, tape)
    made: list[JournalEntry] = []
    for entry in record:
        if not isinstance(entry.event, Input):
            continue
        while engine.pos < entry.pos:
            end = min([c for c in cuts if c > engine.pos] + [entry.pos])
            batch = _batch(tape.rows, engine.pos, min(end, entry.pos))
            at = 0
            while at < len(batch):
                at = engine.scan(batch, at, len(batch))
        engine.step(entry.event)
        made.extend(engine.log)
        engine.log.clear()
    return made


def _batch(rows: Rows, start: int, end: int) -> Rows:
    names = ("ts", "lane", "bid", "ask", "bid_size", "ask_size")
    return dataclasses.replace(rows, row=None, **{name: getattr(rows, name)[start:end] for name in names})
