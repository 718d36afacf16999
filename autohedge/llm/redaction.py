"""Removes texts that look like API keys, and shortens very long texts, before they reach a transcript.

Both happen before a text is sent, parsed or written, so that the recorded text is the one that was used.
"""

import re

import msgspec

from autohedge.llm.backend import LLMRequest, LLMResponse, Message

REDACTED = "[redacted]"
CUT = " [cut]"
MAX_TEXT_BYTES = 1 << 16
# A prefix such as `sk-` must be followed by 16 characters with a digit among them, to spare ordinary words.
_SECRET = re.compile(
    r"\bBearer\s+[\w.~+/=-]{8,}"
    r"|\b(?:sk|pk|rk|xai|ghp|gho|hf|gsk|glpat|xoxb)[-_](?=[\w-]*[0-9])[\w-]{16,}"
    r"|\bAKIA[0-9A-Z]{16}\b"
    r"|\bAIza[\w-]{35}",
    re.IGNORECASE,
)
# The expression takes a fifth of a millisecond per prompt; most prompts contain none of its beginnings.
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
    """Returns an encodable text with `[redacted]` in place of everything that looks like an API key.

    Keys are recognized by their beginnings: `sk-…` and similar, `Bearer …`, AWS and Google keys. Keys of
    other shapes are not recognized.
    """
    sound = text.encode(errors="replace").decode()
    lowered = sound.lower()
    return _SECRET.sub(REDACTED, sound) if any(mark in lowered for mark in _MARKS) else sound


def bounded(text: str) -> str:
    """Returns at most the first 64 KiB of a text; a cut text gets a mark and is too long to be parsed."""
    content = text.encode(errors="replace")
    if len(content) <= MAX_TEXT_BYTES or was_cut(text):
        return text
    return content[:MAX_TEXT_BYTES].decode(errors="ignore") + CUT


def was_cut(text: str) -> bool:
    """Whether `bounded` cut this text."""
    # Up to three bytes of a character at the cut are dropped.
    size = len(text.encode(errors="replace")) - len(CUT)
    return text.endswith(CUT) and MAX_TEXT_BYTES - 4 < size <= MAX_TEXT_BYTES


def clean_request(request: LLMRequest) -> LLMRequest:
    """Returns a request without secrets in its messages."""
    messages = tuple(Message(each.role, redacted(each.content)) for each in request.messages)
    return msgspec.structs.replace(request, messages=messages)


def clean_response(response: LLMResponse) -> LLMResponse:
    """Returns a response of bounded length without secrets in the texts of model and server."""
    refusal = None if response.refusal is None else bounded(redacted(response.refusal))
    return msgspec.structs.replace(
        response,
        text=bounded(redacted(response.text)),
        finish_reason=redacted(response.finish_reason)[:100],
        model=redacted(response.model)[:200],
        refusal=refusal,
    )
