"""Lossless readings: each has a name, and a value with two readings is left as it is."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autohedge.llm.backend import LLMRequest
from autohedge.llm.lossless_repairs import read_lossless, symbol_letters
from tests.llm.request_factory import make_request

FIELDS: dict[str, Any] = {
    "symbol": {"type": "string", "enum": ["BTC/USD"]},
    "decision": {"type": "string", "enum": ["no_trade", "trade"]},
    "size_pct": {"type": "integer"},
    "minutes": {"type": "integer"},
    "support": {"type": "number"},
    "levels": {"type": "array", "items": {"type": "number"}},
    "thesis": {"type": "string"},
}
REQUEST = msgspec.structs.replace(make_request(), schema={"properties": FIELDS})


def _read(name: str, given: Any, request: LLMRequest = REQUEST) -> tuple[Any, str]:
    value, rules = read_lossless({name: given}, request)
    return value[name], "+".join(rules)


@pytest.mark.parametrize(
    ("name", "given", "known", "rule"),
    [
        ("size_pct", "80", 80, "number_as_string"),
        ("size_pct", " 80.0 ", 80, "number_as_string"),
        ("size_pct", "80%", 80, "percent_sign"),
        ("size_pct", "80 %", 80, "percent_sign"),
        ("minutes", "15", 15, "number_as_string"),
        ("minutes", "-0", 0, "number_as_string"),
        ("support", "3200.25", 3200.25, "number_as_string"),
        ("levels", ["1.5", 2], [1.5, 2], "number_as_string"),
        ("decision", "TRADE", "trade", "literal_spelling"),
        ("decision", " No Trade ", "no_trade", "literal_spelling"),
        ("decision", "no-trade", "no_trade", "literal_spelling"),
        ("symbol", "BTC-USD", "BTC/USD", "symbol_spelling"),
        ("symbol", "btcusd", "BTC/USD", "symbol_spelling"),
        ("symbol", " btc_usd ", "BTC/USD", "symbol_spelling"),
    ],
)
def test_value_with_one_reading_is_read_by_a_named_rule(name: str, given: Any, known: Any, rule: str) -> None:
    assert _read(name, given) == (known, rule)
    assert type(_read(name, given)[0]) is type(known)


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("size_pct", 80),
        ("size_pct", "80 percent"),
        ("size_pct", "1.0"),
        ("size_pct", "0.8"),
        ("size_pct", "1,000"),
        ("size_pct", "080"),
        ("size_pct", "8e1"),
        ("size_pct", "٨٠"),
        ("size_pct", "80%%"),
        ("size_pct", "%"),
        ("size_pct", "9" * 41),
        ("size_pct", ""),
        ("size_pct", True),
        ("size_pct", ["80"]),
        ("minutes", "15%"),
        ("minutes", "15 minutes"),
        ("support", "$3200"),
        ("support", "NaN"),
        ("levels", "1.5"),
        ("decision", "trade"),
        ("decision", "buy"),
        ("decision", "trade or no_trade"),
        ("decision", "tradeno_trade"),
        ("symbol", "BTC/USDT"),
        ("symbol", "BTC"),
        ("symbol", "USD/BTC"),
        ("symbol", ""),
        ("thesis", "80"),
        ("thesis", "TRADE"),
        ("unknown", "80"),
    ],
)
def test_value_as_requested_or_with_two_readings_is_left(name: str, given: Any) -> None:
    assert _read(name, given) == (given, "")


def test_rules_are_named_once_each() -> None:
    value = {"size_pct": "80", "minutes": "5", "decision": "TRADE"}
    assert read_lossless(value, REQUEST)[1] == ("number_as_string", "literal_spelling")


def test_symbol_is_taken_exactly_if_the_run_has_one_spelled_alike() -> None:
    exact = msgspec.structs.replace(REQUEST, exact_symbol=True)
    assert _read("symbol", "BTC-USD", exact) == ("BTC-USD", "")


def test_literals_that_differ_in_case_only_are_not_guessed() -> None:
    alike = {"properties": {"side": {"enum": ["Buy", "BUY"], "type": "string"}}}
    assert _read("side", "buy", msgspec.structs.replace(REQUEST, schema=alike)) == ("buy", "")


@given(st.dictionaries(st.sampled_from([*FIELDS, "x"]), st.text() | st.integers() | st.lists(st.text())))
def test_reading_keeps_all_fields_and_is_idempotent(value: dict[str, Any]) -> None:
    once, _ = read_lossless(value, REQUEST)
    assert once.keys() == value.keys()
    assert read_lossless(once, REQUEST) == (once, ())


def test_symbol_letters_ignore_case_and_separators() -> None:
    assert {symbol_letters(each) for each in ("ETH/USD", "eth-usd", "ETH_USD", "ETH:USD", "ethusd")} == {
        "ethusd"
    }
    assert symbol_letters("ETH.B/USD") != symbol_letters("ETHB/USD")
