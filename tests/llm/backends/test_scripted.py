"""Prepared answers are returned in turn."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from autohedge.core.errors import Misconfigured
from autohedge.llm.backend import LLMBackend, LLMError, LLMRequest, Usage
from autohedge.llm.backends.scripted import ScriptedBackend, ScriptLine
from tests.llm.backend_harness import a_request, complete_all, complete_sync


def _texts(backend: LLMBackend, count: int) -> list[str]:
    return [answer.text for answer in asyncio.run(complete_all(backend, *[a_request()] * count))]


def test_answers_come_in_turn_and_then_from_the_beginning() -> None:
    assert _texts(ScriptedBackend(["a", "b"]), 5) == ["a", "b", "a", "b", "a"]


def test_a_file_holds_texts_objects_and_answers_as_they_stand(tmp_path: Path) -> None:
    file = tmp_path / "script.jsonl"
    file.write_text(
        '"I would buy."\n'
        '{"text": "{", "finish_reason": "length", "service_ms": 900, "usage": '
        '{"prompt_tokens": 3, "completion_tokens": 4}}\n\n'
        '{"action": "trade"}\r\n"two\u2028lines"\n',
        encoding="utf-8",
    )
    first, cut, plain, odd = asyncio.run(complete_all(ScriptedBackend.from_file(file), *[a_request()] * 4))
    assert (first.text, first.finish_reason, first.service_ms) == ("I would buy.", "stop", 0)
    assert (cut.text, cut.finish_reason, cut.service_ms, cut.usage) == ("{", "length", 900, Usage(3, 4))
    assert (plain.text, odd.text) == ('{"action": "trade"}', "two\u2028lines")


def _answers_to(backend: LLMBackend, *agents: str) -> list[str]:
    requests = [msgspec.structs.replace(a_request(), agent=agent) for agent in agents]
    return [answer.text for answer in asyncio.run(complete_all(backend, *requests))]


def test_agent_lines_go_to_that_agent_and_other_lines_to_the_rest(tmp_path: Path) -> None:
    file = tmp_path / "script.jsonl"
    file.write_text(
        '{"agent": "quant", "answer": {"thesis": "supported",  "support": 1.50}}\n'
        '{"decision": "trade"}\n'
        '{"agent": "quant", "text": "Hm."}\n'
        '"anything"\n'
    )
    script = ScriptedBackend.from_file(file)
    assert _answers_to(script, "quant", "director", "quant", "risk", "quant", "director") == [
        '{"thesis": "supported",  "support": 1.50}',
        '{"decision": "trade"}',
        "Hm.",
        "anything",
        '{"thesis": "supported",  "support": 1.50}',
        '{"decision": "trade"}',
    ]


def test_an_agent_can_fail_alone() -> None:
    script = ScriptedBackend([ScriptLine(failure="timeout", agent="risk"), "a"])
    assert _answers_to(script, "director", "quant") == ["a", "a"]
    with pytest.raises(LLMError, match="the script fails here: timeout"):
        _answers_to(script, "risk")


def test_script_without_answer_of_agent_fails_on_its_request() -> None:
    with pytest.raises(LLMError, match="the script has no answer of quant") as caught:
        _answers_to(ScriptedBackend([ScriptLine("a", agent="risk")]), "quant")
    assert caught.value.code == "bad_request"


def test_failure_line_raises_its_code_and_delay() -> None:
    with pytest.raises(LLMError, match="rate_limited") as caught:
        complete_sync(lambda: ScriptedBackend([ScriptLine(failure="rate_limited", after_s=4.0)]))
    assert (caught.value.code, caught.value.after_s) == ("rate_limited", 4.0)


def test_script_function_answers_each_request() -> None:
    def answer(request: LLMRequest) -> str:
        return f"{request.agent} on {request.symbol}"

    assert _texts(ScriptedBackend(answer), 1) == ["gate on BTC/USD"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_script_with_a_byte_order_mark_is_read(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "script.jsonl"
    file.write_text('{"text": "für"}\r\n', encoding=encoding)
    assert _texts(ScriptedBackend.from_file(file), 2) == ["für", "für"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "the script is empty"),
        (b"\n\n", "the script is empty"),
        (b"\xff", "cannot read the script"),
        (b'"a"\n{"text": "a", "finish": "stop"}', "script.jsonl:2: "),
        (b"I would buy.", "script.jsonl:1: "),
        (b'{"failure": "tired"}', "script.jsonl:1: "),
        (b'{"text": 5}', "script.jsonl:1: "),
        (b'{"agent": "quant"}', "script.jsonl:1: "),
        (b'{"agent": "quants", "answer": {}}', "no agent is called quants, there are director, quant, risk"),
        (b'{"agent": {"a": 1}, "answer": {}}', "script.jsonl:1: "),
        (b'{"agent": "quant", "answer": {}, "text": "a"}', "script.jsonl:1: "),
    ],
)
def test_invalid_script_is_refused_in_one_line(tmp_path: Path, content: bytes, expected: str) -> None:
    file = tmp_path / "script.jsonl"
    file.write_bytes(content)
    with pytest.raises(Misconfigured) as caught:
        ScriptedBackend.from_file(file)
    assert expected in str(caught.value) and str(caught.value).isprintable()


def test_missing_script_file_error_names_its_setting(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="set llm.script"):
        ScriptedBackend.from_file(tmp_path / "gone.jsonl")
