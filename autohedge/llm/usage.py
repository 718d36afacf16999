"""The token usage of calls, computed in the same way by the client and by readers of a transcript."""

from collections.abc import Iterable
from decimal import Decimal

import msgspec

from autohedge.core.money import ZERO, add
from autohedge.llm import context_window
from autohedge.llm.backend import LLMRequest, LLMResponse, Usage
from autohedge.llm.outcome import Call
from autohedge.llm.prices import NO_PRICES, PriceTable


class TokenUsage(msgspec.Struct, frozen=True):
    """The number of requests sent, including retries, the tokens read and written, and their cost.

    `cost_usd` is what counts against `llm.max_cost_usd`: like the tokens, it is estimated where a server reports
    none, and a model without a price costs nothing.
    """

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: Decimal = ZERO

    def __add__(self, other: "TokenUsage") -> "TokenUsage":
        """Returns the sum of both."""
        return TokenUsage(
            self.calls + other.calls,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            add(self.cost_usd, other.cost_usd),
        )


NO_USAGE = TokenUsage()


def usage_of(request: LLMRequest, response: LLMResponse | None) -> Usage:
    """Returns the usage of a request as counted by the server, else as estimated, also without a reply."""
    # Some servers report zero for a cached prompt; then the estimate is safer for the budget.
    if response is not None and response.usage is not None and response.usage.prompt_tokens > 0:
        return msgspec.structs.replace(
            response.usage, completion_tokens=max(0, response.usage.completion_tokens)
        )
    texts = (response.text, response.reasoning or "") if response is not None else ()
    written = sum(map(context_window.text_tokens, texts))
    return Usage(context_window.prompt_tokens(request), written)


def total_usage(calls: Iterable[Call], prices: PriceTable = NO_PRICES) -> TokenUsage:
    """Returns the total usage of calls, at these prices; failed tries are estimated."""
    return sum((_spent(call, prices) for call in calls if call.tries), TokenUsage())


def _spent(call: Call, prices: PriceTable) -> TokenUsage:
    failed = call.tries - (call.response is not None)
    lost = _priced(call.request, usage_of(call.request, None), prices)
    last = _priced(call.request, usage_of(call.request, call.response), prices) if call.response else NO_USAGE
    return sum([lost] * failed, last)


def _priced(request: LLMRequest, used: Usage, prices: PriceTable) -> TokenUsage:
    cost_usd = prices.cost(request.model, used)
    return TokenUsage(1, used.prompt_tokens, used.completion_tokens, cost_usd or ZERO)
