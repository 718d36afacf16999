"""Ollama by its native protocol, the only one that sets the context length of a call."""

from typing import Any

import msgspec

from autohedge.core.clock import monotonic_ns
from autohedge.llm.backend import ModelFailure, Request, Response, Usage
from autohedge.llm.failures import failure, plain
from autohedge.llm.kinds import first_that_answers, names

OLLAMA_URL = "http://127.0.0.1:11434"


class _Said(msgspec.Struct):
    content: str


class _Reply(msgspec.Struct):
    """The part of a reply that is used; what has another shape is no reply."""

    message: _Said
    model: str = ""
    done_reason: str = ""
    prompt_eval_count: int | None = None
    eval_count: int | None = None


class Ollama:
    """A model of an Ollama server. One instance serves one event loop."""

    name = "ollama"
    server = "ollama"

    def __init__(
        self, base_url: str, model: str, *, context_tokens: int = 8192, timeout_s: float = 60.0
    ) -> None:
        from autohedge.llm.transport import Json

        self.base_url, self.model = base_url, model
        self._context_tokens = context_tokens
        self._http = Json(base_url, None, timeout_s)

    async def complete(self, request: Request) -> Response:
        """Ask once. Raises ModelFailure."""
        begun_ns = monotonic_ns()
        said = await self._http.post(f"{self.base_url}/api/chat", self._body(request), request.timeout_s)
        return self._response(said, (monotonic_ns() - begun_ns) / 1e6)

    async def name_model(self) -> None:
        """Take the first listed model if none is named. Raises ModelFailure, also if none is listed."""
        if self.model:
            return
        listed = await self._http.get(f"{self.base_url}/api/tags")
        self.model = first_that_answers(names(listed, "models", "name"))
        if not self.model:
            raise failure("model_gone", self.base_url, "it lists no model; run `ollama pull` first")

    async def close(self) -> None:
        """Let go of connections."""
        await self._http.close()

    def _body(self, request: Request) -> dict[str, Any]:
        limits = {"num_ctx": self._context_tokens, "num_predict": request.max_tokens}
        return {
            "model": self.model,
            "messages": request.messages,
            "format": request.schema,
            "stream": False,
            "options": {**limits, "temperature": request.temperature},
        }

    def _response(self, said: dict[str, Any], service_ms: float) -> Response:
        try:
            reply = msgspec.convert(said, _Reply)
        except msgspec.ValidationError as error:
            raise failure("garbage_reply", self.base_url, f"its reply is no chat ({error})") from None
        return Response(
            text=reply.message.content,
            finish_reason=plain(reply.done_reason),
            model=plain(reply.model or self.model),
            server=self.server,
            sent_as="native",
            usage=_usage(reply),
            service_ms=service_ms,
        )


def _usage(reply: _Reply) -> Usage | None:
    """A count alone is none: a cached prompt is reported without its tokens."""
    if reply.prompt_eval_count is None or reply.eval_count is None:
        return None
    return Usage(reply.prompt_eval_count, reply.eval_count)


async def open_ollama(base_url: str, model: str, context_tokens: int, timeout_s: float) -> Ollama:
    """A backend with its model named. Raises ModelFailure if none is named and none can be listed."""
    backend = Ollama(base_url, model, context_tokens=context_tokens, timeout_s=timeout_s)
    try:
        await backend.name_model()
    except ModelFailure:
        await backend.close()
        raise
    return backend
