"""A request that is known to the byte is not sent again, and comes to what it came to."""

import asyncio

import msgspec
import pytest

from autohedge.llm.asking import Asker
from autohedge.llm.backend import ModelFailure, Request, Response
from autohedge.llm.knowing import Knowing
from autohedge.llm.outcome import Call, Outcome
from autohedge.llm.transcript import Line, line_of
from tests.llm.questions import GOOD, Clock, Reply, Script, Verdict, asked, llm, said

DEADLINE_S = 10.0
CLOCK = Clock()


def _late(_: Request) -> Response:
    CLOCK.now_s += 2 * DEADLINE_S
    return said(GOOD)


def _outcome(asker: Asker, request: Request) -> Outcome[Verdict]:
    return asyncio.run(asker.ask(request, Verdict, lane="gate", deadline_s=DEADLINE_S))


def _untimed(outcome: Outcome[Verdict]) -> list[Call]:
    return [msgspec.structs.replace(call, queue_ms=0.0) for call in outcome.calls]


def _lines(*replies: Reply) -> tuple[Outcome[Verdict], list[Line]]:
    CLOCK.now_s = 0.0
    then = _outcome(Asker(Script(*replies), llm(retries=0), CLOCK), asked())
    return then, [line_of(1, number, call, 0) for number, call in enumerate(then.calls)]


@pytest.mark.parametrize(
    ("replies", "code"),
    [
        ([said(GOOD)], "accepted"),
        ([said("Buy!"), said(GOOD)], "repaired"),
        ([said("Buy!"), said("Buy!!")], "no_json"),
        ([_late], "deadline"),
        ([said("Buy!"), _late], "deadline"),
        ([ModelFailure("server_error", "no")], "server_error"),
        ([said("Buy!"), ModelFailure("unauthorized", "no")], "unauthorized"),
    ],
)
def test_what_is_known_comes_to_the_same_and_asks_nobody(replies: list[Reply], code: str) -> None:
    then, lines = _lines(*replies)
    backend = Script()
    asker = Knowing(backend, llm(retries=0))
    asker.begin(lines)
    now = _outcome(asker, asked())
    assert (now.answer, now.code, _untimed(now)) == (then.answer, code, _untimed(then))
    assert (backend.requests, asker.taken, asker.left, asker.service_ms) == ([], len(lines), 0, 0.0)


def test_another_request_is_sent() -> None:
    _, lines = _lines(said(GOOD))
    backend = Script(said(GOOD))
    asker = Knowing(backend, llm(retries=0))
    asker.begin(lines)
    assert _outcome(asker, asked("Another question")).code == "accepted"
    assert (len(backend.requests), asker.taken, asker.left, asker.service_ms) == (1, 0, 1, 12.5)


def test_an_answer_is_taken_once_and_not_in_the_next_deliberation() -> None:
    _, lines = _lines(said(GOOD))
    backend = Script(said(GOOD), said(GOOD))
    asker = Knowing(backend, llm(retries=0))
    asker.begin(lines)
    for _ in range(2):
        assert _outcome(asker, asked()).code == "accepted"
    asker.begin([])
    assert _outcome(asker, asked()).code == "accepted"
    assert (asker.taken, asker.left) == (1, 2)


def test_a_late_answer_ends_the_time_of_its_own_deliberation_alone() -> None:
    _, lines = _lines(_late)
    asker = Knowing(Script(said(GOOD)), llm(retries=0))
    asker.begin(lines)
    assert _outcome(asker, asked()).code == "deadline"
    asker.begin([])
    assert _outcome(asker, asked()).code == "accepted"
