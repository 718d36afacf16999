"""The order state table: what is legal, what is not, what no answer may do."""

import pytest

from autohedge.core.errors import Corrupt, IllegalTransition
from autohedge.core.orders import FINAL, WORKING, OrderEvent, OrderState, after

S, E = OrderState, OrderEvent

# One line per state: the events that are legal there, and where each leads.
TABLE = """
intent: submit>submitted deny>denied lose_answer>unknown
submitted: accept>open reject>rejected lose_answer>unknown fill_part>partial fill_rest>filled
submitted: cancel>canceled expire>expired
unknown: accept>open reject>rejected prove_absent>not_placed lose_answer>unknown fill_part>partial
unknown: fill_rest>filled cancel>canceled expire>expired
open: accept>open fill_part>partial fill_rest>filled cancel>canceled expire>expired lose_answer>unknown
open: request_cancel>pending_cancel request_replace>pending_replace
partial: accept>partial fill_part>partial fill_rest>filled cancel>canceled expire>expired
partial: lose_answer>unknown request_cancel>pending_cancel request_replace>pending_replace
pending_cancel: accept>pending_cancel fill_part>pending_cancel fill_rest>filled cancel>canceled
pending_cancel: expire>expired lose_answer>unknown
pending_replace: fill_part>pending_replace fill_rest>filled cancel>canceled expire>expired
pending_replace: lose_answer>unknown replace>open
filled: accept>filled fill_part>filled fill_rest>filled
canceled: cancel>canceled accept>canceled fill_part>canceled fill_rest>canceled
expired: expire>expired accept>expired fill_part>expired fill_rest>expired
rejected: reject>rejected accept>rejected fill_part>rejected fill_rest>rejected
denied: accept>denied fill_part>denied fill_rest>denied
not_placed: accept>not_placed fill_part>not_placed fill_rest>not_placed prove_absent>not_placed
"""

# Never legal, whatever else a table allows: an order is sent once, refused before it is sent, and
# proven absent only while its fate is unknown.
NEVER = {
    E.SUBMIT: set(S) - {S.INTENT},
    E.DENY: set(S) - {S.INTENT},
    E.ACCEPT: {S.INTENT},
    E.FILL_PART: {S.INTENT},
    E.FILL_REST: {S.INTENT},
    E.EXPIRE: (FINAL - {S.EXPIRED}) | {S.INTENT},
    E.CANCEL: (FINAL - {S.CANCELED}) | {S.INTENT},
    E.REJECT: (FINAL - {S.REJECTED}) | {S.INTENT, S.OPEN, S.PARTIAL},
    E.LOSE_ANSWER: FINAL,
    E.REQUEST_CANCEL: FINAL | {S.INTENT},
    E.REQUEST_REPLACE: FINAL | {S.INTENT},
    E.REPLACE: set(S) - {S.PENDING_REPLACE},
    E.REFUSE_CHANGE: set(S) - {S.PENDING_CANCEL, S.PENDING_REPLACE, S.UNKNOWN},
    E.PROVE_ABSENT: (FINAL - {S.NOT_PLACED}) | {S.INTENT, S.SUBMITTED, S.OPEN, S.PARTIAL},
}
OUR_OWN = {E.SUBMIT, E.DENY, E.REQUEST_CANCEL, E.REQUEST_REPLACE, E.LOSE_ANSWER}


def _legal() -> list[tuple[OrderState, OrderEvent, OrderState]]:
    edges = []
    for line in TABLE.strip().splitlines():
        state, cells = line.split(": ")
        for cell in cells.split():
            event, target = cell.split(">")
            edges.append((S(state), E(event), S(target)))
    return edges


def _reachable(start: OrderState) -> set[OrderState]:
    """Where our own requests and lost answers can bring an order, without a word from the venue."""
    seen, todo = {start}, [start]
    while todo:
        state = todo.pop()
        for event in (E.REQUEST_CANCEL, E.REQUEST_REPLACE, E.LOSE_ANSWER):
            target = _after(state, event)
            if target is not None and target not in seen:
                seen.add(target)
                todo.append(target)
    return seen


def _after(state: OrderState, event: OrderEvent) -> OrderState | None:
    try:
        return after(state, event)
    except IllegalTransition:
        return None


@pytest.mark.parametrize(("state", "event", "target"), _legal())
def test_a_legal_event_leads_where_the_table_says(
    state: OrderState, event: OrderEvent, target: OrderState
) -> None:
    assert after(state, event) is target


@pytest.mark.parametrize(
    ("state", "event"), [(s, e) for e, states in NEVER.items() for s in sorted(states, key=str)]
)
def test_an_illegal_event_raises_and_names_both(state: OrderState, event: OrderEvent) -> None:
    with pytest.raises(IllegalTransition, match=f"{state} cannot {event}"):
        after(state, event)


def test_an_illegal_transition_stops_trading_like_any_corruption() -> None:
    assert issubclass(IllegalTransition, Corrupt)


def test_every_state_is_either_working_or_final() -> None:
    assert {
        S.FILLED, S.CANCELED, S.EXPIRED, S.REJECTED, S.DENIED, S.NOT_PLACED,
    } == FINAL  # fmt: skip
    assert set(S) == FINAL | WORKING and not FINAL & WORKING


@pytest.mark.parametrize("state", sorted(WORKING, key=str))
def test_every_working_state_can_become_unknown(state: OrderState) -> None:
    assert after(state, E.LOSE_ANSWER) is S.UNKNOWN


@pytest.mark.parametrize("event", sorted(OUR_OWN, key=str))
def test_unknown_is_never_left_without_evidence_from_the_venue(event: OrderEvent) -> None:
    assert _after(S.UNKNOWN, event) in (None, S.UNKNOWN)


@pytest.mark.parametrize("state", sorted(FINAL, key=str))
def test_a_late_fill_changes_no_final_state(state: OrderState) -> None:
    assert after(state, E.FILL_PART) is after(state, E.FILL_REST) is state


@pytest.mark.parametrize("event", [E.ACCEPT, E.REJECT, E.FILL_PART, E.FILL_REST, E.EXPIRE, E.LOSE_ANSWER])
def test_the_first_answer_to_an_order_is_legal_whatever_we_asked_meanwhile(event: OrderEvent) -> None:
    deaf = {state for state in _reachable(S.SUBMITTED) if _after(state, event) is None}
    assert deaf == set()


def test_proof_of_absence_is_legal_whatever_we_asked_of_an_unknown_order() -> None:
    ends = {_after(state, E.PROVE_ABSENT) for state in _reachable(S.UNKNOWN)}
    assert ends == {S.NOT_PLACED}
