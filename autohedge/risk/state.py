"""May the account trade? ACTIVE, REDUCING or HALTED; cancels and reductions pass in all three.

REDUCING has causes and ends by itself when the last of them does. HALTED ends only when a person
resumes; a halt that no person ordered has an id that the person must give.
"""

from collections.abc import Callable
from enum import StrEnum, auto, unique

from autohedge.core.events import Active, AnyOutput, Halted, Reducing, Resumed


@unique
class ReduceCause(StrEnum):
    """Why entries are off for a while."""

    RECONCILING = auto()
    LINK = auto()
    MAINTENANCE = auto()
    THROTTLED = auto()
    SILENT = auto()
    LAG = auto()
    DAILY_LOSS = auto()
    ORDER_RATE = auto()


class TradingState:
    """The account's state; every change of it is told."""

    def __init__(self, emit: Callable[[AnyOutput], None]) -> None:
        self._emit = emit
        self.causes: set[ReduceCause] = set()
        self.halted = False
        self.halt_id: str | None = None

    @property
    def name(self) -> str:
        """The state in one word."""
        return "halted" if self.halted else "reducing" if self.causes else "active"

    def reduce(self, cause: ReduceCause) -> bool:
        """Take no entries while `cause` lasts; say whether that is new."""
        if cause in self.causes:
            return False
        self.causes.add(cause)
        self._emit(Reducing(tuple(sorted(self.causes))))
        return True

    def clear(self, cause: ReduceCause) -> None:
        """A cause is over."""
        if cause not in self.causes:
            return
        self.causes.remove(cause)
        self._emit(Reducing(tuple(sorted(self.causes))) if self.causes else Active())

    def halt(self, reason: str, halt_id: str | None) -> None:
        """Take no entries until a person resumes; an earlier halt's id stays the one to give."""
        self.halted, self.halt_id = True, self.halt_id or halt_id
        self._emit(Halted(reason, self.halt_id))

    def may_resume(self, halt_id: str | None) -> bool:
        """Whether a person may lift the halt: one that no person ordered needs its id."""
        return self.halted and self.halt_id in (None, halt_id)

    def resume(self, reason: str) -> None:
        """A person lifts the halt."""
        self.halted, self.halt_id = False, None
        self._emit(Resumed(reason))
