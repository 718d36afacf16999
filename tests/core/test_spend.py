"""What deliberations cost: sums are exact, and a cost that is not known is absent, not zero."""

from decimal import Decimal

import msgspec
import pytest

from autohedge.core.spend import NO_SPEND, Spend, SpendTotals
from autohedge.core.units import NS_PER_DAY

D = Decimal


def _plain(value: msgspec.Struct) -> object:
    return msgspec.json.decode(msgspec.json.encode(value))


def test_spends_add_up_without_rounding() -> None:
    total = NO_SPEND
    for _ in range(10):
        total = total.plus(Spend(D("0.1"), 1, 0.1))
    assert total == Spend(D("1.0"), 10, 1.0)
    assert total.plus(None) is total


def test_an_unknown_cost_stays_unknown_in_sums() -> None:
    assert Spend(llm_s=2.0).plus(Spend(llm_s=1.5)) == Spend(llm_s=3.5)
    assert Spend(D("0.5")).plus(Spend(unpriced_calls=1)) == Spend(D("0.5"), 1)
    assert _plain(Spend(unpriced_calls=1)) == {"unpriced_calls": 1}
    assert _plain(Spend(D(0))) == {"cost_usd": "0"}


def test_totals_have_the_parts_of_each_day_symbol_and_verdict() -> None:
    totals = SpendTotals()
    assert totals.figures() is None
    for at_ns, symbol, verdict in ((0, "B", "trade"), (1, "A", "no_trade"), (NS_PER_DAY, "B", "trade")):
        totals.add(Spend(D("0.25"), llm_s=1.0), at_ns, symbol, verdict)
    figures = totals.figures()
    assert figures and (figures.cost_usd, figures.llm_s) == (D("0.75"), 3.0)
    assert {day: each.cost_usd for day, each in figures.by_day.items()} == {
        "1970-01-01": D("0.50"),
        "1970-01-02": D("0.25"),
    }
    assert [(name, each.llm_s) for name, each in figures.by_symbol.items()] == [("A", 1.0), ("B", 2.0)]
    assert figures.by_verdict["no_trade"].cost_usd == D("0.25")


@pytest.mark.parametrize(
    ("spend", "text"),
    [
        (Spend(D("0.0012300")), "0.00123 USD"),
        (Spend(D("100"), 1), "100 USD, 1 answer of unknown cost"),
        (Spend(D("0E-6")), "0 USD"),
        (Spend(unpriced_calls=2, llm_s=1.0), "2 answers of unknown cost"),
        (Spend(llm_s=1.0), ""),
    ],
)
def test_cost_as_text_has_all_digits_and_no_more(spend: Spend, text: str) -> None:
    assert spend.cost_text == text
