"""A backend with prepared answers, for tests and for trying out agents without a server."""

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from autohedge.core.errors import Misconfigured
from autohedge.core.text import decode_text
from autohedge.llm.backend import FailureCode, LLMError, LLMRequest, LLMResponse, Usage
from autohedge.llm.backends.rules import RULES
from autohedge.llm.errors import one_line


class ScriptLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One answer of a script, or one `failure`; `service_ms` is the duration to report, without any waiting.

    With an `agent` it answers requests of that agent only.
    """

    text: str = ""
    finish_reason: str = "stop"
    refusal: str | None = None
    failure: FailureCode | None = None
    after_s: float = 0.0
    service_ms: float = 0.0
    usage: Usage | None = None
    agent: str = ""


class _Named(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A line for one agent whose answer is the JSON value itself, used byte for byte."""

    agent: str
    answer: msgspec.Raw


Answers = Sequence[str | ScriptLine] | Callable[[LLMRequest], str | LLMResponse]


class ScriptedBackend:
    """Returns its answers in turn and starts over after the last, or calls a function for each request.

    Answers that name an agent are returned in turn to that agent; the others go to agents without answers of
    their own. `service_ms` of a line is only reported, not waited for. Raises Misconfigured for an empty
    script.
    """

    name = "scripted"
    model = "script"
    server = "scripted"

    def __init__(self, answers: Answers) -> None:
        self._answer = answers if callable(answers) else _in_turn(answers)

    @classmethod
    def from_file(cls, path: Path) -> "ScriptedBackend":
        """Reads a JSON-lines file.

        A string is the text of an answer. An object with `text` or `failure` is a ScriptLine. An object with
        `agent` and `answer` is an answer for that agent. Any other JSON is itself the text of an answer.
        Raises Misconfigured with file and line.
        """
        try:
            lines = decode_text(path.read_bytes(), f"the script {path}").split("\n")
        except OSError as error:
            why = error.strerror
            raise Misconfigured(f"cannot read the script {path}: {why}; set llm.script to a file") from None
        return cls([_read(path, number, line) for number, line in enumerate(lines, 1) if line.strip()])

    async def complete(self, request: LLMRequest) -> LLMResponse:
        """Returns the next answer. Raises LLMError where the script has a failure."""
        answer = self._answer(request)
        return _response(ScriptLine(answer)) if isinstance(answer, str) else answer

    async def close(self) -> None:
        """Does nothing: there is no connection."""


def _in_turn(answers: Sequence[str | ScriptLine]) -> Callable[[LLMRequest], str | LLMResponse]:
    if not answers:
        raise Misconfigured("the script is empty; write one answer per line")
    lines: dict[str, list[str | ScriptLine]] = {}
    for each in answers:
        lines.setdefault(each.agent if isinstance(each, ScriptLine) else "", []).append(each)
    turns = {agent: itertools.cycle(own) for agent, own in lines.items()}

    def answer(request: LLMRequest) -> str | LLMResponse:
        own = turns.get(request.agent) or turns.get("")
        if own is None:
            raise LLMError("bad_request", f"the script has no answer of {request.agent}")
        line = next(own)
        return line if isinstance(line, str) else _response(line)

    return answer


def _response(line: ScriptLine) -> LLMResponse:
    if line.failure:
        raise LLMError(line.failure, f"the script fails here: {line.failure}", line.after_s)
    return LLMResponse(
        line.text,
        line.finish_reason,
        ScriptedBackend.model,
        ScriptedBackend.server,
        "script",
        line.usage,
        line.service_ms,
        line.refusal,
    )


def _read(path: Path, number: int, line: str) -> str | ScriptLine:
    try:
        value = msgspec.json.decode(line)
        if isinstance(value, str):
            return value
        if isinstance(value, dict) and {"text", "failure", "agent"} & value.keys():
            return _line(value, line)
    except (msgspec.MsgspecError, RecursionError) as error:
        message = f"{path}:{number}: {one_line(str(error))}"
        raise Misconfigured(
            f"{message}; write a JSON string, or an object with text, failure, or agent and answer"
        ) from None
    return line.strip()


def _line(value: dict[str, Any], line: str) -> ScriptLine:
    """Reads an object with `text`, `failure` or `agent`. Raises ValidationError for an invalid one."""
    if "agent" in value and value["agent"] not in list(RULES):
        msg = f"no agent is called {value['agent']}, there are {', '.join(RULES)}"
        raise msgspec.ValidationError(msg)
    if "agent" in value and not {"text", "failure"} & value.keys():
        named = msgspec.json.decode(line, type=_Named)
        return ScriptLine(bytes(named.answer).decode(), agent=named.agent)
    return msgspec.convert(value, ScriptLine)
