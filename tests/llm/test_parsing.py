"""Parsing: any text of a model is either a complete valid object or gets an error text."""

import json
import time
from enum import Enum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from autohedge.llm.backend import LLMResponse
from autohedge.llm.parsing import MAX_BYTES, MAX_DEPTH, extract, parse_answer, strip_reasoning
from tests.llm.request_factory import GOOD, Verdict, make_response

NUMBERS = st.integers(-(10**20), 10**20) | st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=10,
)
OBJECTS = st.dictionaries(TEXTS, VALUES, max_size=5)
# A quotation mark after a brace starts another object, and a think tag hides the text after it.
BEFORE = st.text(st.characters(exclude_characters='"}<'), max_size=60)
AFTER = st.text(st.characters(exclude_characters="}<"), max_size=60)


def found(text: str) -> Any:
    got = extract(text)
    assert got
    return got.value


def how(text: str) -> str:
    got = extract(text)
    assert got
    return got.how


@given(OBJECTS, BEFORE, AFTER, st.booleans())
def test_any_object_is_found_in_any_noise(
    value: dict[str, Any], before: str, after: str, ascii_only: bool
) -> None:
    assert found(before + json.dumps(value, ensure_ascii=ascii_only) + after) == value


@given(OBJECTS, OBJECTS, BEFORE)
def test_the_last_object_counts(first: dict[str, Any], last: dict[str, Any], between: str) -> None:
    assert found(json.dumps(first) + between + json.dumps(last)) == last


@given(st.text(st.characters(exclude_categories=())))
def test_no_text_raises(text: str) -> None:
    extract(text)


@given(
    st.lists(
        st.sampled_from(
            ['{"a":', "{", "}", "[", "]", '"', "\\", "1", ",", "<think>", "</think>", "```", "NaN"]
        )
    )
)
def test_no_pieces_of_json_raise(pieces: list[str]) -> None:
    extract("".join(pieces))


@given(OBJECTS, st.text(st.characters(exclude_characters="<"), max_size=40))
def test_object_inside_unclosed_think_tag_is_not_extracted(value: dict[str, Any], thought: str) -> None:
    assert extract(f"<think>{thought}{json.dumps(value).replace('<', '')}") is None


@pytest.mark.parametrize(
    ("text", "way"),
    [
        ('{"a":1}', "direct"),
        ('  {"a":1}\n', "direct"),
        ('```json\n{"a":1}\n```', "fenced"),
        ('Sure!\n```\n{"a":1}\n``` Good luck.', "fenced"),
        ('<think>{"a":2}</think>{"a":1}', "after_think"),
        ('{"a":2} so</think> {"a":1}', "after_think"),
        ('<thinking>hm</thinking>```json\n{"a":1}```', "fenced"),
        ('first {"a":2}, no: {"a":1}.', "last_object"),
        ('{{"a":1}}', "last_object"),
        ('{"a":1} <think> {"a":2}', "after_think"),
        ('in {"BTC"} there is {"a":1}', "last_object"),
        ('the set {x: 1} gives {"a":1}', "last_object"),
    ],
)
def test_extract_reports_object_and_extraction_method(text: str, way: str) -> None:
    assert (found(text), how(text)) == ({"a": 1}, way)


def test_a_think_tag_inside_a_plain_answer_is_text() -> None:
    assert found('{"reason":"</think> and <think>"}') == {"reason": "</think> and <think>"}


def test_strip_reasoning_removes_unbalanced_and_nested_blocks() -> None:
    assert strip_reasoning("a<think>b</think>c<think>d") == "ac"
    assert strip_reasoning("a</think>b") == "b"
    assert strip_reasoning("<THINK>a<think>b</think>c</think>d") == "d"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "I would buy.",
        "[1, 2]",
        '{"a":1',
        '{"plan":{"action":"trade"},"reason":"bec',
        '{"plan":{"action":"trade"},"ok":tru',
        '{"a":1,"a":2}',
        '{"a":NaN}',
        '{"a":-Infinity}',
        '{"a":1e999}',
        '{"a":{"b":1,"b":2}}',
        f'{{"a":{"9" * 5000}}}',
        '{"a":"\\ud800"}',
        "{'a': 1}",
        '{"a":"line\nbreak"}',
        '{"a":' * 40 + "1" + "}" * 40,
        '{"a":' + "[" * 20_000,
        '{"a":' * 10_000,
        '{"a":"' + "x" * MAX_BYTES + '"}',
    ],
)
def test_text_without_complete_unambiguous_object_yields_none(text: str) -> None:
    assert extract(text) is None


