"""Asked from a record, the same question comes to the same outcome, whatever happened then."""

import asyncio
from typing import Any

import pytest

from autohedge.llm.asking import Asker
from autohedge.llm.backend import ModelFailure, Request, Response, Usage
from autohedge.llm.outcome import Call, Outcome
from autohedge.llm.replaying import Nobody, Replaying
from autohedge.llm.transcript import line_of
from tests.llm.questions import GOOD, Clock, Reply, Script, Verdict, asked, llm, said

DEADLINE_S = 10.0
CLOCK = Clock()


def _late(_: Request) -> Response:
    CLOCK.now_s += 2 * DEADLINE_S
    return said(GOOD)


def _outcome(asker: Asker, request: Request) -> Outcome[Verdict]:
    return asyncio.run(asker.ask(request, Verdict, lane="gate", deadline_s=DEADLINE_S))


def _again(calls: tuple[Call, ...], request: Request, **changed: Any) -> Outcome[Verdict]:
    asker = Replaying(llm(**changed))
    asker.begin([line_of(1, number, call, 0) for number, call in enumerate(calls)])
    return _outcome(asker, request)


@pytest.mark.parametrize(
    ("replies", "changed", "code"),
    [
        ([said(GOOD)], {}, "accepted"),
        ([said("Buy!"), said(GOOD)], {}, "repaired"),
        ([said("Buy!"), said("Buy!!")], {}, "no_json"),
        ([said("", refusal="No.")], {}, "refusal"),
        ([said(GOOD, usage=Usage(1, 9))], {}, "prompt_cut"),
        ([_late], {}, "deadline"),
        ([said("Buy!"), _late], {}, "deadline"),
        ([ModelFailure("bad_request", "no")], {}, "bad_request"),
        ([ModelFailure("context_overflow", "too long")], {}, "context_overflow"),
        ([OSError("gone")], {}, "backend_error"),
        ([said("Buy!"), ModelFailure("unauthorized", "no")], {}, "unauthorized"),
        ([said("Buy!")], {"max_calls": 1}, "no_json"),
        ([], {"context_tokens": 512}, "context_overflow"),
        ([], {"context_tokens": 512, "max_tokens": 1}, "budget"),
    ],
)
def test_the_same_question_comes_to_the_same_outcome(
    replies: list[Reply], changed: dict[str, Any], code: str
) -> None:
    CLOCK.now_s = 0.0
    request = asked("Trade BTC/USD? " * 200 if "context_tokens" in changed else "Trade?" * 20)
    then = _outcome(Asker(Script(*replies), llm(retries=0, **changed), CLOCK), request)
    assert then.code == code
    assert _again(then.calls, request, **changed) == then


def test_more_requests_than_were_recorded_have_a_code_of_their_own() -> None:
    bad = Call(asked(), said("Buy!"), "no_json", "", "", 1, 0.0)
    found = _again((bad,), asked())
    assert [call.outcome for call in found.calls] == ["no_json", "unrecorded"]


def test_a_request_is_held_against_the_context_whatever_the_record_says() -> None:
    left = Call(asked("x " * 5000), said(GOOD), "accepted", "", "direct", 1, 0.0)
    assert _again((left,), left.request, context_tokens=512).code == "context_overflow"
    kept = Call(asked(), None, "context_overflow", "too long", "", 0, 0.0)
    assert _again((kept,), kept.request).code == "unrecorded"


def test_nobody_is_asked() -> None:
    with pytest.raises(ModelFailure, match="asks nobody"):
        asyncio.run(Nobody().complete(asked()))
