"""A dry run on a terminal or as JSON: laid out as in an audit, with details for the author of a prompt."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from rich.text import Text

from autohedge.ask.dry_run import DryRunResult
from autohedge.audit import as_json as audited
from autohedge.audit import text
from autohedge.audit.figures import utc_text
from autohedge.audit.terminal import Piece, call_pieces, check_pieces, print_pieces, resolution_pieces
from autohedge.core.abstentions import describe
from autohedge.core.text import escape_untrusted
from autohedge.llm.context_window import text_tokens
from autohedge.llm.errors import one_line
from autohedge.llm.transcript import TranscriptEntry as Call
from autohedge.prompts.library import Prompt, is_builtin

UNRECORDED = "dry run: nothing is recorded"


def print_dry_run(result: DryRunResult) -> None:
    """Prints every call, agent by agent, then the decision and what the engine does with it."""
    print_pieces(_pieces(result))


def as_dict(result: DryRunResult) -> dict[str, Any]:
    """Returns all of it as JSON values; amounts of money are strings."""
    ready, conversation = result.ready, result.conversation
    return {
        "recorded": False,
        "answered_by": {"provider": ready.provider, "model": ready.model, "server": ready.server},
        "prompts": {
            name: {"hash": each.hash, "origin": _origin(each)} for name, each in result.prompts.items()
        },
        "snapshot": msgspec.to_builtins(result.snapshot),
        "answer": result.result.answer,
        "failure": result.result.failure,
        **audited.of_conversation(conversation),
    }


def _pieces(result: DryRunResult) -> Iterator[Piece]:
    conversation = result.conversation
    question = conversation.question
    yield Text(f"{escape_untrusted(question.symbol)} · {question.kind} · {utc_text(question.at_ns)}", "bold")
    yield ("answers", _who(result))
    yield ("record", UNRECORDED)
    if no_call_reason := text.no_call_reason(conversation):
        yield ("no call", f"{no_call_reason}; choose another --at")
    if failure := result.result.failure:
        yield ("failed", escape_untrusted(failure))
    yield from call_pieces(conversation, lambda call: _prompt_line(result.prompts, call))
    yield Text("── outcome ──", "bold cyan")
    yield from check_pieces(conversation)
    yield ("decision", _decision(result))
    yield from resolution_pieces(conversation)
    if question.kind == "gate":
        yield ("gate", text.gate(conversation))
    elif conversation.sent is None:
        yield ("order", "none")


def _who(result: DryRunResult) -> str:
    ready = result.ready
    if ready.provider == "rules":
        return "rules, a fixed formula: no LLM is called; choose one with --set llm.provider=…"
    return f"{one_line(ready.provider)} · {one_line(ready.model)} · {one_line(ready.server)}"


def _decision(result: DryRunResult) -> str:
    code = result.result.code
    why = f": {describe(code)}" if code and describe(code) != code else ""
    return f"{text.verdict(result.conversation)}{why}"


def _prompt_line(prompts: Mapping[str, Prompt], call: Call) -> str:
    """Returns the origin of a request's prompt, its sampling parameters and its size."""
    if call.request is None:
        return ""
    prompt, request = prompts[call.agent], call.request
    tokens = sum(text_tokens(message.content) for message in request.messages)
    parameters = f"temperature {request.temperature:g}, at most {request.max_tokens} output tokens"
    origin = f"{escape_untrusted(_origin(prompt))}, version {prompt.version}"
    # An upper bound, as the model's own tokenizer is unknown; servers add the schema in ways of their own.
    return f"{origin}; {parameters}, at most {tokens} input tokens without the schema"


def _origin(prompt: Prompt) -> str:
    return f"packaged {prompt.name}.md" if is_builtin(prompt) else prompt.origin