def test_objects_are_as_deep_as_allowed_and_no_deeper() -> None:
    deep = '{"a":' * MAX_DEPTH + "1" + "}" * MAX_DEPTH
    assert extract(deep) is not None
    assert extract(f'{{"a":{deep}}}') is None


@pytest.mark.parametrize(
    "piece",
    [
        "{",
        '{"',
        '{"a":',
        '{"a":[',
        '{"a":{},',
        "<think>",
        "```json\n{",
        '{"a":1}',
        "{ ",
        '{"a":x',
        '{"\\"',
        '{"\\',
    ],
)
def test_no_text_takes_long(piece: str) -> None:
    text = piece * (MAX_BYTES // len(piece))
    began = time.process_time()
    extract(text)
    assert time.process_time() - began < 2.0


def test_a_good_answer_is_accepted() -> None:
    got = parse_answer(make_response(f"<think>hm</think>{GOOD}"), Verdict)
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
        (make_response('{"symbol":"BTC/USD","action":"YOLO","confidence":70}'), "invalid"),
        (make_response('{"symbol":"BTC/USD","action":"trade"}'), "invalid"),
        (make_response('{"symbol":"BTC/USD","action":"trade","confidence":101}'), "invalid"),
    ],
)
def test_every_bad_answer_has_its_code_and_a_sentence(response: LLMResponse, code: str) -> None:
    got = parse_answer(response, Verdict)
    assert (got.answer, got.code, got.final) == (None, code, code == "refusal")
    assert got.text and "\n" not in got.text


@pytest.mark.parametrize("confidence", ['"70"', "true", "70.5", "null", "[70]"])
def test_integer_field_with_non_integer_value_is_invalid(confidence: str) -> None:
    assert (
        parse_answer(
            make_response(f'{{"symbol":"X","action":"trade","confidence":{confidence}}}'), Verdict
        ).code
        == "invalid"
    )


@pytest.mark.parametrize("confidence", ["70", "70.0", "70.000"])
def test_integer_field_accepts_whole_number_with_zero_fraction(confidence: str) -> None:
    got = parse_answer(make_response(f'{{"symbol":"X","action":"trade","confidence":{confidence}}}'), Verdict)
    assert got.answer and got.answer.confidence == 70


def test_unrequested_keys_are_ignored() -> None:
    assert parse_answer(make_response('{"mood":"good",' + GOOD[1:]), Verdict).answer is not None


class Side(Enum):
    BUY = "buy"


class Typed(BaseModel):
    side: Side
    sizes: tuple[float, ...]


def test_enum_and_tuple_fields_are_read_from_string_and_array() -> None:
    got = parse_answer(make_response('{"side":"buy","sizes":[1,2.5]}'), Typed).answer
    assert got == Typed(side=Side.BUY, sizes=(1.0, 2.5))


def test_validation_errors_name_fields_without_quoting_values() -> None:
    got = parse_answer(
        make_response(json.dumps({"symbol": 5, "action": "z" * 5000, "confidence": "sure"})), Verdict
    )
    assert "symbol" in got.text and "action" in got.text and "confidence" in got.text
    assert "zzz" not in got.text and len(got.text) <= 300


def test_caller_check_rejects_well_formed_answer() -> None:
    def same_symbol(verdict: Verdict) -> tuple[str, str] | None:
        return (
            None
            if verdict.symbol == "ETH/USD"
            else ("wrong_symbol", f"answer for ETH/USD, not {verdict.symbol}")
        )

    got = parse_answer(make_response(GOOD), Verdict, same_symbol)
    assert (got.answer, got.code, got.text) == (None, "wrong_symbol", "answer for ETH/USD, not BTC/USD")
    assert parse_answer(make_response(GOOD.replace("BTC", "ETH")), Verdict, same_symbol).answer is not None
