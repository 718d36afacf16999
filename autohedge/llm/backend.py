"""What every model looks like from here: a request in, the raw answer out, whatever the server is.

FAILURES names what can go wrong between the two; an answer that came but is no use is judged in
`answers`.
"""

from typing import Any, Literal, Protocol

import msgspec

from autohedge.core.errors import AutoHedgeError


class Message(msgspec.Struct, frozen=True, gc=False):
    """One message of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


class LLMRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """One question to a model: `schema` is the JSON schema that the answer must fit.

    `snapshot` is the hash of what the prompt was rendered from, for backends that answer from it. `model` is
    empty for the backend's own; `timeout_s` is how long one try may take, 0 for as long as `llm.timeout_s` says.
    """

    agent: str
    symbol: str
    messages: tuple[Message, ...]
    schema: dict[str, Any]
    temperature: float
    max_tokens: int
    prompt_hash: str
    snapshot: str
    model: str = ""
    timeout_s: float = 0.0


class Usage(msgspec.Struct, frozen=True, gc=False):
    """Tokens as the server counts them."""

    prompt_tokens: int
    completion_tokens: int


class LLMResponse(msgspec.Struct, frozen=True):
    """What came back, untouched: `text` as the model wrote it, `finish_reason` as the server said it.

    `sent_as` is the form in which the schema went out (json_schema, json_object, text, native …).
    `service_ms` is the client's own clock around the call.
    """

    text: str
    finish_reason: str
    model: str
    server: str
    sent_as: str
    usage: Usage | None
    service_ms: float
    refusal: str | None = None


FailureCode = Literal[
    "timeout",
    "unreachable",
    "bad_request",
    "unauthorized",
    "model_gone",
    "rate_limited",
    "server_error",
    "context_overflow",
    "garbage_reply",
]
RETRYABLE: frozenset[str] = frozenset({"timeout", "unreachable", "rate_limited", "server_error"})


class LLMError(AutoHedgeError):
    """No usable reply came: `code` says which way; `after_s` is the server's Retry-After, 0 without one."""

    def __init__(self, code: FailureCode, text: str, after_s: float = 0.0) -> None:
        super().__init__(text)
        self.code: FailureCode = code
        self.after_s = after_s


class LLMBackend(Protocol):
    """One model behind one server, or something that answers in its place.

    `name` is the provider's, `model` what the server calls the model, `server` its kind
    (lm_studio, ollama, llama_cpp, vllm, openai, rules, scripted …).
    """

    name: str
    model: str
    server: str

    async def complete(self, request: LLMRequest) -> LLMResponse:
        """Ask once. Raises LLMError; never waits longer than the request's timeout, else its own."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...
