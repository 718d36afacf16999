"""The LLM client: every call ends in a value, either an answer or the code of why there is none."""

import math
from collections import Counter
from collections.abc import Hashable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec
from pydantic import BaseModel

from autohedge.config.sections import LLMSettings
from autohedge.core.redaction import redacted
from autohedge.llm import context_window
from autohedge.llm.backend import LLMBackend, LLMRequest, Message
from autohedge.llm.cache.slots import Semaphore
from autohedge.llm.outcome import ACCEPTED, REPAIRED, Call, Outcome, Priority
from autohedge.llm.parsing import Check, ParsedAnswer, parse_answer
from autohedge.llm.prices import NO_PRICES, PriceTable
from autohedge.llm.queue import Dropped, LLMQueue
from autohedge.llm.reasoning_marks import without_reasoning
from autohedge.llm.redaction import clean_request
from autohedge.llm.senders import DEADLINE, LATE_TEXT, Attempt, Sender
from autohedge.llm.usage import TokenUsage

Answer = TypeVar("Answer", bound=BaseModel)
QUOTED_CHARS = 1000


@dataclass(frozen=True, slots=True)
class ClientStats:
    """Counts of all outcomes so far; `calls` are the requests that were sent, including retries."""

    asked: int
    accepted: int
    repairs: int
    repaired: int
    abstentions: dict[str, int]
    calls: int
    prompt_tokens: int
    completion_tokens: int
    drops: dict[str, int]
    high_water: int


@dataclass(frozen=True, slots=True)
class _AnswerSpec(Generic[Answer]):
    """The requirements of an answer: its type, a further check, and the deadline."""

    answer: type[Answer]
    check: Check[Answer] | None
    deadline: float


