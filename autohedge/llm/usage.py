"""The token usage of calls, computed in the same way by the client and by readers of a transcript."""

from collections.abc import Iterable

import msgspec

from autohedge.llm import context_window
from autohedge.llm.backend import LLMRequest, LLMResponse, Usage
from autohedge.llm.outcome import Call


class TokenUsage(msgspec.Struct, frozen=True):
    """The number of requests sent, including retries, and the tokens read and written."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def __add__(self, other: "TokenUsage") -> "TokenUsage":
        """Returns the sum of both."""
        return TokenUsage(
            self.calls + other.calls,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
        )


def usage_of(request: LLMRequest, response: LLMResponse | None) -> Usage:
    """Returns the usage of a request as counted by the server, else as estimated, also without a reply."""
    # Some servers report zero for a cached prompt; then the estimate is safer for the budget.
    if response is not None and response.usage is not None and response.usage.prompt_tokens > 0:
        return Usage(response.usage.prompt_tokens, max(0, response.usage.completion_tokens))
    texts = (response.text, response.reasoning or "") if response is not None else ()
    written = sum(map(context_window.text_tokens, texts))
    return Usage(context_window.prompt_tokens(request), written)


def total_usage(calls: Iterable[Call]) -> TokenUsage:
    """Returns the total usage of calls; failed tries are estimated."""
    return sum((_spent(call) for call in calls if call.tries), TokenUsage())


def _spent(call: Call) -> TokenUsage:
    failed = call.tries - (call.response is not None)
    lost = usage_of(call.request, None)
    last = usage_of(call.request, call.response) if call.response else Usage(0, 0)
    return TokenUsage(call.tries, failed * lost.prompt_tokens + last.prompt_tokens, last.completion_tokens)
