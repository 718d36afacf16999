"""Usage: readers of a transcript count the same as the client did."""

import asyncio
from collections.abc import Sequence
from decimal import Decimal

import msgspec
import pytest

from autohedge.config.model_settings import ModelSettings
from autohedge.core.ids import seeded_random
from autohedge.llm.backend import Usage
from autohedge.llm.backends.scripted import ScriptedBackend, ScriptLine
from autohedge.llm.client import LLMClient
from autohedge.llm.prices import PriceTable
from autohedge.llm.senders import ServerSender
from autohedge.llm.usage import TokenUsage, total_usage, usage_of
from tests.llm.request_factory import GOOD, Clock, Verdict, llm, make_request, make_response

CASES: dict[str, Sequence[str | ScriptLine]] = {
    "at once": [GOOD],
    "counted by the server": [ScriptLine(GOOD, usage=Usage(1_000, 7))],
    "repaired": ["prose", GOOD],
    "after a failure": [ScriptLine(failure="server_error"), ScriptLine(GOOD, usage=Usage(900, 5))],
    "never": [ScriptLine(failure="timeout")],
}
PRICES = PriceTable({"script": ModelSettings(price_in=Decimal(3), price_out=Decimal(15))}, "script")


async def _no_time(_: float) -> None:
    """Returns without waiting."""


@pytest.mark.parametrize("answers", CASES.values(), ids=CASES)
def test_usage_read_from_calls_equals_usage_counted_by_client(answers: Sequence[str | ScriptLine]) -> None:
    async def both() -> tuple[TokenUsage, TokenUsage]:
        terms, jitter = llm(retries=1), seeded_random("n", "retries")
        sender = ServerSender(ScriptedBackend(answers), terms, Clock(), jitter=jitter, pause=_no_time)
        client = LLMClient(sender, terms, prices=PRICES)
        outcome = await client.ask(make_request(), Verdict, lane="gate")
        return sender.budget.spent, total_usage(outcome.calls, PRICES)

    counted, read = asyncio.run(both())
    assert counted == read and counted.calls >= 1 and counted.prompt_tokens > 0
    assert counted.cost_usd * 10**6 == 3 * counted.prompt_tokens + 15 * counted.completion_tokens


def test_thoughts_that_no_server_counts_are_estimated() -> None:
    plain = make_response(GOOD)
    thoughtful = msgspec.structs.replace(plain, reasoning="The price rises, so a trade is due. " * 9)
    used = [usage_of(make_request(), response).completion_tokens for response in (plain, thoughtful)]
    assert used[1] > used[0] + 50
    counted = msgspec.structs.replace(thoughtful, usage=Usage(10, 99))
    assert usage_of(make_request(), counted) == Usage(10, 99)


def test_usage_carried_over_counts_against_budget() -> None:
    async def code() -> str:
        terms = llm(max_calls=5)
        client = LLMClient(ServerSender(ScriptedBackend([GOOD]), terms, Clock()), terms)
        client.carry_usage(TokenUsage(4, 10, 10) + TokenUsage(1))
        return (await client.ask(make_request(), Verdict, lane="gate")).code

    assert asyncio.run(code()) == "budget"
