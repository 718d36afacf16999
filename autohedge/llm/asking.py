"""Asking a model so that whatever it or its server does comes back as a value: an answer, or why there is none."""

import asyncio
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Hashable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec
from pydantic import BaseModel

from autohedge.config.sections import LLM
from autohedge.core.clock import monotonic_s
from autohedge.core.ids import Randomness, fresh_nonce, randomness
from autohedge.llm import context
from autohedge.llm.answers import Check, Judged, judge, one_line, unthought
from autohedge.llm.backend import LLMBackend, Message, ModelFailure, Request, Response
from autohedge.llm.outcome import ACCEPTED, REPAIRED, Call, Lane, Outcome
from autohedge.llm.policy import OF_THE_REQUEST, Breaker, Budget, Retries, pause
from autohedge.llm.queue import Dropped, LLMQueue
from autohedge.llm.redaction import clean_request, clean_response, redacted
from autohedge.llm.slots import Slots
from autohedge.llm.spending import Spent, used

Answer = TypeVar("Answer", bound=BaseModel)
QUOTED_CHARS = 1000
FAILURE_CHARS = 300
LATE = "deadline"
LATE_TEXT = "the deadline passed before the answer came"


@dataclass(frozen=True, slots=True)
class Counts:
    """What came of all questions so far; `calls` are requests that left, retries included."""

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
class _Question(Generic[Answer]):
    """What an answer is held to."""

    answer: type[Answer]
    check: Check[Answer] | None
    deadline: float


@dataclass(slots=True)
class Sent:
    """A request on its way: the reply, or the code of why there is none, and a sentence about that."""

    response: Response | None = None
    code: str = ""
    text: str = ""
    tries: int = 0


class _Broken(Exception):
    """A backend raised what its contract does not know."""


class _Spent(Exception):
    """No retry: the budget is used up."""


