"""What leaves no trace in a transcript: anything that looks like a key, and text beyond all measure.

Both are done before a text is sent, judged or written, so that what was recorded is what was used.
"""

import re

import msgspec

from autohedge.llm.backend import LLMRequest, LLMResponse, Message

REDACTED = "[redacted]"
CUT = " [cut]"
MAX_TEXT_BYTES = 1 << 16
_SECRET = re.compile(
    r"\bBearer\s+[\w.~+/=-]{8,}"
    r"|\b(?:sk|pk|rk|xai|ghp|gho|hf|gsk|glpat|xoxb)[-_](?=[\w-]*[0-9])[\w-]{16,}"
    r"|\bAKIA[0-9A-Z]{16}\b"
    r"|\bAIza[\w-]{35}",
    re.IGNORECASE,
)
# The expression costs a fifth of a millisecond on a prompt; most have nothing that it could begin with.
_MARKS = (
    "bearer",
    "akia",
    "aiza",
    *(
        f"{name}{dash}"
        for name in ("sk", "pk", "rk", "xai", "ghp", "gho", "hf", "gsk", "glpat", "xoxb")
        for dash in "-_"
    ),
)


def redacted(text: str) -> str:
    """A text that can be encoded, with `[redacted]` in place of whatever looks like an API key.

    Known by their beginnings: `sk-…` and the like, `Bearer …`, AWS and Google keys. A key of another
    shape is not recognized.
    """
    sound = text.encode(errors="replace").decode()
    lowered = sound.lower()
    return _SECRET.sub(REDACTED, sound) if any(mark in lowered for mark in _MARKS) else sound


def bounded(text: str) -> str:
    """The first 64 KiB of a text, marked where it was cut; still too long to be taken for an answer."""
    content = text.encode(errors="replace")
    if len(content) <= MAX_TEXT_BYTES or was_cut(text):
        return text
    return content[:MAX_TEXT_BYTES].decode(errors="ignore") + CUT


def was_cut(text: str) -> bool:
    """Whether `bounded` cut this text."""
    size = len(text.encode(errors="replace")) - len(CUT)
    return text.endswith(CUT) and MAX_TEXT_BYTES - 4 < size <= MAX_TEXT_BYTES


def clean_request(request: LLMRequest) -> LLMRequest:
    """A request without secrets in its messages."""
    messages = tuple(Message(each.role, redacted(each.content)) for each in request.messages)
    return msgspec.structs.replace(request, messages=messages)


def clean_response(response: LLMResponse) -> LLMResponse:
    """A response without secrets in what model and server wrote, and of bounded length."""
    refusal = None if response.refusal is None else bounded(redacted(response.refusal))
    return msgspec.structs.replace(
        response,
        text=bounded(redacted(response.text)),
        finish_reason=redacted(response.finish_reason)[:100],
        model=redacted(response.model)[:200],
        refusal=refusal,
    )
