"""What calls of models cost, by the prices in the settings and the tokens that servers report."""

from collections.abc import Iterable
from decimal import Decimal

from autohedge.config import Settings
from autohedge.config.model_settings import ModelSettings
from autohedge.config.sections import FORMULAS
from autohedge.core.money import ZERO, add, multiply
from autohedge.core.spend import NO_SPEND, Spend
from autohedge.llm.backend import Usage
from autohedge.llm.outcome import Call

PER_TOKEN = Decimal("1e-6")  # prices are per million tokens
MS_PER_S = 1000.0


class PriceTable:
    """The prices of the models of a run; empty where a formula answers."""

    def __init__(self, models: dict[str, ModelSettings] | None = None, default: str = "") -> None:
        """`default` is the model of requests that name none."""
        self._models, self._default = models or {}, default

    @classmethod
    def of(cls, settings: Settings, provider: str, model: str) -> "PriceTable":
        """Returns the prices for a backend; `model` is the one that it asks where the settings name none."""
        if provider in FORMULAS:
            return NO_PRICES
        return cls(settings.models, settings.llm.model or model)

    def cost(self, model: str, usage: Usage) -> Decimal | None:
        """Returns what a call costs in USD, exactly; None if the model has no price.

        (input - cached) * price_in + cached * price_cached + output * price_out. Input includes the cached tokens
        that the server left out of its count.
        """
        prices = self._models.get(model or self._default)
        if prices is None or prices.price_in is None or prices.price_out is None:
            return None
        read, written = max(usage.prompt_tokens, 0), max(usage.completion_tokens, 0)
        cached = min(max(usage.cached_prompt_tokens, 0), read)
        parts = (
            (read - cached, prices.price_in),
            (cached + max(usage.cached_tokens, 0), _price_cached(prices)),
            (written, prices.price_out),
        )
        return _sum(multiply(multiply(Decimal(tokens), price), PER_TOKEN) for tokens, price in parts)

    def largest_cost(self, model: str, worst: Usage) -> Decimal:
        """Returns the most that a request with so many tokens can cost; 0 if the model has no price."""
        read = self.cost(model, Usage(worst.prompt_tokens, worst.completion_tokens))
        cached = self.cost(model, Usage(0, worst.completion_tokens, worst.prompt_tokens))
        return max(read or ZERO, cached or ZERO)

    def largest_cost_of_any(self, tokens: int) -> Decimal:
        """Returns the most that so many tokens of any model can cost."""
        uses = (Usage(tokens, 0), Usage(0, tokens))
        return max((self.largest_cost(name, use) for name in self._models for use in uses), default=ZERO)

    def spend(self, calls: Iterable[Call]) -> Spend | None:
        """Returns what calls cost and how long they took; None if neither is known of any."""
        total = NO_SPEND
        for call in calls:
            total = total.plus(self._spend_of(call))
        return None if total == NO_SPEND else total

    def _spend_of(self, call: Call) -> Spend | None:
        response = call.response
        if response is None:
            return None
        cost = None if response.usage is None else self.cost(call.request.model, response.usage)
        unpriced = int(cost is None and bool(self._models))
        return Spend(cost, unpriced, response.service_ms / MS_PER_S)


NO_PRICES = PriceTable()


def _price_cached(prices: ModelSettings) -> Decimal:
    price = prices.price_in if prices.price_cached is None else prices.price_cached
    return ZERO if price is None else price


def _sum(costs: Iterable[Decimal]) -> Decimal:
    total = ZERO
    for cost in costs:
        total = add(total, cost)
    return total
