"""The trading state: which calls change it, and which do not."""

from autohedge.core.events import AnyOutput, TradingStateChanged
from autohedge.risk.state import ReduceCause, TradingState


def _state() -> tuple[TradingState, list[AnyOutput]]:
    events: list[AnyOutput] = []
    return TradingState(events.append), events


def test_reducing_ends_when_last_cause_is_cleared() -> None:
    state, events = _state()
    assert (
        state.reduce(ReduceCause.LINK) and state.reduce(ReduceCause.LAG) and not state.reduce(ReduceCause.LAG)
    )
    for cause in (ReduceCause.LINK, ReduceCause.SILENT, ReduceCause.LAG):
        state.clear(cause)
    assert events == [
        TradingStateChanged("reducing", ("link",)),
        TradingStateChanged("reducing", ("lag", "link")),
        TradingStateChanged("reducing", ("lag",)),
        TradingStateChanged("active"),
    ]
    assert state.name == "active"


def test_automatic_halt_retains_its_id_until_resumed() -> None:
    state, events = _state()
    state.halt("disk full", "halt-7")
    state.halt("lunch", None)
    state.halt("more trouble", "halt-9")
    assert not state.may_resume(None) and not state.may_resume("halt-9") and state.may_resume("halt-7")
    state.reduce(ReduceCause.LAG)
    assert state.name == "halted"
    state.resume("made room")
    assert not state.may_resume("halt-7")
    assert events == [
        TradingStateChanged("halted", reason="disk full", halt_id="halt-7"),
        TradingStateChanged("halted", reason="lunch", halt_id="halt-7"),
        TradingStateChanged("halted", reason="more trouble", halt_id="halt-7"),
        TradingStateChanged("halted", ("lag",), halt_id="halt-7"),
        TradingStateChanged("reducing", ("lag",), reason="made room"),
    ]


def test_halt_after_a_resume_does_not_need_the_id_of_the_one_before() -> None:
    state, _ = _state()
    state.halt("disk full", "halt-7")
    state.resume("made room")
    state.halt("lunch", None)
    assert state.may_resume(None)
