"""Extraction: the one JSON object that is a text's answer, or what is wrong with the text and where."""

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autohedge.llm.extraction import MAX_BYTES, MAX_DEPTH, extract, extraction_error
from autohedge.llm.reasoning_marks import without_reasoning

NUMBERS = st.integers(-(10**20), 10**20) | st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=10,
)
OBJECTS = st.dictionaries(TEXTS, VALUES, max_size=5)
BLANKS = st.text(st.sampled_from(" \t\r\n\u00a0\u3000\ufeff"), max_size=5)
PROSE = st.text(st.characters(exclude_characters="{}[]<`◁"), min_size=1, max_size=60).filter(
    lambda text: text.strip(" \ufeff") and not text.isspace()
)
ENDS = (
    "</think>",
    "</thinking>",
    "</thought>",
    "</reasoning>",
    "</longcat_think>",
    "</seed:think>",
    "[/THINK]",
    "◁/think▷",
    "<|end_of_thought|>",
    "<|END_THINKING|>",
    "<|inner_suffix|>",
    "<channel|>",
    "<|channel|>final<|message|>",
    "<|channel|>final <|constrain|>json<|message|>",
)
BEGINS = (
    "<think>",
    "<THINKING>",
    "<thought>",
    "<reasoning>",
    "<longcat_think>",
    "<seed:think>",
    "[THINK]",
    "◁think▷",
    "<|begin_of_thought|>",
    "<|START_THINKING|>",
    "<|inner_prefix|>",
    "<|channel>thought\n",
    "<|channel|>analysis<|message|>",
    "<|channel|>commentary<|message|>",
)
YES, NO = '{"go":true}', '{"go":false}'


def found(text: str) -> Any:
    got = extract(text)
    assert got, extraction_error(text)
    return got.value


def _error(text: str) -> str:
    assert extract(text) is None
    error = extraction_error(text)
    assert error.isprintable() and 10 < len(error) < 200
    return error


@given(OBJECTS, BLANKS, BLANKS, st.booleans())
def test_object_that_is_the_whole_text_counts(
    value: dict[str, Any], before: str, after: str, ascii_only: bool
) -> None:
    assert found(before + json.dumps(value, ensure_ascii=ascii_only) + after) == value


@given(OBJECTS, PROSE, st.sampled_from(["", "json", "JSON"]), BLANKS)
def test_object_in_the_only_fence_counts(
    value: dict[str, Any], before: str, language: str, after: str
) -> None:
    assert found(f"{before}\n```{language}\n{json.dumps(value)}\n```{after}") == value


@given(OBJECTS, st.text(max_size=60), st.sampled_from(ENDS), BLANKS)
def test_object_after_the_end_of_reasoning_counts(
    value: dict[str, Any], thought: str, mark: str, blank: str
) -> None:
    assert found(f"{thought.replace('<', '').replace('[', '')}{mark}{blank}{json.dumps(value)}") == value


@given(OBJECTS, PROSE)
def test_object_beside_prose_does_not_count(value: dict[str, Any], prose: str) -> None:
    answer = json.dumps(value)
    assert extract(prose + answer) is None
    assert extract(answer + prose) is None
    assert extract(f"```json\n{answer}\n```\n{prose}") is None


@given(OBJECTS, OBJECTS, BLANKS)
def test_two_objects_are_no_answer(first: dict[str, Any], last: dict[str, Any], between: str) -> None:
    one, two = json.dumps(first), json.dumps(last)
    assert extract(one + between + two) is None
    assert extract(f"{one}\n```json\n{two}\n```") is None
    assert extract(f"[{one}, {two}]") is None


@given(OBJECTS, st.sampled_from(BEGINS), st.text(st.characters(exclude_characters="<[◁"), max_size=40))
def test_object_inside_unfinished_reasoning_does_not_count(
    value: dict[str, Any], mark: str, thought: str
) -> None:
    answer = json.dumps(value).replace("<", "").replace("[/", "").replace("◁", "")
    assert extract(f"{mark}{thought}{answer}") is None
    assert extract(f"{mark}{thought}\n```json\n{answer}\n```") is None


@given(st.text(st.characters(exclude_categories=())))
def test_no_text_raises(text: str) -> None:
    assert extract(text) or extraction_error(text)


