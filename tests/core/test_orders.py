"""The order state table: legal transitions, illegal ones, and late answers."""

from itertools import product

import pytest

from autohedge.core.errors import Corrupt, IllegalTransition
from autohedge.core.orders import FINAL, WORKING, OrderState, OrderTrigger, transition

S, E = OrderState, OrderTrigger

# The events that are legal in each state, and where each leads.
TABLE = """
intent: submit>submitted deny>denied lose_answer>unknown
submitted: accept>open reject>rejected lose_answer>unknown fill_part>partial fill_rest>filled
submitted: cancel>canceled expire>expired request_cancel>pending_cancel request_replace>pending_replace
unknown: accept>open reject>rejected prove_absent>not_placed lose_answer>unknown fill_part>partial
unknown: fill_rest>filled cancel>canceled expire>expired request_cancel>unknown request_replace>unknown
unknown: replace>open refuse_change>unknown
open: accept>open fill_part>partial fill_rest>filled cancel>canceled expire>expired lose_answer>unknown
open: request_cancel>pending_cancel request_replace>pending_replace reject>rejected replace>open
open: refuse_change>open
partial: accept>partial fill_part>partial fill_rest>filled cancel>canceled expire>expired
partial: lose_answer>unknown request_cancel>pending_cancel request_replace>pending_replace
partial: reject>rejected replace>partial refuse_change>partial
pending_cancel: accept>pending_cancel fill_part>pending_cancel fill_rest>filled cancel>canceled
pending_cancel: expire>expired lose_answer>unknown reject>rejected request_cancel>pending_cancel
pending_cancel: prove_absent>not_placed replace>pending_cancel refuse_change>pending_cancel
pending_replace: accept>pending_replace fill_part>pending_replace fill_rest>filled cancel>canceled
pending_replace: expire>expired lose_answer>unknown replace>open refuse_change>open reject>rejected
pending_replace: request_cancel>pending_cancel request_replace>pending_replace prove_absent>not_placed
"""

# Answers that may still arrive for an order that ended, those to a replace request included.
LATE = {E.ACCEPT, E.FILL_PART, E.REPLACE, E.REFUSE_CHANGE}
ENDS = {
    E.FILL_REST: S.FILLED,
    E.CANCEL: S.CANCELED,
    E.EXPIRE: S.EXPIRED,
    E.REJECT: S.REJECTED,
    E.PROVE_ABSENT: S.NOT_PLACED,
}
STRONGEST_FIRST = list(ENDS.values())

# Never legal in any table: an order is sent once and denied only before that; it is proven absent only while
# its state is unknown or a change is pending; a venue cannot report on an order that was never sent.
NEVER = {
    E.SUBMIT: set(S) - {S.INTENT},
    E.DENY: set(S) - {S.INTENT},
    E.LOSE_ANSWER: FINAL,
    E.REQUEST_CANCEL: FINAL | {S.INTENT},
    E.REQUEST_REPLACE: FINAL | {S.INTENT},
    E.PROVE_ABSENT: {S.INTENT, S.DENIED, S.SUBMITTED, S.OPEN, S.PARTIAL},
    **{event: {S.INTENT, S.DENIED} for event in sorted(LATE | ENDS.keys() - {E.PROVE_ABSENT})},
}
OUR_OWN = {E.SUBMIT, E.DENY, E.REQUEST_CANCEL, E.REQUEST_REPLACE, E.LOSE_ANSWER}


def _legal() -> list[tuple[OrderState, OrderTrigger, OrderState]]:
    edges = []
    for line in TABLE.strip().splitlines():
        state, cells = line.split(": ")
        for cell in cells.split():
            event, target = cell.split(">")
            edges.append((S(state), E(event), S(target)))
    return edges


def _reachable(start: OrderState) -> set[OrderState]:
    """Returns the states that requests and lost answers can lead to, without an answer from the venue."""
    seen, todo = {start}, [start]
    while todo:
        state = todo.pop()
        for event in (E.REQUEST_CANCEL, E.REQUEST_REPLACE, E.LOSE_ANSWER):
            target = _transition_or_none(state, event)
            if target is not None and target not in seen:
                seen.add(target)
                todo.append(target)
    return seen


def _transition_or_none(state: OrderState, event: OrderTrigger) -> OrderState | None:
    try:
        return transition(state, event)
    except IllegalTransition:
        return None


@pytest.mark.parametrize(("state", "event", "target"), _legal())
def test_transition_legal_event_reaches_target_state(
    state: OrderState, event: OrderTrigger, target: OrderState
) -> None:
    assert transition(state, event) is target


@pytest.mark.parametrize(
    ("state", "event"), [(s, e) for e, states in NEVER.items() for s in sorted(states, key=str)]
)
def test_an_illegal_event_raises_and_names_both(state: OrderState, event: OrderTrigger) -> None:
    with pytest.raises(IllegalTransition, match=f"{state} cannot {event}"):
        transition(state, event)


def test_an_illegal_transition_stops_trading_like_any_corruption() -> None:
    assert issubclass(IllegalTransition, Corrupt)


def test_every_state_is_either_working_or_final() -> None:
    assert {
        S.FILLED, S.CANCELED, S.EXPIRED, S.REJECTED, S.DENIED, S.NOT_PLACED,
    } == FINAL  # fmt: skip
    assert set(S) == FINAL | WORKING and not FINAL & WORKING


@pytest.mark.parametrize("state", sorted(WORKING, key=str))
def test_every_working_state_can_become_unknown(state: OrderState) -> None:
    assert transition(state, E.LOSE_ANSWER) is S.UNKNOWN


@pytest.mark.parametrize("event", sorted(OUR_OWN, key=str))
def test_unknown_is_never_left_without_evidence_from_the_venue(event: OrderTrigger) -> None:
    assert _transition_or_none(S.UNKNOWN, event) in (None, S.UNKNOWN)


@pytest.mark.parametrize("event", sorted(LATE))
@pytest.mark.parametrize("state", STRONGEST_FIRST)
def test_final_state_late_event_is_unchanged(state: OrderState, event: OrderTrigger) -> None:
    assert transition(state, event) is state


@pytest.mark.parametrize(("first", "second"), list(product(ENDS, repeat=2)))
def test_two_final_events_in_any_order_stronger_one_wins(first: OrderTrigger, second: OrderTrigger) -> None:
    strongest = min(ENDS[first], ENDS[second], key=STRONGEST_FIRST.index)
    assert transition(ENDS[first], second) is transition(ENDS[second], first) is strongest


@pytest.mark.parametrize("event", [E.ACCEPT, E.REJECT, E.FILL_PART, E.FILL_REST, E.EXPIRE, E.LOSE_ANSWER])
def test_first_venue_answer_after_own_requests_is_legal(event: OrderTrigger) -> None:
    illegal_in = {state for state in _reachable(S.SUBMITTED) if _transition_or_none(state, event) is None}
    assert illegal_in == set()


def test_unknown_order_proven_absent_after_own_requests_is_not_placed() -> None:
    ends = {_transition_or_none(state, E.PROVE_ABSENT) for state in _reachable(S.UNKNOWN)}
    assert ends == {S.NOT_PLACED}
