"""Parsing: any text of a model is either a complete valid answer or gets a code and an error text."""

import json
from enum import Enum
from typing import Any

import msgspec
import pytest
from pydantic import BaseModel

from autohedge.llm.backend import LLMResponse
from autohedge.llm.parsing import Answer, Check, ParsedAnswer, parse_answer, read_answer
from tests.llm.request_factory import GOOD, Verdict, make_request, make_response

REQUEST = msgspec.structs.replace(make_request(), schema=Verdict.model_json_schema())


def _parsed(text: str, answer: type[Answer], check: Check[Answer] | None = None) -> ParsedAnswer[Answer]:
    return parse_answer(make_response(text), REQUEST, answer, check)


def test_a_good_answer_is_accepted() -> None:
    got = _parsed(f"<think>hm</think>{GOOD}", Verdict)
    assert got.answer == Verdict(symbol="BTC/USD", action="trade", confidence=70)
    assert (got.code, got.parse, got.text) == ("accepted", "after_think", "")


@pytest.mark.parametrize(
    ("response", "code"),
    [
        (make_response(GOOD, "length"), "truncated"),
        (make_response(GOOD, "MAX_TOKENS"), "truncated"),
        (make_response("", "length"), "truncated"),
        (make_response(GOOD, refusal="I cannot advise."), "refusal"),
        (make_response(GOOD, "content_filter"), "refusal"),
        (make_response(" \n"), "empty"),
        (make_response("Buy BTC now!"), "no_json"),
        (make_response(f"{GOOD} Or rather not."), "no_json"),
        (make_response(f"[{GOOD}]"), "no_json"),
        (make_response('{"symbol":"BTC/USD","action":"YOLO","confidence":70}'), "invalid"),
        (make_response('{"symbol":"BTC/USD","action":"trade"}'), "invalid"),
        (make_response('{"symbol":"BTC/USD","action":"trade","confidence":101}'), "invalid"),
    ],
)
def test_every_bad_answer_has_its_code_and_a_sentence(response: LLMResponse, code: str) -> None:
    got = parse_answer(response, REQUEST, Verdict)
    assert (got.answer, got.code, got.final) == (None, code, code == "refusal")
    assert got.text and "\n" not in got.text


def _with_confidence(confidence: str) -> ParsedAnswer[Verdict]:
    return _parsed(f'{{"symbol":"X","action":"trade","confidence":{confidence}}}', Verdict)


@pytest.mark.parametrize("confidence", ["true", "70.5", "null", "[70]", '"70%"', '"seventy"'])
def test_integer_field_with_non_integer_value_is_invalid(confidence: str) -> None:
    assert _with_confidence(confidence).code == "invalid"


@pytest.mark.parametrize(
    ("confidence", "parse"),
    [("70", "direct"), ("70.0", "direct"), ("70.000", "direct"), ('"70"', "direct+number_as_string")],
)
def test_integer_field_accepts_every_form_of_a_whole_number(confidence: str, parse: str) -> None:
    got = _with_confidence(confidence)
    assert got.answer and (got.answer.confidence, got.code, got.parse) == (70, "accepted", parse)


def test_rules_of_text_and_values_are_named_in_order() -> None:
    got = _parsed('```json\n{"symbol":"X","action":"TRADE","confidence":"70",}\n```', Verdict)
    assert got.answer == Verdict(symbol="X", action="trade", confidence=70)
    assert got.parse == "fenced+trailing_comma+literal_spelling+number_as_string"


def test_refused_answer_keeps_how_it_was_read() -> None:
    got = _parsed('{"symbol":"X","action":"trade","confidence":"700"}', Verdict)
    assert (got.code, got.parse) == ("invalid", "direct+number_as_string")


def test_answer_is_read_again_from_its_text_and_request() -> None:
    text = '{"symbol":"X","action":"TRADE","confidence":"70"}'
    again = read_answer(text, REQUEST)
    assert again and again.value == {"symbol": "X", "action": "trade", "confidence": 70}
    assert read_answer("none", REQUEST) is None


def test_unrequested_keys_are_ignored() -> None:
    assert _parsed('{"mood":"good",' + GOOD[1:], Verdict).answer is not None


class Side(Enum):
    BUY = "buy"


class Typed(BaseModel):
    side: Side
    sizes: tuple[float, ...]


def test_enum_and_tuple_fields_are_read_from_string_and_array() -> None:
    assert _parsed('{"side":"buy","sizes":[1,2.5]}', Typed).answer == Typed(side=Side.BUY, sizes=(1.0, 2.5))


def test_validation_errors_name_fields_without_quoting_values() -> None:
    given: dict[str, Any] = {"symbol": 5, "action": "z" * 5000, "confidence": "sure"}
    got = _parsed(json.dumps(given), Verdict)
    assert "symbol" in got.text and "action" in got.text and "confidence" in got.text
    assert "zzz" not in got.text and len(got.text) <= 300


def test_caller_check_rejects_well_formed_answer() -> None:
    def same_symbol(verdict: Verdict) -> tuple[str, str] | None:
        error = ("wrong_symbol", f"answer for ETH/USD, not {verdict.symbol}")
        return None if verdict.symbol == "ETH/USD" else error

    got = _parsed(GOOD, Verdict, same_symbol)
    assert (got.answer, got.code, got.text) == (None, "wrong_symbol", "answer for ETH/USD, not BTC/USD")
    assert _parsed(GOOD.replace("BTC", "ETH"), Verdict, same_symbol).answer is not None
