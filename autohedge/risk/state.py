"""The trading state of the account: ACTIVE, REDUCING or HALTED. Cancels and reductions pass in all three.

REDUCING has causes and ends with the last of them; all end by themselves but an operator's pause. HALTED ends
only when an operator resumes; an automatic halt has an id that `resume` must name.
"""

from collections.abc import Callable
from enum import StrEnum, auto, unique
from typing import Literal

from autohedge.core.events import AnyOutput, TradingStateChanged

NO_REASON = "no reason given"  # the reason is what tells a halt from a cause that begins during one


@unique
class ReduceCause(StrEnum):
    """Why entries are off; PAUSED lasts until an operator resumes, the others end by themselves."""

    RECONCILING = auto()
    LINK = auto()
    MAINTENANCE = auto()
    THROTTLED = auto()
    SILENT = auto()
    LAG = auto()
    DAILY_LOSS = auto()
    ORDER_RATE = auto()
    PAUSED = auto()


class TradingState:
    """The trading state; every change of it is emitted as an event."""

    def __init__(self, emit: Callable[[AnyOutput], None]) -> None:
        self._emit = emit
        self.causes: set[ReduceCause] = set()
        self.halted = False
        self.halt_id: str | None = None

    @property
    def name(self) -> Literal["active", "reducing", "halted"]:
        """The state as text: `active`, `reducing` or `halted`."""
        return "halted" if self.halted else "reducing" if self.causes else "active"

    def reduce(self, cause: ReduceCause) -> bool:
        """Turns entries off while `cause` lasts; returns whether the cause is new."""
        if cause in self.causes:
            return False
        self.causes.add(cause)
        self._emit_change()
        return True

    def clear(self, cause: ReduceCause) -> None:
        """Removes a cause; entries are on again after the last one, unless halted."""
        if cause not in self.causes:
            return
        self.causes.remove(cause)
        self._emit_change()

    def halt(self, reason: str, halt_id: str | None) -> None:
        """Turns entries off until the operator resumes; the id of an earlier automatic halt is kept."""
        # A later halt keeps the first id, also a manual one: the automatic halt still has to be acknowledged.
        self.halted, self.halt_id = True, self.halt_id or halt_id
        self._emit_change(reason or NO_REASON)

    @property
    def paused(self) -> bool:
        """Whether an operator has paused entries and questions."""
        return ReduceCause.PAUSED in self.causes

    def may_resume(self, halt_id: str | None) -> bool:
        """Returns whether `resume` may lift the halt or the pause: an automatic halt requires its id."""
        return self.halt_id in (None, halt_id) if self.halted else self.paused

    def resume(self, reason: str) -> None:
        """Lifts the halt and the pause."""
        self.halted, self.halt_id = False, None
        self.causes.discard(ReduceCause.PAUSED)
        self._emit_change(reason or NO_REASON)

    def _emit_change(self, reason: str = "") -> None:
        # Sorted, because a set has no stable order to record.
        self._emit(TradingStateChanged(self.name, tuple(sorted(self.causes)), reason, self.halt_id))
