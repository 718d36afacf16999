"""Whether a model can have read all of what it was asked.

Servers differ in how they count and some silently drop what does not fit, so both ends are checked here:
what would not fit is not sent, and a reply to a prompt that was cut is no answer to the question.
"""

import msgspec

from autohedge.llm.backend import LLMRequest, LLMResponse

OVERHEAD_TOKENS = 8  # roles and separators of one message
_ALPHABET = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_DIGITS = b"0123456789"
_LETTERS = _ALPHABET + b" \t\r\n"


def text_tokens(text: str) -> int:
    """More tokens than a text has: three letters or spaces each, every other byte one of its own.

    Words come to four or five letters a token, but some tokenizers take figures and signs one by one, and
    no tokenizer makes more than one token of a byte.
    """
    content = text.encode(errors="replace")
    others = len(content.translate(None, _LETTERS))
    return others + -(-(len(content) - others) // 3)


def prompt_tokens(request: LLMRequest) -> int:
    """An upper estimate of what a request takes of the context before the answer, its schema included."""
    messages = sum(OVERHEAD_TOKENS + text_tokens(message.content) for message in request.messages)
    return messages + text_tokens(msgspec.json.encode(request.schema).decode())


def min_tokens(request: LLMRequest) -> int:
    """Fewer tokens than any tokenizer makes of a request: eight letters each, or four digits."""
    content = "".join(message.content for message in request.messages).encode(errors="replace")
    letters = len(content) - len(content.translate(None, _ALPHABET))
    digits = len(content) - len(content.translate(None, _DIGITS))
    return digits // 4 + letters // 8


def overflow_error(request: LLMRequest, context_tokens: int) -> str:
    """Why a request does not fit the context, with room for its answer; empty if it does."""
    wanted = prompt_tokens(request) + request.max_tokens
    if wanted <= context_tokens:
        return ""
    return f"prompt and answer may take {wanted} tokens of {context_tokens}: show less or raise llm.context_tokens"


def truncation_error(request: LLMRequest, response: LLMResponse) -> str:
    """Why a server cannot have read the whole prompt; empty if it can, or does not say."""
    counted = response.usage.prompt_tokens if response.usage else 0
    certain = min_tokens(request)
    if counted <= 0 or counted >= certain:
        return ""
    return f"the server read {counted} tokens of at least {certain}: raise the context length in the server"
