"""Runs without a record, for programs that make many of them."""

from autohedge.app.compose import as_read, engine_for, venue_for
from autohedge.app.virtual_run import open_agents, report_of
from autohedge.config import Settings
from autohedge.core.events import JournalEntry
from autohedge.core.ids import nonce_from_seed
from autohedge.core.results import ProcessFigures, RunReport
from autohedge.market import Tape
from autohedge.runtime.virtual import VirtualRuntime


class _NoRecord:
    """The recorder of a run in memory."""

    def append(self, entry: JournalEntry) -> None:
        """Does nothing."""


def run_in_memory(settings: Settings, tape: Tape) -> RunReport:
    """Trades a tape in virtual time and writes nothing; returns the results as `run` does.

    They are those of `run`, apart from `run`, `journal_head` and `journal_lines`, which name a record. Settings
    are resolved once (`config.load`) for any number of runs.

    Raises Misconfigured for a wrong strategy and for a store that still grows, StrategyFailed if the strategy raises
    an error, and the errors of `open_agents`.
    """
    tape.require_finished()
    tape = as_read(settings, tape)
    engine, nonce = engine_for(settings, tape), nonce_from_seed(settings.seed)
    venue = venue_for(settings, tape, nonce)
    with open_agents(settings, tape) as agents:
        decisions = agents.decision_source(None) if agents else None
        VirtualRuntime(engine, venue, tape.rows, _NoRecord(), decisions, clock=venue).run(nonce)
        return report_of(settings, tape, engine, ProcessFigures(agents.summary() if agents else None))
