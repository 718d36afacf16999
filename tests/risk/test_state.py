"""Active, reducing, halted: what changes the state, and what does not."""

from autohedge.core.events import Active, AnyOutput, Halted, Reducing, Resumed
from autohedge.risk.state import Cause, TradingState


def _state() -> tuple[TradingState, list[AnyOutput]]:
    said: list[AnyOutput] = []
    return TradingState(said.append), said


def test_causes_come_and_go_and_the_last_one_ends_the_reducing() -> None:
    state, said = _state()
    assert state.reduce(Cause.LINK) and state.reduce(Cause.LAG) and not state.reduce(Cause.LAG)
    assert state.name == "reducing"
    for cause in (Cause.LINK, Cause.SILENT, Cause.LAG):
        state.relieve(cause)
    assert said == [Reducing(("link",)), Reducing(("lag", "link")), Reducing(("lag",)), Active()]
    assert state.name == "active"


def test_a_halt_that_no_person_ordered_keeps_its_id_until_it_is_lifted() -> None:
    state, said = _state()
    state.halt("disk full", "halt-7")
    state.halt("lunch", None)
    state.halt("more trouble", "halt-9")
    assert not state.may_resume(None) and not state.may_resume("halt-9") and state.may_resume("halt-7")
    state.reduce(Cause.LAG)
    assert state.name == "halted"
    state.resume("made room")
    assert not state.may_resume("halt-7")
    assert [type(event) for event in said] == [Halted, Halted, Halted, Reducing, Resumed]
    assert state.name == "reducing"
