"""The cost of a call: the formula, exactly, from what the server reports."""

from decimal import Decimal
from fractions import Fraction
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autohedge.config.model_settings import ModelSettings
from autohedge.core.spend import Spend
from autohedge.llm.backend import Usage
from autohedge.llm.outcome import Call
from autohedge.llm.prices import NO_PRICES, PriceTable
from tests.llm.request_factory import GOOD, make_request, make_response
from tests.run_harness import settings

D = Decimal
TOKENS = st.integers(0, 10**9)
PRICES = st.decimals(0, 1000, places=6)


def _table(default: str = "m", **prices: Any) -> PriceTable:
    return PriceTable({"m": ModelSettings(**prices)}, default)


def _call(usage: Usage | None, model: str = "", outcome: str = "accepted", service_ms: float = 0.0) -> Call:
    response = msgspec.structs.replace(make_response(GOOD, usage=usage), service_ms=service_ms)
    request = msgspec.structs.replace(make_request(), model=model)
    return Call(request, response, outcome, "", "direct", 1, 0.0)


@given(TOKENS, TOKENS, TOKENS, PRICES, PRICES, PRICES)
def test_cost_is_the_formula_without_rounding(
    fresh: int, cached: int, written: int, price_in: Decimal, price_cached: Decimal, price_out: Decimal
) -> None:
    table = _table(price_in=price_in, price_cached=price_cached, price_out=price_out)
    parts = ((fresh, price_in), (cached, price_cached), (written, price_out))
    exact = sum((tokens * Fraction(price) for tokens, price in parts), Fraction(0)) / 10**6
    among_them, apart = Usage(fresh + cached, written, 0, cached), Usage(fresh, written, cached)
    for usage in (among_them, apart):
        cost = table.cost("", usage)
        assert cost is not None and Fraction(cost) == exact
        assert table.largest_cost("", Usage(fresh + cached, written)) >= cost


def test_cached_tokens_cost_as_much_as_others_without_a_price_of_their_own() -> None:
    table = _table(price_in=D(2), price_out=D(8))
    assert table.cost("m", Usage(1000, 100, 0, 600)) == table.cost("m", Usage(1000, 100)) == D("0.0028")


@pytest.mark.parametrize(
    ("prices", "model"),
    [({"price_in": D(1)}, "m"), ({"price_out": D(1)}, "m"), ({}, "m"), ({"price_in": D(1)}, "other")],
)
def test_cost_without_a_price_is_unknown(prices: dict[str, Any], model: str) -> None:
    assert _table(**prices).cost(model, Usage(10, 10)) is None


def test_all_answers_of_a_deliberation_cost_and_those_without_one_do_not() -> None:
    table = _table(price_in=D(1), price_out=D(1))
    calls = [
        _call(Usage(10, 5), outcome="invalid", service_ms=100.0),
        _call(Usage(20, 5), outcome="repaired", service_ms=200.0),
        _call(None, service_ms=1.0),
        _call(Usage(9, 9), model="unknown"),
        Call(make_request(), None, "timeout", "late", "", 2, 0.0),
    ]
    assert table.spend(calls) == Spend(D("0.00004"), 2, 0.301)


def test_without_prices_only_the_time_is_known() -> None:
    assert NO_PRICES.spend([_call(Usage(10, 5), service_ms=40.0)]) == Spend(llm_s=0.04)
    assert NO_PRICES.spend([_call(None)]) is None


def test_formulas_have_no_price_whatever_the_settings_name() -> None:
    wanted = settings(llm__model='"m"', models__m__price_in=1, models__m__price_out=1)
    assert PriceTable.of(wanted, "rules", "rules").cost("m", Usage(1, 1)) is None
    # A server may call the model otherwise than the settings do.
    assert PriceTable.of(wanted, "openai", "M.gguf").cost("", Usage(1, 1)) == D("0.000002")


def test_largest_cost_of_any_model_is_that_of_its_dearest_tokens() -> None:
    cheap, dear = ModelSettings(price_in=D(1), price_out=D(2)), ModelSettings(price_in=D(9), price_out=D(3))
    assert PriceTable({"a": cheap, "b": dear}).largest_cost_of_any(1000) == D("0.009")
    assert NO_PRICES.largest_cost_of_any(1000) == 0
