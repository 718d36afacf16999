"""A model whose answers are written down beforehand: for tests, for trying agents out, without any server."""

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from autohedge.core.errors import Misconfigured
from autohedge.llm.backend import FailureCode, LLMError, LLMRequest, LLMResponse, Usage
from autohedge.llm.backends.rules import RULES
from autohedge.llm.errors import one_line


class ScriptLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One answer of a script, or one `failure`; `service_ms` is what the answer claims to have taken.

    With an `agent` it is for that agent alone.
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
    """A line of one agent whose answer is the JSON value itself, kept as it is written."""

    agent: str
    answer: msgspec.Raw


Answers = Sequence[str | ScriptLine] | Callable[[LLMRequest], str | LLMResponse]


class ScriptedBackend:
    """Gives its answers in turn, from the beginning again after the last; or asks a function for each.

    Answers that name an agent are that agent's, in turn; the others are for whoever has none of its own.
    Nothing waits: `service_ms` of a line is only reported. Raises Misconfigured without any answer.
    """

    name = "scripted"
    model = "script"
    server = "scripted"

    def __init__(self, answers: Answers) -> None:
        self._answer = answers if callable(answers) else _in_turn(answers)

    @classmethod
    def from_file(cls, path: Path) -> "ScriptedBackend":
        """Read a JSON-lines file. A string is an answer's text, an object with `text` or `failure` is a Line.

        An object with `agent` and `answer` is an answer of that agent. Any other JSON is an answer's text as it
        stands. Raises Misconfigured, naming file and line.
        """
        try:
            lines = path.read_text(encoding="utf-8").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise Misconfigured(f"cannot read the script {path}: {error}; set llm.script to a file") from None
        return cls([_read(path, number, line) for number, line in enumerate(lines, 1) if line.strip()])

    async def complete(self, request: LLMRequest) -> LLMResponse:
        """The next answer. Raises LLMError where the script says so."""
        answer = self._answer(request)
        return _response(ScriptLine(answer)) if isinstance(answer, str) else answer

    async def close(self) -> None:
        """Nothing is held."""


def _in_turn(answers: Sequence[str | ScriptLine]) -> Callable[[LLMRequest], str | LLMResponse]:
    if not answers:
        raise Misconfigured("the script holds no answer; write one a line")
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
    """An object that says more than an answer. Raises ValidationError for what it may not say."""
    if "agent" in value and value["agent"] not in list(RULES):
        msg = f"no agent is called {value['agent']}, there are {', '.join(RULES)}"
        raise msgspec.ValidationError(msg)
    if "agent" in value and not {"text", "failure"} & value.keys():
        named = msgspec.json.decode(line, type=_Named)
        return ScriptLine(bytes(named.answer).decode(), agent=named.agent)
    return msgspec.convert(value, ScriptLine)
