"""The LLM client: every call ends in a value, either an answer or the code of why there is none."""

import asyncio
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Hashable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec
from pydantic import BaseModel

from autohedge.config.sections import LLMSettings
from autohedge.core.clock import monotonic_s
from autohedge.core.ids import Randomness, fresh_nonce, seeded_random
from autohedge.core.redaction import redacted
from autohedge.llm import context_window
from autohedge.llm.backend import LLMBackend, LLMError, LLMRequest, LLMResponse, Message, answer_tokens
from autohedge.llm.cache.slots import Semaphore
from autohedge.llm.outcome import ACCEPTED, REPAIRED, Call, Outcome, Priority
from autohedge.llm.parsing import Check, ParsedAnswer, one_line, parse_answer
from autohedge.llm.policy import OF_THE_REQUEST, Breaker, Budget, Retries, sleep
from autohedge.llm.queue import Dropped, LLMQueue
from autohedge.llm.reasoning_marks import without_reasoning
from autohedge.llm.redaction import clean_request, clean_response
from autohedge.llm.usage import TokenUsage, usage_of

Answer = TypeVar("Answer", bound=BaseModel)
QUOTED_CHARS = 1000
FAILURE_CHARS = 300
DEADLINE = "deadline"
LATE_TEXT = "the deadline passed before the answer came"


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


@dataclass(slots=True)
class Attempt:
    """The result of sending a request: the response, or the code and the description of the failure."""

    response: LLMResponse | None = None
    code: str = ""
    text: str = ""
    tries: int = 0


class _Broken(Exception):
    """A backend raised an exception other than LLMError."""


class _Spent(Exception):
    """The budget does not allow a further try."""


