"""Removes texts that look like API keys, and shortens very long texts, before they reach a transcript.

Both happen before a text is sent, parsed or written, so that the recorded text is the one that was used.
"""

from functools import lru_cache

import msgspec

from autohedge.core.redaction import redacted
from autohedge.llm.backend import LLMRequest, LLMResponse, Message

CUT = " [cut]"
MAX_TEXT_BYTES = 1 << 16


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
    return msgspec.structs.replace(request, messages=tuple(map(_clean_message, request.messages)))


@lru_cache(maxsize=32)  # system parts recur, and a request is cleaned again when it is recorded
def _clean_message(message: Message) -> Message:
    return Message(message.role, redacted(message.content))


def clean_response(response: LLMResponse) -> LLMResponse:
    """Returns a response of bounded length without secrets in the texts of model and server."""
    refusal = None if response.refusal is None else bounded(redacted(response.refusal))
    reasoning = bounded(redacted(response.reasoning)) if response.reasoning else msgspec.UNSET
    return msgspec.structs.replace(
        response,
        text=bounded(redacted(response.text)),
        finish_reason=redacted(response.finish_reason)[:100],
        model=redacted(response.model)[:200],
        refusal=refusal,
        reasoning=reasoning,
    )