PIECES = ['{"a":', "{", "}", "[", "]", '"', "\\", "1", ",", "<think>", "</think>", "```", "\n", "NaN"]


@given(st.lists(st.sampled_from([*PIECES, "[THINK]", "<|channel|>final<|message|>", "<answer>", YES])))
def test_no_pieces_of_json_raise(pieces: list[str]) -> None:
    text = "".join(pieces)
    assert extract(text) or extraction_error(text)


@pytest.mark.parametrize(
    ("text", "how"),
    [
        (YES, "direct"),
        (f"\ufeff {YES}\n\u2028", "direct"),
        (f"```json\n{YES}\n```", "fenced"),
        (f"```{YES}```", "fenced"),
        (f"Here it is: ```json\r\n{YES}\r\n```\n", "fenced"),
        (f"The set {{x, y}} is small.\n```\n{YES}\n```", "fenced"),
        (f"<think>{NO}</think>{YES}", "after_think"),
        (f"{NO} so</think> {YES}", "after_think"),
        (f"<thinking>hm</thinking>```json\n{YES}```", "fenced"),
        (f"<think>a</think> {NO} <think>b</think>\n{YES}", "after_think"),
        (f"<think>[THINK] and {NO}</think>{YES}", "after_think"),
        (f"<think>x</think>\n<answer>\n{YES}\n</answer>", "after_think"),
        (f"<think>x</think><response>{YES}</response>", "after_think"),
        (f"<think>x</think><|begin_of_box|>{YES}<|end_of_box|>", "after_think"),
        (f"<Thought>x</Thought>\n<Output>\n{YES}\n</Output>", "after_think"),
        (f"<|START_THINKING|>x<|END_THINKING|><|START_RESPONSE|>{YES}<|END_RESPONSE|>", "after_think"),
        (f"<|channel|>analysis<|message|>{NO}<|end|><|start|>assistant<|channel|>final<|message|>{YES}", "after_think"),
        (f"<|channel|>final<|message|>{YES}<|return|>", "after_think"),
        (f"<|channel|>final <|constrain|>json<|message|>{YES}<|end|>", "after_think"),
        (f"<|channel>thought\n<channel|>{YES}", "after_think"),
    ],
)  # fmt: skip
def test_answer_where_one_may_stand_is_extracted(text: str, how: str) -> None:
    got = extract(text)
    assert got and (got.value, got.parse) == ({"go": True}, how)


MARKS_INSIDE = '{"why":"<think> ```json {} ``` </think> and [THINK]"}'