class LLMClient:
    """A client for one model: budget, circuit breaker, context check, queue, retries, validation, one repair.

    `now` is monotonic, in seconds; `pause` waits between tries. `slots` is the semaphore that several
    processes share. A slot is acquired after the turn in this process's queue, and released before it.
    """

    def __init__(
        self,
        backend: LLMBackend,
        settings: LLMSettings,
        now: Callable[[], float] = monotonic_s,
        *,
        jitter: Randomness | None = None,
        pause: Callable[[float], Awaitable[None]] = sleep,
        slots: Semaphore | None = None,
    ) -> None:
        self.backend = backend
        self.queue = LLMQueue(settings.queue_size, settings.max_concurrent, now)
        self._context_tokens = settings.context_tokens
        self._now, self._slots = now, slots
        self._retries = Retries(
            settings.retries, now, jitter or seeded_random(fresh_nonce(), "retries"), pause
        )
        self._breaker = Breaker(settings.breaker_failures, settings.breaker_pause_s, now)
        self._budget = Budget(settings.max_calls, settings.max_tokens)
        self._read_prompts = context_window.ReadPrompts()
        self._codes: Counter[str] = Counter()
        self._repairs = 0

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
        began = self._now()
        question = _AnswerSpec(answer, check, math.inf if deadline_s is None else began + deadline_s)
        outcome = await self._queued(clean_request(request), question, lane, key)
        self._codes[outcome.code] += 1
        return outcome

    async def send(self, request: LLMRequest, deadline: float) -> Attempt:
        """Sends a request under budget, breaker and retries; no other code sends requests."""
        if self._now() >= deadline:
            return Attempt(None, DEADLINE, LATE_TEXT)
        refused = self._refusal(request)
        if refused is not None:
            return refused
        # Every way out must leave the breaker: a trial that stays open would block all calls for ever.
        sent, trial = Attempt(), self._breaker.enter()
        try:
            await self._send_with_retries(request, sent, deadline)
        finally:
            self._breaker.leave(trial=trial)
        self._notify_breaker(sent, trial=trial)
        return sent

    def carry_usage(self, spent: TokenUsage) -> None:
        """Adds the usage of the run before this process, so that the budget covers the whole run."""
        self._budget.add_usage(spent)

    def now(self) -> float:
        """Returns the client's monotonic time in seconds."""
        return self._now()

    @property
    def counts(self) -> ClientStats:
        """Counts of all outcomes so far."""
        codes, drops = dict(sorted(self._codes.items())), dict(sorted(self.queue.counts.items()))
        return ClientStats(
            asked=self._codes.total(),
            accepted=codes.pop(ACCEPTED, 0),
            repaired=codes.pop(REPAIRED, 0),
            repairs=self._repairs,
            abstentions=codes,
            calls=self._budget.calls,
            prompt_tokens=self._budget.prompt_tokens,
            completion_tokens=self._budget.completion_tokens,
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
        began = self._now()
        # Checked before the queue too, so that a request that cannot be sent takes no place in it.
        refused = self._refusal(request)
        if refused is not None:
            return _not_sent(request, refused, 0.0)
        try:
            # The queue first: a shared slot must not be held while waiting in the queue of one process.
            async with self.queue.slot(lane, key, question.deadline), self._slot(question.deadline):
                return await self._ask_and_repair(request, question, _ms(self._now() - began))
        except Dropped as dropped:
            return _not_sent(request, Attempt(None, dropped.code, str(dropped)), _ms(self._now() - began))

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
        sent = await self.send(request, question.deadline)
        parsed = self._judged(request, question, sent)
        code = parsed.code if parsed.answer is None else good
        return Call(request, sent.response, code, parsed.text, parsed.parse, sent.tries, queue_ms), parsed

    def _judged(
        self, request: LLMRequest, question: _AnswerSpec[Answer], sent: Attempt
    ) -> ParsedAnswer[Answer]:
        if sent.response is None:
            return ParsedAnswer(None, sent.code, sent.text, final=True)
        if self._now() >= question.deadline:
            return ParsedAnswer(None, DEADLINE, LATE_TEXT, final=True)
        prompt_cut = context_window.truncation_error(request, sent.response)
        if prompt_cut:
            return ParsedAnswer(None, "prompt_cut", prompt_cut, final=True)
        return parse_answer(sent.response, request, question.answer, question.check)

    def _worst_tokens(self, request: LLMRequest) -> int:
        return context_window.prompt_tokens(request) + answer_tokens(self.backend, request)

    def _refusal(self, request: LLMRequest) -> Attempt | None:
        """Returns why a request must not be sent, or None."""
        # In this order: the first reason is the one that is reported.
        reasons = {
            "budget": self._budget.reason_blocked(self._worst_tokens(request)),
            "breaker_open": self._blocked(),
            "context_overflow": context_window.overflow_error(request, self._context_tokens),
        }
        return next((Attempt(None, code, text) for code, text in reasons.items() if text), None)

    def _blocked(self) -> str:
        """Returns why no request may be sent now, or an empty string."""
        return self._breaker.reason_blocked()

    def _notify_breaker(self, sent: Attempt, *, trial: bool) -> None:
        """Reports to the breaker what a call showed about the server."""
        # A deadline or budget of our own shows nothing about the server.
        if sent.response is not None or sent.code in OF_THE_REQUEST:
            self._breaker.on_success()
        elif sent.code not in {DEADLINE, "budget"}:
            self._breaker.on_failure(trial=trial)

    async def _send_with_retries(self, request: LLMRequest, sent: Attempt, deadline: float) -> None:
        async def once() -> LLMResponse:
            # Each try by itself: the client's time may stand still during the pauses between them.
            async with asyncio.timeout(None if math.isinf(deadline) else deadline - self._now()):
                return await self._attempt(request, sent)

        try:
            sent.response = await self._retries.run(once, deadline)
        except LLMError as failure:
            sent.code, sent.text = failure.code, _error_line(failure)
        except _Broken as broken:
            sent.code, sent.text = "backend_error", _error_line(broken)
        except _Spent as spent:
            sent.code, sent.text = "budget", str(spent)
        except TimeoutError:
            sent.code, sent.text = DEADLINE, LATE_TEXT

    async def _attempt(self, request: LLMRequest, sent: Attempt) -> LLMResponse:
        # Checked for each try: other calls may have used up the budget during the pause.
        worst = self._worst_tokens(request)
        spent = self._budget.reason_blocked(worst)
        if spent:
            raise _Spent(spent)
        sent.tries += 1
        self._budget.reserve(worst)
        response: LLMResponse | None = None
        try:
            response = await self._complete(request)
        finally:
            self._budget.settle(worst, usage_of(request, response))
        return response

    async def _complete(self, request: LLMRequest) -> LLMResponse:
        try:
            async with asyncio.timeout(request.timeout_s or None) as limit:
                response = clean_response(await self.backend.complete(request))
                return self._read_prompts.counted(request, response)
        except LLMError:
            raise
        except Exception as error:
            # A backend may raise a TimeoutError of its own, which is an error in the backend.
            if isinstance(error, TimeoutError) and limit.expired():
                raise LLMError("timeout", _over_time(request)) from None
            raise _Broken(f"{type(error).__name__}: {error}") from error


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


def _over_time(request: LLMRequest) -> str:
    return (
        f"{request.agent} had no answer in {request.timeout_s:g} s; "
        "raise its timeout_s or name it a smaller model"
    )


def _error_line(error: Exception) -> str:
    return one_line(redacted(str(error)), FAILURE_CHARS)


def _ms(seconds: float) -> float:
    return seconds * 1000.0
