"""On a tape an outage of the model's server costs time, not questions, up to `llm.max_wait_s`."""

import asyncio

import pytest

from autohedge.llm.backend import LLMError
from autohedge.llm.client import LLMClient
from autohedge.llm.outcome import Outcome
from autohedge.llm.senders import TapeSender
from tests.llm.request_factory import GOOD, Reply, Script, Verdict, llm, make_request, make_response

DOWN = LLMError("server_error", "loading")
SETTINGS = {"retries": 0, "breaker_failures": 2, "breaker_pause_s": 0.05}


def _client(*replies: Reply, lines: list[str] | None = None, **changes: float) -> LLMClient:
    terms = llm(**SETTINGS | changes)
    return LLMClient(TapeSender(Script(*replies), terms, ([] if lines is None else lines).append), terms)


async def _asked(client: LLMClient, deadline_s: float = 10.0) -> Outcome[Verdict]:
    return await client.ask(make_request(), Verdict, lane="gate", deadline_s=deadline_s)


async def _codes(client: LLMClient, count: int) -> list[str]:
    return [(await _asked(client)).code for _ in range(count)]


def test_outage_shorter_than_the_allowance_costs_only_the_calls_that_failed() -> None:
    lines: list[str] = []
    client = _client(DOWN, DOWN, DOWN, make_response(GOOD), make_response(GOOD), lines=lines)
    assert asyncio.run(_codes(client, 5)) == [*["server_error"] * 3, "accepted", "accepted"]
    assert len(lines) == 2 and "the model failed 2 times in a row" in lines[0]
    assert "llm.max_wait_s = 300 s" in lines[1]


def test_used_up_allowance_ends_questions_in_breaker_open() -> None:
    client = _client(*[DOWN] * 4, breaker_pause_s=0.5, max_wait_s=0.55)
    assert asyncio.run(_codes(client, 6)) == [*["server_error"] * 3, *["breaker_open"] * 3]


@pytest.mark.parametrize("name", ["rules", "scripted", "chaos"])
def test_no_pause_is_made_for_a_backend_without_a_server(name: str) -> None:
    backend = Script(DOWN, DOWN)
    backend.name = name
    client = LLMClient(TapeSender(backend, llm(**SETTINGS), pytest.fail), llm(**SETTINGS))
    assert asyncio.run(_codes(client, 3)) == ["server_error", "server_error", "breaker_open"]


def test_pause_does_not_count_towards_the_deadline() -> None:
    client = _client(DOWN, DOWN, make_response(GOOD), breaker_pause_s=1.0)

    async def play() -> str:
        await _codes(client, 2)
        return (await _asked(client, deadline_s=0.9)).code

    assert asyncio.run(play()) == "accepted"


def test_concurrent_calls_during_an_outage_wait_for_one_trial() -> None:
    client = _client(DOWN, DOWN, *[make_response(GOOD)] * 3)

    async def play() -> list[str]:
        await _codes(client, 2)
        return [outcome.code for outcome in await asyncio.gather(*(_asked(client) for _ in range(3)))]

    assert asyncio.run(play()) == ["accepted"] * 3


def test_pauses_before_retries_do_not_count_towards_the_deadline() -> None:
    busy = LLMError("rate_limited", "slow down", after_s=0.6)
    client = _client(busy, busy, make_response(GOOD), retries=2)
    assert asyncio.run(_asked(client, deadline_s=1.05)).code == "accepted"
