"""Chaos injects every fault that it lists, reproducibly."""

import asyncio
import json

import msgspec
import pytest

from autohedge.core.errors import Misconfigured
from autohedge.llm.backend import LLMError, LLMRequest, LLMResponse
from autohedge.llm.backends.chaos import CODES, FAULTS, ChaosBackend
from autohedge.llm.backends.scripted import ScriptedBackend
from tests.llm.backend_harness import a_request, complete_sync

ANSWER = '{"symbol": "BTC/USD", "action": "trade", "confidence_pct": 70}'


def _chaos(*faults: str, share: float = 1.0, nonce: str = "n") -> ChaosBackend:
    return ChaosBackend(ScriptedBackend([ANSWER]), nonce, share=share, faults=faults or FAULTS)


def _spoiled(fault: str) -> LLMResponse:
    return complete_sync(lambda: _chaos(fault))


def test_prose_empty_and_refusal_faults_hold_no_answer() -> None:
    assert "{" not in _spoiled("prose").text
    assert _spoiled("empty").text == ""
    refused = _spoiled("refusal")
    assert (refused.text, bool(refused.refusal)) == ("", True)


def test_truncated_fault_is_a_prefix_with_finish_reason_length() -> None:
    cut = _spoiled("truncated")
    assert ANSWER.startswith(cut.text) and cut.text != ANSWER and cut.finish_reason == "length"


@pytest.mark.parametrize("fault", ["fenced", "thinking"])
def test_fenced_and_thinking_faults_contain_whole_answer(fault: str) -> None:
    wrapped = _spoiled(fault).text
    assert ANSWER in wrapped and wrapped != ANSWER


def test_withdrawn_fault_takes_the_answer_back_in_prose() -> None:
    text = _spoiled("withdrawn").text
    assert text.startswith(ANSWER) and "not trade" in text.removeprefix(ANSWER)


def test_numbers_leave_their_range_and_symbols_are_wrong() -> None:
    assert not 0 <= json.loads(_spoiled("out_of_range").text)["confidence_pct"] <= 100
    assert json.loads(_spoiled("wrong_symbol").text)["symbol"] == "NO/SUCH"


@pytest.mark.parametrize("code", CODES)
def test_every_failure_code_can_be_raised(code: str) -> None:
    with pytest.raises(LLMError) as caught:
        complete_sync(lambda: _chaos(code))
    assert caught.value.code == code


def _fates(chaos: ChaosBackend, requests: list[LLMRequest]) -> dict[str, str]:
    """Returns the result of each request by its prompt."""

    async def fate(request: LLMRequest) -> str:
        try:
            return (await chaos.complete(request)).text
        except LLMError as failure:
            return failure.code

    async def run() -> dict[str, str]:
        return {request.prompt_hash: await fate(request) for request in requests}

    return asyncio.run(run())


def _requests(count: int) -> list[LLMRequest]:
    return [msgspec.structs.replace(a_request(), prompt_hash=str(n)) for n in range(count)]


def test_seed_determines_fault_of_prompt_regardless_of_order() -> None:
    forward, back = _requests(60), _requests(60)[::-1]
    once = _fates(_chaos(share=0.5), forward)
    assert once == _fates(_chaos(share=0.5), back)
    assert once != _fates(_chaos(share=0.5, nonce="other"), forward)
    untouched = sum(text == ANSWER for text in once.values())
    assert 15 < untouched < 45


def test_all_failure_codes_occur_and_none_with_zero_share() -> None:
    failed = {text for text in _fates(_chaos(), _requests(400)).values() if text in CODES}
    assert failed == set(CODES)
    assert set(_fates(_chaos(share=0.0), _requests(20)).values()) == {ANSWER}


def test_repeated_request_draws_different_faults() -> None:
    chaos = _chaos()
    assert len({str(_fates(chaos, _requests(1))) for _ in range(20)}) > 3


def test_unknown_fault_name_is_misconfigured() -> None:
    with pytest.raises(Misconfigured, match="no such fault: gloom; there are prose, "):
        _chaos("gloom")