class LLMClient:
    """A client for one model: queue, sending, validation, one repair.

    `slots` is the semaphore that several processes share. A slot is acquired after the turn in this process's
    queue, and released before it. `prices` are those of the models, for the budget and for what calls cost.
    """

    def __init__(
        self,
        sender: Sender,
        settings: LLMSettings,
        slots: Semaphore | None = None,
        prices: PriceTable = NO_PRICES,
    ) -> None:
        self.sender, self.prices = sender, prices
        sender.budget.prices = prices
        self.queue = LLMQueue(settings.queue_size, settings.max_concurrent, sender.now)
        self._slots = slots
        self._codes: Counter[str] = Counter()
        self._repairs = 0

    @property
    def backend(self) -> LLMBackend:
        """The backend that the answers come from."""
        return self.sender.backend

    async def ask(
        self,
        request: LLMRequest,
        answer: type[Answer],
        *,
        lane: Priority,
        key: Hashable | None = None,
        deadline_s: float | None = None,
        check: Check[Answer] | None = None,
    ) -> Outcome[Answer]:
        """Returns an answer that passes `check`, or the code of why there is none.

        An invalid answer is returned to the model once, together with its error, for a repair. The code of an
        abstention is that of the last request that was sent, or the reason why the first one could not be
        sent. Failures of model and server never raise; programming errors and cancellation do.
        """
        began = self.now()
        question = _AnswerSpec(answer, check, math.inf if deadline_s is None else began + deadline_s)
        outcome = await self._queued(clean_request(request), question, lane, key)
        self._codes[outcome.code] += 1
        return outcome

    def carry_usage(self, spent: TokenUsage) -> None:
        """Adds the usage of the run before this process, so that the budget covers the whole run."""
        self.sender.budget.add_usage(spent)

    def now(self) -> float:
        """Returns the sender's monotonic time in seconds."""
        return self.sender.now()

    @property
    def counts(self) -> ClientStats:
        """Counts of all outcomes so far."""
        codes, drops = dict(sorted(self._codes.items())), dict(sorted(self.queue.counts.items()))
        spent = self.sender.budget.spent
        return ClientStats(
            asked=self._codes.total(),
            accepted=codes.pop(ACCEPTED, 0),
            repaired=codes.pop(REPAIRED, 0),
            repairs=self._repairs,
            abstentions=codes,
            calls=spent.calls,
            prompt_tokens=spent.prompt_tokens,
            completion_tokens=spent.completion_tokens,
            drops=drops,
            high_water=self.queue.high_water,
        )

    async def close(self) -> None:
        """Ends all waiting requests with `cancelled`, and closes the backend."""
        self.queue.close()
        await self.backend.close()

    async def _queued(
        self, request: LLMRequest, question: _AnswerSpec[Answer], lane: Priority, key: Hashable | None
    ) -> Outcome[Answer]:
        began = self.now()
        # Checked before the queue too, so that a request that cannot be sent takes no place in it.
        refused = self.sender.refusal(request)
        if refused is not None:
            return _not_sent(request, refused, 0.0)
        try:
            # The queue first: a shared slot must not be held while waiting in the queue of one process.
            async with self.queue.slot(lane, key, question.deadline), self._slot(question.deadline):
                return await self._ask_and_repair(request, question, _ms(self.now() - began))
        except Dropped as dropped:
            return _not_sent(request, Attempt(None, dropped.code, str(dropped)), _ms(self.now() - began))

    def _slot(self, deadline: float) -> AbstractAsyncContextManager[None]:
        return self._slots.acquire(deadline) if self._slots else nullcontext()

    async def _ask_and_repair(
        self, request: LLMRequest, question: _AnswerSpec[Answer], queue_ms: float
    ) -> Outcome[Answer]:
        call, parsed = await self._send_and_parse(request, question, queue_ms, ACCEPTED)
        if parsed.answer is not None or parsed.final or call.response is None:
            return Outcome(parsed.answer, call.outcome, (call,))
        # The repair keeps the slot: behind other requests it could miss the deadline.
        second, better = await self._send_and_parse(_repair(request, call), question, 0.0, REPAIRED)
        self._repairs += bool(second.tries)
        return Outcome(better.answer, (second if second.tries else call).outcome, (call, second))

    async def _send_and_parse(
        self, request: LLMRequest, question: _AnswerSpec[Answer], queue_ms: float, good: str
    ) -> tuple[Call, ParsedAnswer[Answer]]:
        sent = await self.sender.send(request, question.deadline)
        parsed = self._judged(request, question, sent)
        code = parsed.code if parsed.answer is None else good
        return Call(request, sent.response, code, parsed.text, parsed.parse, sent.tries, queue_ms), parsed

    def _judged(
        self, request: LLMRequest, question: _AnswerSpec[Answer], sent: Attempt
    ) -> ParsedAnswer[Answer]:
        if sent.response is None:
            return ParsedAnswer(None, sent.code, sent.text, final=True)
        if self.now() >= question.deadline:
            return ParsedAnswer(None, DEADLINE, LATE_TEXT, final=True)
        prompt_cut = context_window.truncation_error(request, sent.response)
        if prompt_cut:
            return ParsedAnswer(None, "prompt_cut", prompt_cut, final=True)
        return parse_answer(sent.response, request, question.answer, question.check)


def _not_sent(request: LLMRequest, refused: Attempt, queue_ms: float) -> Outcome[Any]:
    call = Call(request, None, refused.code, refused.text, "", 0, queue_ms)
    return Outcome(None, refused.code, (call,))


def _repair(request: LLMRequest, bad: Call) -> LLMRequest:
    """Returns the request extended by the invalid answer and a description of its error."""
    bad_answer = without_reasoning(bad.response.text) if bad.response else ""
    wrong = (
        f"That cannot be used: {bad.failure}. "
        "Answer again with one JSON object that fits the schema, and nothing else."
    )
    quoted = Message("assistant", bad_answer[:QUOTED_CHARS] or "(nothing)")
    return msgspec.structs.replace(
        request, messages=(*request.messages, quoted, Message("user", redacted(wrong)))
    )


def _ms(seconds: float) -> float:
    return seconds * 1000.0
