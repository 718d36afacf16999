"""The interface of every model: a request in, the raw answer out, whatever the server is.

`FailureCode` lists the ways in which a call can fail. An answer that arrived but cannot be used is
rejected in `parsing`.
"""

from typing import Any, Literal, Protocol, runtime_checkable

import msgspec

from autohedge.config.sections import Reasoning
from autohedge.core.errors import AutoHedgeError


class Message(msgspec.Struct, frozen=True, gc=False):
    """One message of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


class LLMRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """One request to a model; `schema` is the JSON schema that the answer must match.

    `snapshot` is the hash of the snapshot that the prompt was rendered from, for backends that answer from
    it. An empty `model` selects the backend's default. `timeout_s` limits one try; 0 means `llm.timeout_s`.
    `exact_symbol` means that the run has another symbol that differs from this one in its spelling only.
    `reasoning` is how much the model should think, `extra_body` is merged into the body of the request.
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
    exact_symbol: bool = False
    reasoning: Reasoning = "auto"
    keep_alive: str = ""
    extra_body: dict[str, Any] = {}


class Usage(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Tokens as counted by the server.

    `cached_tokens` are those of the prompt that the server had read before and left out of `prompt_tokens`;
    `cached_prompt_tokens` are those that it counts there.
    """

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0
    cached_prompt_tokens: int = 0


class LLMResponse(msgspec.Struct, frozen=True):
    """The raw answer: `text` as the model wrote it, `finish_reason` as the server reported it.

    `sent_as` is the mode in which the schema was sent (json_schema, json_object, text, native, script).
    `service_ms` is the duration of the call by the client's own clock, or the one that a script states.
    `reasoning` is what the server reports as thinking: it is recorded and never parsed.
    """

    text: str
    finish_reason: str
    model: str
    server: str
    sent_as: str
    usage: Usage | None
    service_ms: float
    refusal: str | None = None
    # Left out of the record where it is unset, so that the records of other answers keep their bytes.
    reasoning: str | msgspec.UnsetType = msgspec.UNSET


FailureCode = Literal[
    "timeout",
    "unreachable",
    "bad_request",
    "certificate",
    "unauthorized",
    "quota",
    "model_gone",
    "rate_limited",
    "server_error",
    "context_overflow",
    "garbage_reply",
]
# Only failures that can pass by themselves. The others need a person (key, model, address, prompt), so a
# retry would spend budget and deadline for nothing.
RETRYABLE: frozenset[str] = frozenset({"timeout", "unreachable", "rate_limited", "server_error"})


class LLMError(AutoHedgeError):
    """A call without a usable reply: `code` is the kind of failure, `after_s` the Retry-After or 0.

    `status` and `body` are those of the server's reply, if there was one. The body is not recorded.
    """

    def __init__(self, code: FailureCode, text: str, after_s: float = 0.0) -> None:
        super().__init__(text)
        self.code: FailureCode = code
        self.after_s = after_s
        self.status = 0
        self.body = b""


class LLMBackend(Protocol):
    """One model behind one server, or a substitute that answers in its place.

    `name` is the provider, `model` the server's name of the model, `server` the kind of server
    (lm_studio, ollama, llama_cpp, vllm, openai, rules, scripted …).
    """

    name: str
    model: str
    server: str

    async def complete(self, request: LLMRequest) -> LLMResponse:
        """Sends the request once, within the request's timeout or else the backend's own. Raises LLMError."""
        ...

    async def close(self) -> None:
        """Closes all connections."""
        ...


@runtime_checkable
class AnswerLimitingBackend(Protocol):
    """A backend that may allow longer answers than a request asks for."""

    def answer_tokens(self, request: LLMRequest) -> int:
        """Returns the longest answer to this request, in tokens."""
        ...


def answer_tokens(backend: LLMBackend, request: LLMRequest) -> int:
    """Returns the longest answer that a backend allows for this request, in tokens."""
    return (
        backend.answer_tokens(request) if isinstance(backend, AnswerLimitingBackend) else request.max_tokens
    )
