"""What calls of models cost, in money and in time, of one deliberation and in sums over a run."""

from collections import defaultdict
from decimal import Decimal

import msgspec

from autohedge.core.clock import format_utc
from autohedge.core.money import add

DAY_CHARS = 10  # of a time as text: 2025-01-02
S_DIGITS = 6  # microseconds: sums of seconds do not show the rounding of binary fractions


class Spend(msgspec.Struct, frozen=True, omit_defaults=True):
    """The cost and the duration of calls.

    `cost_usd` is the sum over the calls with a known cost; None if there are none. `unpriced_calls` are answers
    without a known cost, in a run that has prices: their model has no price, or its server reports no tokens.
    `llm_s` is the sum of the durations of the answers in seconds.
    """

    cost_usd: Decimal | None = None
    unpriced_calls: int = 0
    llm_s: float = 0.0

    def plus(self, other: "Spend | None") -> "Spend":
        """Returns the sum of both."""
        if other is None:
            return self
        return Spend(
            sum_of_costs(self.cost_usd, other.cost_usd),
            self.unpriced_calls + other.unpriced_calls,
            round(self.llm_s + other.llm_s, S_DIGITS),
        )

    @property
    def cost_text(self) -> str:
        """The cost as text, such as `0.0123 USD, 2 answers of unknown cost`; empty if no model has a price."""
        parts = [] if self.cost_usd is None else [f"{_without_zeros(self.cost_usd)} USD"]
        if self.unpriced_calls:
            noun = "answer" if self.unpriced_calls == 1 else "answers"
            parts.append(f"{self.unpriced_calls:,} {noun} of unknown cost")
        return ", ".join(parts)


NO_SPEND = Spend()


def sum_of_costs(one: Decimal | None, other: Decimal | None) -> Decimal | None:
    """Returns the sum of two costs; one that is not known adds nothing."""
    if one is None or other is None:
        return one if other is None else other
    return add(one, other)


def _without_zeros(amount: Decimal) -> str:
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


class SpendFigures(Spend, frozen=True, omit_defaults=True, kw_only=True):
    """The cost and the duration of all calls of a run, and the parts of each UTC day, symbol and verdict."""

    by_day: dict[str, Spend]
    by_symbol: dict[str, Spend]
    by_verdict: dict[str, Spend]


class SpendTotals:
    """Sums what the deliberations of a run cost, as their decisions come."""

    def __init__(self) -> None:
        self._total = NO_SPEND
        self._by_day: defaultdict[str, Spend] = defaultdict(Spend)
        self._by_symbol: defaultdict[str, Spend] = defaultdict(Spend)
        self._by_verdict: defaultdict[str, Spend] = defaultdict(Spend)

    def add(self, spend: Spend, at_ns: int, symbol: str, verdict: str) -> None:
        """Adds what a decision cost that came at `at_ns`."""
        self._total = self._total.plus(spend)
        places = (
            (self._by_day, format_utc(at_ns)[:DAY_CHARS]),
            (self._by_symbol, symbol),
            (self._by_verdict, verdict),
        )
        for sums, key in places:
            sums[key] = sums[key].plus(spend)

    def figures(self) -> SpendFigures | None:
        """Returns the sums so far; None if no call took time or had a cost."""
        if self._total == NO_SPEND:
            return None
        return SpendFigures(
            **msgspec.structs.asdict(self._total),
            by_day=dict(self._by_day),
            by_symbol=dict(sorted(self._by_symbol.items())),
            by_verdict=dict(sorted(self._by_verdict.items())),
        )
