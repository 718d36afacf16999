"""A model that is asked in the way that was measured, and in another one once the server refuses that."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable

import msgspec

from autohedge.llm.backend import LLMError, LLMRequest, LLMResponse, Message
from autohedge.llm.backends import capabilities
from autohedge.llm.backends.capabilities import ModelCapability, OutputMode
from autohedge.llm.backends.parameter_fallbacks import adapted
from autohedge.llm.errors import llm_error


class AdaptiveBackend(ABC):
    """A model of a server. One instance serves one event loop.

    `known` is how it is asked. If the server refuses a parameter, the same request is sent without it, or in
    its other form. What then works is used for all later requests, and runs if the model was measured.
    """

    name: str

    def __init__(self, known: ModelCapability, timeout_s: float, context_tokens: int) -> None:
        self.base_url, self.model, self.server = known.base_url, known.model, known.server
        self.known = known
        self._timeout_s, self._context_tokens = timeout_s, context_tokens

    async def complete(self, request: LLMRequest) -> LLMResponse:
        """Sends the request, again in another way if the server refuses a parameter. Raises LLMError."""
        return await self._in_time(self._with_fallback(request), request)

    async def ask(self, request: LLMRequest, known: ModelCapability) -> LLMResponse:
        """Sends the request in this way only. Raises LLMError."""
        return await self._in_time(self._send(request, known), request)

    def answer_tokens(self, request: LLMRequest) -> int:
        """Returns the longest answer to this request, in tokens."""
        return self.known.answer_tokens(request, self._context_tokens)

    @abstractmethod
    async def close(self) -> None:
        """Closes all connections."""

    @abstractmethod
    async def _send(self, request: LLMRequest, known: ModelCapability) -> LLMResponse: ...

    def _limit_s(self, request: LLMRequest) -> float:
        return request.timeout_s or self._timeout_s

    async def _in_time(self, answer: Awaitable[LLMResponse], request: LLMRequest) -> LLMResponse:
        # The library's timeout bounds single reads: a server that sends a byte now and then would never end.
        limit_s = self._limit_s(request)
        try:
            async with asyncio.timeout(limit_s):
                return await answer
        except TimeoutError:
            raise llm_error("timeout", self.base_url, f"no answer in {limit_s:g} s") from None

    async def _with_fallback(self, request: LLMRequest) -> LLMResponse:
        began = known = self.known
        refusals, tried = list[LLMError](), [known]
        while True:
            try:
                response = await self._send(request, known)
                break
            except LLMError as error:
                refusals.append(error)
                following = adapted(known, error, request.reasoning, tried)
                if following is None:
                    raise refusals[0] from None
                tried.append(known := following)
        self._adopt(began, known)
        return response

    def _adopt(self, began: ModelCapability, known: ModelCapability) -> None:
        """Keeps what worked, unless a concurrent call has changed it already."""
        if known is not began and self.known is began:
            # A model that was not measured is measured by a later run, which finds more than a refusal shows.
            self.known = capabilities.store(known) if known.probed_ns else known


def messages_for(request: LLMRequest, form: OutputMode) -> tuple[Message, ...]:
    """Returns the messages; unless the server enforces the schema, the last one includes it as text."""
    if form == "json_schema":
        return request.messages
    schema = msgspec.json.encode(request.schema).decode()
    instruction = f"Answer with one JSON object that fits this JSON schema, and with nothing else:\n{schema}"
    *before, last = request.messages
    return (*before, Message(last.role, f"{last.content}\n\n{instruction}"))