class Asker:
    """One model and all that stands before it: budget, breaker, context, queue, retries, judgement, one repair.

    `now` is monotonic, in seconds; `pause` lets time pass between tries. `slots` are those that several processes
    share; one is taken after the place in the queue of this process, and given back before it.
    """

    def __init__(
        self,
        backend: LLMBackend,
        settings: LLM,
        now: Callable[[], float] = monotonic_s,
        *,
        jitter: Randomness | None = None,
        pause: Callable[[float], Awaitable[None]] = pause,
        slots: Slots | None = None,
    ) -> None:
        self.backend = backend
        self.queue = LLMQueue(settings.queue_size, settings.max_concurrent, now)
        self._context_tokens = settings.context_tokens
        self._now, self._slots = now, slots
        self._retries = Retries(settings.retries, now, jitter or randomness(fresh_nonce(), "retries"), pause)
        self._breaker = Breaker(settings.breaker_failures, settings.breaker_pause_s, now)
        self._budget = Budget(settings.max_calls, settings.max_tokens)
        self._codes: Counter[str] = Counter()
        self._repairs = 0

    async def ask(
        self,
        request: Request,
        answer: type[Answer],
        *,
        lane: Lane,
        key: Hashable | None = None,
        deadline_s: float | None = None,
        check: Check[Answer] | None = None,
    ) -> Outcome[Answer]:
        """An answer that passes `check`, or the code of why there is none; never an error of model or server.

        An answer that is no use is sent back once with what is wrong with it. The code of an abstention is
        that of the last request that left, or of why the first one could not. Only the caller's own
        mistakes and being cancelled raise.
        """
        began = self._now()
        question = _Question(answer, check, math.inf if deadline_s is None else began + deadline_s)
        outcome = await self._queued(clean_request(request), question, lane, key)
        self._codes[outcome.code] += 1
        return outcome

    async def sent(self, request: Request, deadline: float) -> Sent:
        """Let a request leave, past budget, breaker and retries; the one place where it does."""
        if self._now() >= deadline:
            return Sent(None, LATE, LATE_TEXT)
        refused = self._refusal(request)
        if refused is not None:
            return refused
        sent, trial = Sent(), self._breaker.begin()
        try:
            await self._tried(request, sent, deadline)
        finally:
            self._breaker.left(trial=trial)
        self._told(sent, trial=trial)
        return sent

    def spent_before(self, spent: Spent) -> None:
        """Count what the run spent before this process."""
        self._budget.carry(spent)

    def now(self) -> float:
        """The asker's clock, in seconds."""
        return self._now()

    @property
    def counts(self) -> Counts:
        """What came of all questions so far."""
        codes, drops = dict(sorted(self._codes.items())), dict(sorted(self.queue.counts.items()))
        return Counts(
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
        """End all that wait with `cancelled`, and let go of the server."""
        self.queue.close()
        await self.backend.close()

    async def _queued(
        self, request: Request, question: _Question[Answer], lane: Lane, key: Hashable | None
    ) -> Outcome[Answer]:
        began = self._now()
        refused = self._refusal(request)
        if refused is not None:
            return _unasked(request, refused, 0.0)
        try:
            async with self.queue.place(lane, key, question.deadline), self._slot(question.deadline):
                return await self._asked(request, question, _ms(self._now() - began))
        except Dropped as dropped:
            return _unasked(request, Sent(None, dropped.code, str(dropped)), _ms(self._now() - began))

    def _slot(self, deadline: float) -> AbstractAsyncContextManager[None]:
        return self._slots.hold(deadline) if self._slots else nullcontext()

    async def _asked(self, request: Request, question: _Question[Answer], queue_ms: float) -> Outcome[Answer]:
        call, judged = await self._exchanged(request, question, queue_ms, ACCEPTED)
        if judged.answer is not None or judged.final or call.response is None:
            return Outcome(judged.answer, call.outcome, (call,))
        second, better = await self._exchanged(_repair(request, call), question, 0.0, REPAIRED)
        self._repairs += bool(second.tries)
        return Outcome(better.answer, (second if second.tries else call).outcome, (call, second))

    async def _exchanged(
        self, request: Request, question: _Question[Answer], queue_ms: float, good: str
    ) -> tuple[Call, Judged[Answer]]:
        sent = await self.sent(request, question.deadline)
        judged = self._judged(request, question, sent)
        code = judged.code if judged.answer is None else good
        return Call(request, sent.response, code, judged.text, judged.parse, sent.tries, queue_ms), judged

    def _judged(self, request: Request, question: _Question[Answer], sent: Sent) -> Judged[Answer]:
        if sent.response is None:
            return Judged(None, sent.code, sent.text, final=True)
        if self._now() >= question.deadline:
            return Judged(None, LATE, LATE_TEXT, final=True)
        prompt_cut = context.cut(request, sent.response)
        if prompt_cut:
            return Judged(None, "prompt_cut", prompt_cut, final=True)
        return judge(sent.response, question.answer, question.check)

    def _refusal(self, request: Request) -> Sent | None:
        """Why a request may not leave."""
        reasons = {
            "budget": self._budget.refusal(_worst_tokens(request)),
            "breaker_open": self._breaker.refusal(),
            "context_overflow": context.overflow(request, self._context_tokens),
        }
        return next((Sent(None, code, text) for code, text in reasons.items() if text), None)

    def _told(self, sent: Sent, *, trial: bool) -> None:
        """Tell the breaker what a call showed about the server."""
        if sent.response is not None or sent.code in OF_THE_REQUEST:
            self._breaker.answered()
        elif sent.code not in {LATE, "budget"}:
            self._breaker.failed(trial=trial)

    async def _tried(self, request: Request, sent: Sent, deadline: float) -> None:
        async def once() -> Response:
            return await self._once(request, sent)

        try:
            async with asyncio.timeout(None if math.isinf(deadline) else deadline - self._now()):
                sent.response = await self._retries.run(once, deadline)
        except ModelFailure as failure:
            sent.code, sent.text = failure.code, _told_line(failure)
        except _Broken as broken:
            sent.code, sent.text = "backend_error", _told_line(broken)
        except _Spent as spent:
            sent.code, sent.text = "budget", str(spent)
        except TimeoutError:
            sent.code, sent.text = LATE, LATE_TEXT

    async def _once(self, request: Request, sent: Sent) -> Response:
        worst = _worst_tokens(request)
        spent = self._budget.refusal(worst)
        if spent:
            raise _Spent(spent)
        sent.tries += 1
        self._budget.take(worst)
        response: Response | None = None
        try:
            response = await self._complete(request)
        finally:
            self._budget.settle(worst, used(request, response))
        return response

    async def _complete(self, request: Request) -> Response:
        try:
            async with asyncio.timeout(request.timeout_s or None) as limit:
                return clean_response(await self.backend.complete(request))
        except ModelFailure:
            raise
        except Exception as error:
            if isinstance(error, TimeoutError) and limit.expired():
                raise ModelFailure("timeout", _over_time(request)) from None
            raise _Broken(f"{type(error).__name__}: {error}") from error


def _unasked(request: Request, refused: Sent, queue_ms: float) -> Outcome[Any]:
    call = Call(request, None, refused.code, refused.text, "", 0, queue_ms)
    return Outcome(None, refused.code, (call,))


def _repair(request: Request, bad: Call) -> Request:
    """The same question, with the bad answer and what is wrong with it."""
    said = unthought(bad.response.text).strip() if bad.response else ""
    wrong = (
        f"That cannot be used: {bad.failure}. "
        "Answer again with one JSON object that fits the schema, and nothing else."
    )
    quoted = Message("assistant", said[:QUOTED_CHARS] or "(nothing)")
    return msgspec.structs.replace(
        request, messages=(*request.messages, quoted, Message("user", redacted(wrong)))
    )


def _worst_tokens(request: Request) -> int:
    return context.prompt_tokens(request) + request.max_tokens


def _over_time(request: Request) -> str:
    return f"{request.agent} had no answer in {request.timeout_s:g} s; raise its timeout_s or name it a smaller model"


def _told_line(error: Exception) -> str:
    return one_line(redacted(str(error)), FAILURE_CHARS)


def _ms(seconds: float) -> float:
    return seconds * 1000.0
