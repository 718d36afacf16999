"""A deliberation on a terminal, and for programs: in an audit's words, with what a prompt's author needs beside."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from rich.text import Text

from autohedge.asking.trial import Asked
from autohedge.audit import plain as audited
from autohedge.audit import wording
from autohedge.audit.terminal import Piece, print_pieces, told_calls, told_checks, told_disposal
from autohedge.audit.wording import harmless
from autohedge.core.abstentions import told
from autohedge.llm.context import text_tokens
from autohedge.llm.failures import plain
from autohedge.llm.transcript import Line as Call
from autohedge.prompts.library import Prompt, is_packaged

UNRECORDED = "nothing is recorded: this is no run"


def print_asked(asked: Asked) -> None:
    """The whole trail, agent after agent, then what the engine does with it."""
    print_pieces(_pieces(asked))


def as_dict(asked: Asked) -> dict[str, Any]:
    """All of it as JSON values, money as text."""
    ready, conversation = asked.ready, asked.conversation
    return {
        "recorded": False,
        "answered_by": {"provider": ready.provider, "model": ready.model, "server": ready.server},
        "prompts": {
            name: {"hash": each.hash, "origin": _origin(each)} for name, each in asked.prompts.items()
        },
        "snapshot": msgspec.to_builtins(asked.snapshot),
        "answer": asked.resolution.answer,
        "failure": asked.resolution.failure,
        **audited.of_conversation(conversation),
    }


def _pieces(asked: Asked) -> Iterator[Piece]:
    conversation = asked.conversation
    question = conversation.question
    yield Text(f"{harmless(question.symbol)} · {question.kind} · {wording.clock(question.at_ns)}", "bold")
    yield ("answers", _who(asked))
    yield ("record", UNRECORDED)
    if silent := wording.silence(conversation):
        yield ("silence", f"{silent}; choose another --at")
    if failure := asked.resolution.failure:
        yield ("failed", harmless(failure))
    yield from told_calls(conversation, lambda call: _prompt_line(asked.prompts, call))
    yield Text("── what became of it ──", "bold cyan")
    yield from told_checks(conversation)
    yield ("decision", _decision(asked))
    yield from told_disposal(conversation)
    if question.kind == "gate":
        yield ("gate", wording.gate(conversation))
    elif conversation.sent is None:
        yield ("order", "none")


def _who(asked: Asked) -> str:
    ready = asked.ready
    if ready.provider == "rules":
        return "rules, a written formula: no model is asked; name one with --set llm.provider=…"
    return f"{plain(ready.provider)} · {plain(ready.model)} · {plain(ready.server)}"


def _decision(asked: Asked) -> str:
    code = asked.resolution.code
    why = f": {told(code)}" if code and told(code) != code else ""
    return f"{wording.verdict(asked.conversation)}{why}"


def _prompt_line(prompts: Mapping[str, Prompt], call: Call) -> str:
    """The file that a request's prompt is from, and how many tokens the request may have."""
    if call.request is None:
        return ""
    prompt, request = prompts[call.agent], call.request
    tokens = sum(text_tokens(message.content) for message in request.messages)
    heat = f"temperature {request.temperature:g}, at most {request.max_tokens} tokens to write"
    return (
        f"{harmless(_origin(prompt))}, version {prompt.version}; {heat}, {tokens} to read, the schema apart"
    )


def _origin(prompt: Prompt) -> str:
    return f"packaged {prompt.name}.md" if is_packaged(prompt) else prompt.origin
