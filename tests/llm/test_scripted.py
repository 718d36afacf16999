"""Answers that were written down beforehand come in turn."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from autohedge.core.errors import Misconfigured
from autohedge.llm.backend import LLMBackend, ModelFailure, Request, Usage
from autohedge.llm.scripted import Line, Scripted
from tests.llm.asking import a_request, ask, asked


def _texts(backend: LLMBackend, count: int) -> list[str]:
    return [answer.text for answer in asyncio.run(asked(backend, *[a_request()] * count))]


def test_answers_come_in_turn_and_then_from_the_beginning() -> None:
    assert _texts(Scripted(["a", "b"]), 5) == ["a", "b", "a", "b", "a"]


def test_a_file_holds_texts_objects_and_answers_as_they_stand(tmp_path: Path) -> None:
    file = tmp_path / "script.jsonl"
    file.write_text(
        '"I would buy."\n'
        '{"text": "{", "finish_reason": "length", "service_ms": 900, "usage": '
        '{"prompt_tokens": 3, "completion_tokens": 4}}\n\n'
        '{"action": "trade"}\r\n"two\u2028lines"\n',
        encoding="utf-8",
    )
    first, cut, plain, odd = asyncio.run(asked(Scripted.from_file(file), *[a_request()] * 4))
    assert (first.text, first.finish_reason, first.service_ms) == ("I would buy.", "stop", 0)
    assert (cut.text, cut.finish_reason, cut.service_ms, cut.usage) == ("{", "length", 900, Usage(3, 4))
    assert (plain.text, odd.text) == ('{"action": "trade"}', "two\u2028lines")


def _said_to(backend: LLMBackend, *agents: str) -> list[str]:
    requests = [msgspec.structs.replace(a_request(), agent=agent) for agent in agents]
    return [answer.text for answer in asyncio.run(asked(backend, *requests))]


def test_lines_of_an_agent_are_its_own_in_turn_and_the_others_are_for_who_has_none(tmp_path: Path) -> None:
    file = tmp_path / "script.jsonl"
    file.write_text(
        '{"agent": "quant", "answer": {"thesis": "supported",  "support": 1.50}}\n'
        '{"decision": "trade"}\n'
        '{"agent": "quant", "text": "Hm."}\n'
        '"anything"\n'
    )
    script = Scripted.from_file(file)
    assert _said_to(script, "quant", "director", "quant", "risk", "quant", "director") == [
        '{"thesis": "supported",  "support": 1.50}',
        '{"decision": "trade"}',
        "Hm.",
        "anything",
        '{"thesis": "supported",  "support": 1.50}',
        '{"decision": "trade"}',
    ]


def test_an_agent_can_fail_alone() -> None:
    script = Scripted([Line(failure="timeout", agent="risk"), "a"])
    assert _said_to(script, "director", "quant") == ["a", "a"]
    with pytest.raises(ModelFailure, match="the script fails here: timeout"):
        _said_to(script, "risk")


def test_a_script_without_an_answer_of_an_agent_fails_when_it_is_asked() -> None:
    with pytest.raises(ModelFailure, match="the script has no answer of quant") as caught:
        _said_to(Scripted([Line("a", agent="risk")]), "quant")
    assert caught.value.code == "bad_request"


def test_a_line_that_fails_fails_with_its_code() -> None:
    with pytest.raises(ModelFailure, match="rate_limited") as caught:
        ask(lambda: Scripted([Line(failure="rate_limited", after_s=4.0)]))
    assert (caught.value.code, caught.value.after_s) == ("rate_limited", 4.0)


def test_a_function_answers_each_question_by_itself() -> None:
    def answer(request: Request) -> str:
        return f"{request.agent} on {request.symbol}"

    assert _texts(Scripted(answer), 1) == ["gate on BTC/USD"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "holds no answer"),
        (b"\n\n", "holds no answer"),
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
def test_a_script_that_cannot_be_played_is_named_in_one_line(
    tmp_path: Path, content: bytes, told: str
) -> None:
    file = tmp_path / "script.jsonl"
    file.write_bytes(content)
    with pytest.raises(Misconfigured) as caught:
        Scripted.from_file(file)
    assert told in str(caught.value) and str(caught.value).isprintable()


def test_a_script_that_is_not_there_is_told_where_it_is_set(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="set llm.script"):
        Scripted.from_file(tmp_path / "gone.jsonl")
