"""What calls cost: whoever reads of them counts what was counted when they were made."""

import asyncio
from collections.abc import Sequence

import pytest

from autohedge.core.ids import randomness
from autohedge.llm.asking import Asker
from autohedge.llm.backend import Usage
from autohedge.llm.scripted import Line, Scripted
from autohedge.llm.spending import Spent, spent_on
from tests.llm.questions import GOOD, Clock, Verdict, asked, llm

CASES: dict[str, Sequence[str | Line]] = {
    "at once": [GOOD],
    "counted by the server": [Line(GOOD, usage=Usage(1_000, 7))],
    "repaired": ["prose", GOOD],
    "after a failure": [Line(failure="server_error"), Line(GOOD, usage=Usage(900, 5))],
    "never": [Line(failure="timeout")],
}


async def _no_time(_: float) -> None:
    """Let no time pass."""


@pytest.mark.parametrize("answers", CASES.values(), ids=CASES)
def test_a_reader_counts_what_the_asker_counted(answers: Sequence[str | Line]) -> None:
    async def both() -> tuple[Spent, Spent]:
        clock = Clock()
        asker = Asker(
            Scripted(answers), llm(retries=1), clock, jitter=randomness("n", "retries"), pause=_no_time
        )
        outcome = await asker.ask(asked(), Verdict, lane="gate")
        counts = asker.counts
        return Spent(counts.calls, counts.prompt_tokens, counts.completion_tokens), spent_on(outcome.calls)

    counted, read = asyncio.run(both())
    assert counted == read and counted.calls >= 1 and counted.prompt_tokens > 0


def test_what_was_spent_before_is_spent() -> None:
    async def code() -> str:
        asker = Asker(Scripted([GOOD]), llm(max_calls=5), Clock())
        asker.spent_before(Spent(4, 10, 10) + Spent(1))
        return (await asker.ask(asked(), Verdict, lane="gate")).code

    assert asyncio.run(code()) == "budget"