@pytest.mark.parametrize("around", ["{}", "<think>hm</think>{}", "Yes:\n```json\n{}\n```"])
def test_marks_inside_a_string_of_the_answer_are_text(around: str) -> None:
    assert found(around.replace("{}", MARKS_INSIDE)) == json.loads(MARKS_INSIDE)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("I would buy.", "there is no JSON object in the answer"),
        (f"{YES}\n\nWait, no.", "text follows the JSON object at character 14"),
        (f"I never answer {YES}", "text stands before the JSON object, which begins at character 16"),
        (f"I never answer ```json {YES}```", "text stands before the JSON object, which begins at character 24"),
        (f"Draft: {YES} Final: {NO}", "two JSON objects, at character 8 and at character 27"),
        (f"{YES}\n{YES}\n{NO}", "several JSON objects, at character 1 and at character 13"),
        (f'Draft: {YES}\n```json\n{{"go":fal\n```', "two JSON objects, at character 8 and at character 28"),
        (f"Draft: {{'go': True}}\n```json\n{YES}\n```", "two JSON objects, at character 8 and at character 29"),
        (f"Draft: {{go: false}}\n```json\n{YES}\n```", "two JSON objects, at character 8 and at character 28"),
        (f"```json\n{YES}\n```\nor\n```json\n{NO}\n```", "two JSON objects, at character 9 and at character 36"),
        (f"```py\nx\n```\n```json\n{YES}\n```", "there is more than one fenced block"),
        (f"```json\n{YES}\n```\nGood luck!", "text follows the JSON object at character 21"),
        (f"```json\n{YES}", "the fenced block is not closed"),
        (f"[{YES}]", "the answer is a list, which begins at character 1, and not one JSON object"),
        (f"```json\n[{YES}, {NO}]\n```", "the answer is a list, which begins at character 9, and not one JSON object"),
        (f"<think>{YES}", "the JSON object stands inside unfinished reasoning, which begins at character 1"),
        (f"So:\n[THINK]{YES}</think>", "the JSON object stands inside unfinished reasoning, which begins at character 5"),
        (f"<think>hm</think><|channel|>analysis<|message|>\n```json\n{YES}\n```", "the JSON object stands inside unfinished reasoning, which begins at character 18"),
        ("<think>so much", "the reasoning that begins at character 1 is never ended"),
        (f"<thought>{YES}</thought>\n", "nothing follows the reasoning, which ends at character 30"),
        (f"<think>x</think>{YES} or not", "text follows the JSON object at character 29"),
        ('{"go":tr', "the JSON object at character 1 cannot be read: expecting value at character 7"),
        ('{"go":1,"go":2}', "the JSON object at character 1 cannot be read: a key occurs twice in it"),
        ('{"go":NaN}', "the JSON object at character 1 cannot be read: a number in it is not finite"),
        ('{"go":' * 33 + "1" + "}" * 33, "the JSON object at character 1 cannot be read: it is nested deeper than 32"),
        ("{'go': 1}", "the JSON object at character 1 cannot be read: expecting property name enclosed in double quotes at character 2"),
        ('{"go":"' + "x" * MAX_BYTES + '"}', "the answer is longer than 64 KiB"),
    ],
    ids=lambda text: text[:40],
)  # fmt: skip
def test_text_without_an_answer_gets_what_is_wrong_and_where(text: str, error: str) -> None:
    assert _error(text) == error


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[1, 2]",
        '{"a":1',
        '{"plan":{"action":"trade"},"reason":"bec',
        '{"plan":{"action":"trade"},"ok":tru',
        '{"a":-Infinity}',
        '{"a":1e999}',
        '{"a":{"b":1,"b":2}}',
        f'{{"a":{"9" * 5000}}}',
        '{"a":"\\ud800"}',
        '{"a":"line\nbreak"}',
        '{"a":,}',
        '{"a":1,,}',
        "{,}",
        '{"a":[ ,]}',
        '{{"a":1}}',
        '{"a":' + "[" * 20_000,
        '{"a":' * 10_000,
    ],
)
def test_text_without_complete_unambiguous_object_yields_none(text: str) -> None:
    assert extract(text) is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a":1,}', {"a": 1}),
        ('{"a":[1,2 ,\n],\n}', {"a": [1, 2]}),
        ('{"a":"x,]","b":",}",}', {"a": "x,]", "b": ",}"}),
        ('Yes:\n```json\n{"a":1,}\n```', {"a": 1}),
        ('<think>"</think>{"a":{"b":1,},}', {"a": {"b": 1}}),
    ],
)
def test_trailing_comma_is_ignored_by_a_named_rule(text: str, value: Any) -> None:
    got = extract(text)
    assert got and got.value == value and got.rules == ("trailing_comma",)
    assert got.parse == f"{got.how}+trailing_comma"


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
        "</think>",
        '</think>{"a":1,}',
        '</think>{"a":"',
        "</think>{}",
        "</think>\n```json\n{}\n```",
        "<think></think>```",
        "<|channel|>final <|constrain|>",
        "```json\n{",
        '{"a":1}',
        "{ ",
        '{"a":x',
        '{"\\"',
        '{"\\',
        '\\"',
        '","',
        ", ",
    ],
)
@pytest.mark.parametrize("begin", ["", '{"a":"'])
@pytest.mark.parametrize("end", ["", "}", '{"a":1}'])
def test_no_text_takes_long(piece: str, begin: str, end: str) -> None:
    text = begin + piece * ((MAX_BYTES - 20) // len(piece)) + end
    began = time.process_time()
    assert extract(text) or extraction_error(text)
    assert time.process_time() - began < 2.0


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Buy!", "Buy!"),
        ("a<think>b</think>c", "c"),
        ("a</think> b ", "b"),
        ("<THINK>a<think>b</think>c</think>d", "d"),
        ("a<think>b</think>c<think>d", ""),
        ("[THINK]a</think>b", ""),
        ("<think>a</think>b<thought>c</thought>", ""),
    ],
)
def test_without_reasoning_leaves_what_follows_the_last_mark(text: str, left: str) -> None:
    assert without_reasoning(text) == left
