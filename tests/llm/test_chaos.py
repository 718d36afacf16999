"""Chaos spoils answers in every way it names, and the same way each time."""

import asyncio
import json

import msgspec
import pytest

from autohedge.core.errors import Misconfigured
from autohedge.llm.backend import ModelFailure, Request, Response
from autohedge.llm.chaos import CODES, FAULTS, Chaos
from autohedge.llm.scripted import Scripted
from tests.llm.asking import a_request, ask

ANSWER = '{"symbol": "BTC/USD", "action": "trade", "confidence_pct": 70}'


def _chaos(*faults: str, share: float = 1.0, nonce: str = "n") -> Chaos:
    return Chaos(Scripted([ANSWER]), nonce, share=share, faults=faults or FAULTS)


def _spoiled(fault: str) -> Response:
    return ask(lambda: _chaos(fault))


def test_prose_refusals_and_silence_hold_no_answer() -> None:
    assert "{" not in _spoiled("prose").text
    assert _spoiled("empty").text == ""
    refused = _spoiled("refusal")
    assert (refused.text, bool(refused.refusal)) == ("", True)


def test_a_truncated_answer_is_a_beginning_and_says_so() -> None:
    cut = _spoiled("truncated")
    assert ANSWER.startswith(cut.text) and cut.text != ANSWER and cut.finish_reason == "length"


@pytest.mark.parametrize("fault", ["fenced", "thinking"])
def test_a_wrapped_answer_is_still_inside(fault: str) -> None:
    wrapped = _spoiled(fault).text
    assert ANSWER in wrapped and wrapped != ANSWER


def test_numbers_leave_their_range_and_symbols_are_wrong() -> None:
    assert not 0 <= json.loads(_spoiled("out_of_range").text)["confidence_pct"] <= 100
    assert json.loads(_spoiled("wrong_symbol").text)["symbol"] == "NO/SUCH"


@pytest.mark.parametrize("code", CODES)
def test_every_code_of_a_failure_can_come(code: str) -> None:
    with pytest.raises(ModelFailure) as caught:
        ask(lambda: _chaos(code))
    assert caught.value.code == code


def _fates(chaos: Chaos, requests: list[Request]) -> dict[str, str]:
    """What becomes of each request, by its prompt."""

    async def fate(request: Request) -> str:
        try:
            return (await chaos.complete(request)).text
        except ModelFailure as failure:
            return failure.code

    async def run() -> dict[str, str]:
        return {request.prompt_hash: await fate(request) for request in requests}

    return asyncio.run(run())


def _requests(count: int) -> list[Request]:
    return [msgspec.structs.replace(a_request(), prompt_hash=str(n)) for n in range(count)]


def test_a_seed_decides_what_becomes_of_a_prompt_whatever_is_asked_before_it() -> None:
    forward, back = _requests(60), _requests(60)[::-1]
    once = _fates(_chaos(share=0.5), forward)
    assert once == _fates(_chaos(share=0.5), back)
    assert once != _fates(_chaos(share=0.5, nonce="other"), forward)
    untouched = sum(text == ANSWER for text in once.values())
    assert 15 < untouched < 45


def test_all_faults_come_in_the_long_run_and_none_without_a_share() -> None:
    failed = {text for text in _fates(_chaos(), _requests(400)).values() if text in CODES}
    assert failed == set(CODES)
    assert set(_fates(_chaos(share=0.0), _requests(20)).values()) == {ANSWER}


def test_the_same_question_again_meets_another_fate() -> None:
    chaos = _chaos()
    assert len({str(_fates(chaos, _requests(1))) for _ in range(20)}) > 3


def test_a_fault_that_does_not_exist_is_told() -> None:
    with pytest.raises(Misconfigured, match="no such fault: gloom; there are prose, "):
        _chaos("gloom")
