"""Continues a run whose process died, in virtual time or on a clock as it was started."""

from collections.abc import Callable, Sequence

from autohedge.app.records import open_interrupted
from autohedge.app.virtual_run import restart_on_tape
from autohedge.app.wall_run import restart_on_clock
from autohedge.core.results import RunReport
from autohedge.journal import RunFolder
from autohedge.runtime.observers import ObserverFactory


def restart(
    folder: RunFolder,
    observers: Sequence[ObserverFactory] = (),
    notify: Callable[[str], None] = lambda _: None,
    *,
    trust: bool = False,
) -> RunReport:
    """Continues a run; returns the content of `results.json`.

    `notify` is that of `virtual_run.run`, `trust` that of `replay_engine`.

    Raises Misconfigured for a finished run without open orders at a venue in another process, Refused for one that is still running or whose strategy is not
    trusted, Corrupt if the record is damaged before its end.
    """
    with open_interrupted(folder, trust=trust) as interrupted:
        if folder.read_launch():
            return restart_on_clock(interrupted, observers)
        return restart_on_tape(interrupted, observers, notify)
