"""Ollama's native protocol, the only one of its protocols that sets the context length of a call."""

from typing import TYPE_CHECKING, Any

import msgspec

from autohedge.config import merge
from autohedge.core.clock import monotonic_ns
from autohedge.llm.backend import LLMError, LLMRequest, LLMResponse, Usage
from autohedge.llm.backends.adaptive import AdaptiveBackend, messages_for
from autohedge.llm.backends.capabilities import DEFAULTS, AnswerSettings, ModelCapability, OutputMode
from autohedge.llm.backends.model_listing import Server, entries, model_names
from autohedge.llm.backends.model_selection import ModelServer, open_model
from autohedge.llm.errors import llm_error, one_line

if TYPE_CHECKING:
    from autohedge.llm.backends.transport import JsonClient

OLLAMA_URL = "http://127.0.0.1:11434"


class _MessageBody(msgspec.Struct):
    content: str
    thinking: str | None = None


class _Reply(msgspec.Struct):
    """The fields of a reply that are used; a reply of another shape is rejected."""

    message: _MessageBody
    model: str = ""
    done_reason: str = ""
    prompt_eval_count: int | None = None
    eval_count: int | None = None


class OllamaBackend(AdaptiveBackend):
    """A model of an Ollama server."""

    name = "ollama"

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        context_tokens: int = 8192,
        timeout_s: float = 60.0,
        known: ModelCapability | None = None,
    ) -> None:
        from autohedge.llm.backends.transport import JsonClient

        super().__init__(known or _assumed(ModelCapability(base_url, model)), timeout_s, context_tokens)
        self._http = JsonClient(base_url, None, timeout_s)

    async def close(self) -> None:
        """Closes all connections."""
        await self._http.close()

    async def _send(self, request: LLMRequest, known: ModelCapability) -> LLMResponse:
        begun_ns = monotonic_ns()
        body = self._body(request, known)
        raw_reply = await self._http.post(f"{self.base_url}/api/chat", body, request.timeout_s)
        return self._response(raw_reply, known.form, (monotonic_ns() - begun_ns) / 1e6)

    def _body(self, request: LLMRequest, known: ModelCapability) -> dict[str, Any]:
        # Without `num_ctx` Ollama uses a short default context and cuts a longer prompt silently.
        limit = known.answer_tokens(request, self._context_tokens)
        options: dict[str, Any] = {"num_ctx": self._context_tokens, known.limit: limit}
        if known.temperature:
            options["temperature"] = request.temperature
        body = {
            "model": self.model,
            "messages": messages_for(request, known.form),
            "stream": False,
            "options": options,
        }
        if known.form != "text":
            body["format"] = request.schema if known.form == "json_schema" else "json"
        if request.keep_alive:
            body["keep_alive"] = _duration(request.keep_alive)
        return merge([body, known.thinking_part(request.reasoning), request.extra_body])

    def _response(self, raw_reply: dict[str, Any], form: OutputMode, service_ms: float) -> LLMResponse:
        try:
            reply = msgspec.convert(raw_reply, _Reply)
        except msgspec.ValidationError as error:
            raise llm_error("garbage_reply", self.base_url, f"its reply is no chat ({error})") from None
        return LLMResponse(
            text=reply.message.content,
            finish_reason=one_line(reply.done_reason),
            model=one_line(reply.model or self.model),
            server=self.server,
            sent_as="native" if form == "json_schema" else form,
            usage=_usage(reply),
            service_ms=service_ms,
            reasoning=reply.message.thinking or msgspec.UNSET,
        )


def _usage(reply: _Reply) -> Usage | None:
    """Returns None unless both counts are there: Ollama reports no prompt tokens for a cached prompt."""
    if reply.prompt_eval_count is None or reply.eval_count is None:
        return None
    return Usage(reply.prompt_eval_count, reply.eval_count)


def _duration(keep_alive: str) -> str | int:
    """Returns a duration with a unit as it is, and one without as a number of seconds."""
    try:
        return int(keep_alive)
    except ValueError:
        return keep_alive


def _assumed(known: ModelCapability) -> ModelCapability:
    return msgspec.structs.replace(known, server="ollama", limit="num_predict")


async def _identified(http: "JsonClient") -> Server:
    """Returns the models of a server. Raises LLMError if it cannot be reached or is too slow."""
    try:
        listed = await http.get(f"{http.base_url}/api/tags")
    except LLMError as error:
        if error.code in {"unreachable", "timeout"}:
            raise
        return Server("ollama", (), (), error)
    rows = tuple({**row, "id": row.get("name")} for row in entries(listed, "models"))
    return Server("ollama", model_names(listed, "models", "name"), rows)


async def open_ollama(
    base_url: str,
    model: str,
    context_tokens: int,
    timeout_s: float,
    settings: AnswerSettings = DEFAULTS,
) -> OllamaBackend:
    """Returns a backend whose model is set, and whose way to be asked is known, from the cache or measured.

    Raises LLMError as `open_model` does.
    """
    from autohedge.llm.backends.transport import JsonClient

    def backend(known: ModelCapability) -> OllamaBackend:
        asked = _assumed(known)
        return OllamaBackend(
            base_url, known.model, context_tokens=context_tokens, timeout_s=timeout_s, known=asked
        )

    http = JsonClient(base_url, None, timeout_s)
    try:
        return await open_model(ModelServer(http, _identified, backend, settings, timeout_s), model)
    finally:
        await http.close()
