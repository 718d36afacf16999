"""Ollama's native protocol, the only one of its protocols that sets the context length of a call."""

from typing import Any

import msgspec

from autohedge.core.clock import monotonic_ns
from autohedge.llm.backend import LLMError, LLMRequest, LLMResponse, Usage
from autohedge.llm.backends.detection import first_chat_model, model_names
from autohedge.llm.errors import llm_error, one_line

OLLAMA_URL = "http://127.0.0.1:11434"


class _MessageBody(msgspec.Struct):
    content: str


class _Reply(msgspec.Struct):
    """The fields of a reply that are used; a reply of another shape is rejected."""

    message: _MessageBody
    model: str = ""
    done_reason: str = ""
    prompt_eval_count: int | None = None
    eval_count: int | None = None


class OllamaBackend:
    """A model of an Ollama server. One instance serves one event loop."""

    name = "ollama"
    server = "ollama"

    def __init__(
        self, base_url: str, model: str, *, context_tokens: int = 8192, timeout_s: float = 60.0
    ) -> None:
        from autohedge.llm.backends.transport import JsonClient

        self.base_url, self.model = base_url, model
        self._context_tokens = context_tokens
        self._http = JsonClient(base_url, None, timeout_s)

    async def complete(self, request: LLMRequest) -> LLMResponse:
        """Sends the request once. Raises LLMError."""
        begun_ns = monotonic_ns()
        raw_reply = await self._http.post(f"{self.base_url}/api/chat", self._body(request), request.timeout_s)
        return self._response(raw_reply, (monotonic_ns() - begun_ns) / 1e6)

    async def name_model(self) -> None:
        """Selects the first listed model if none is named. Raises LLMError, also if none is listed."""
        if self.model:
            return
        listed = await self._http.get(f"{self.base_url}/api/tags")
        self.model = first_chat_model(model_names(listed, "models", "name"))
        if not self.model:
            raise llm_error("model_gone", self.base_url, "it lists no model; run `ollama pull` first")

    async def close(self) -> None:
        """Closes all connections."""
        await self._http.close()

    def _body(self, request: LLMRequest) -> dict[str, Any]:
        # Without `num_ctx` Ollama uses a short default context and cuts a longer prompt silently.
        limits = {"num_ctx": self._context_tokens, "num_predict": request.max_tokens}
        return {
            "model": self.model,
            "messages": request.messages,
            "format": request.schema,
            "stream": False,
            "options": {**limits, "temperature": request.temperature},
        }

    def _response(self, raw_reply: dict[str, Any], service_ms: float) -> LLMResponse:
        try:
            reply = msgspec.convert(raw_reply, _Reply)
        except msgspec.ValidationError as error:
            raise llm_error("garbage_reply", self.base_url, f"its reply is no chat ({error})") from None
        return LLMResponse(
            text=reply.message.content,
            finish_reason=one_line(reply.done_reason),
            model=one_line(reply.model or self.model),
            server=self.server,
            sent_as="native",
            usage=_usage(reply),
            service_ms=service_ms,
        )


def _usage(reply: _Reply) -> Usage | None:
    """Returns None unless both counts are there: Ollama reports no prompt tokens for a cached prompt."""
    if reply.prompt_eval_count is None or reply.eval_count is None:
        return None
    return Usage(reply.prompt_eval_count, reply.eval_count)


async def open_ollama(base_url: str, model: str, context_tokens: int, timeout_s: float) -> OllamaBackend:
    """Returns a backend whose model is set. Raises LLMError if none is named and none can be listed."""
    backend = OllamaBackend(base_url, model, context_tokens=context_tokens, timeout_s=timeout_s)
    try:
        await backend.name_model()
    except LLMError:
        await backend.close()
        raise
    return backend
