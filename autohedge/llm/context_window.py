"""Checks that a model reads the whole prompt.

Servers count tokens differently, and some cut a prompt that is too long without an error. So both sides are
checked: a request that may not fit is not sent, and an answer to a prompt that was cut is rejected.
"""

import msgspec

from autohedge.llm.backend import LLMRequest, LLMResponse

OVERHEAD_TOKENS = 8  # roles and separators of one message
_ALPHABET = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_DIGITS = b"0123456789"
_LETTERS = _ALPHABET + b" \t\r\n"


def text_tokens(text: str) -> int:
    """Returns an upper bound of a text's tokens: one per three letters or spaces, one per other byte.

    Words have four or five letters per token, but some tokenizers split numbers and punctuation into single
    characters. No tokenizer makes more than one token of a byte.
    """
    content = text.encode(errors="replace")
    others = len(content.translate(None, _LETTERS))
    # Two negations round the quotient up.
    return others + -(-(len(content) - others) // 3)


def prompt_tokens(request: LLMRequest) -> int:
    """Returns an upper bound of the tokens of a request without its answer; includes the schema."""
    messages = sum(OVERHEAD_TOKENS + text_tokens(message.content) for message in request.messages)
    return messages + text_tokens(msgspec.json.encode(request.schema).decode())


def min_tokens(request: LLMRequest) -> int:
    """Returns a lower bound of a request's tokens in any tokenizer: one per eight letters or four digits."""
    content = "".join(message.content for message in request.messages).encode(errors="replace")
    letters = len(content) - len(content.translate(None, _ALPHABET))
    digits = len(content) - len(content.translate(None, _DIGITS))
    return digits // 4 + letters // 8


def overflow_error(request: LLMRequest, context_tokens: int) -> str:
    """Returns why a request and its answer do not fit the context, or an empty string."""
    wanted = prompt_tokens(request) + request.max_tokens
    if wanted <= context_tokens:
        return ""
    return (
        f"prompt and answer may take {wanted} tokens of {context_tokens}: "
        "show less or raise llm.context_tokens"
    )


def truncation_error(request: LLMRequest, response: LLMResponse) -> str:
    """Returns why a server cannot have read the whole prompt; empty if it can, or reports no count."""
    counted = response.usage.prompt_tokens if response.usage else 0
    certain = min_tokens(request)
    if counted <= 0 or counted >= certain:
        return ""
    return f"the server read {counted} tokens of at least {certain}: raise the context length in the server"
