"""Checks that a model reads the whole prompt.

Servers count tokens differently, and some cut a prompt that is too long without an error. So both sides are
checked: a request that may not fit is not sent, and an answer to a prompt that was cut is rejected.

Some servers count only the tokens that they have not read before. A small count is then no cut, but only if
the server has read the same prompt, or one with the same beginning, in full.
"""

from collections import deque
from typing import NamedTuple

import msgspec

from autohedge.llm.backend import LLMRequest, LLMResponse, Usage

OVERHEAD_TOKENS = 8  # roles and separators of one message
KEPT_PROMPTS = 64  # servers cache fewer
# The rest of a prompt has at least this share of the tokens that the prompt read before lets expect.
LEAST_SHARE = 2 / 3
# A prompt that needs so much more context than any before may be cut; a repair needs less.
LARGEST_GROWTH = 1.25
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
    return _min_text_tokens("".join(message.content for message in request.messages))


def _min_text_tokens(text: str) -> int:
    content = text.encode(errors="replace")
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
    usage, certain = response.usage, min_tokens(request)
    if usage is None or usage.prompt_tokens <= 0 or _read_tokens(usage) >= certain:
        return ""
    counted = _read_tokens(usage)
    return f"the server read {counted} tokens of at least {certain}: raise the context length in the server"


def _read_tokens(usage: Usage) -> int:
    return usage.prompt_tokens + usage.cached_tokens


class _ReadPrompt(NamedTuple):
    """A prompt that a server read, its tokens per token of the upper bound, and the context it needed."""

    model: str
    text: str
    ratio: float
    context_tokens: int


class ReadPrompts:
    """The last prompts that one backend read in full: the evidence that a small count is that of a cache."""

    def __init__(self) -> None:
        self._read: deque[_ReadPrompt] = deque(maxlen=KEPT_PROMPTS)

    def counted(self, request: LLMRequest, response: LLMResponse) -> LLMResponse:
        """Returns the response with the tokens that the server's cache explains, and remembers the prompt.

        The response alone then shows whether the prompt was cut, so a replay needs no other prompts.
        """
        usage, text = response.usage, _text(request)
        if usage is None or usage.prompt_tokens <= 0:
            return response
        missing, ratio = min_tokens(request) - _read_tokens(usage), _read_tokens(usage) / text_tokens(text)
        if missing > 0:
            source = self._source(request.model, text, usage.prompt_tokens)
            if source is None:
                return response
            cached = usage.cached_tokens + missing
            ratio, usage = source.ratio, msgspec.structs.replace(usage, cached_tokens=cached)
        context_tokens = _read_tokens(usage) + usage.completion_tokens
        self._read.append(_ReadPrompt(request.model, text, ratio, context_tokens))
        return msgspec.structs.replace(response, usage=usage)

    def _source(self, model: str, text: str, counted: int) -> _ReadPrompt | None:
        """Returns a prompt that was read before and whose beginning explains a small count, or None."""
        same = [prompt for prompt in reversed(self._read) if prompt.model == model]
        room = LARGEST_GROWTH * max((prompt.context_tokens for prompt in same), default=0)
        return next((each for each in same if _explains(each, text, counted, room)), None)


def _explains(prompt: _ReadPrompt, text: str, counted: int, room: float) -> bool:
    """Whether a server that had read `prompt` counts so few tokens for `text`, which fits into `room`."""
    rest = text[_common_chars(prompt.text, text) :]
    least = max(_min_text_tokens(rest), LEAST_SHARE * prompt.ratio * text_tokens(rest))
    return counted >= least and prompt.ratio * text_tokens(text) <= room


def _common_chars(one: str, other: str) -> int:
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))


def _text(request: LLMRequest) -> str:
    """Returns all messages as one text, which also tells their roles."""
    return "".join(f"\0{message.role}\n{message.content}" for message in request.messages)
