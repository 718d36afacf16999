"""Servers with OpenAI's chat-completions protocol: OpenAI, LM Studio, llama.cpp, vLLM, Ollama."""

import asyncio
import re
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any

import msgspec
from pydantic import SecretStr

from autohedge.core.clock import monotonic_ns
from autohedge.llm.backend import RETRYABLE, LLMError, LLMRequest, LLMResponse, Message, Usage
from autohedge.llm.backends import capabilities, tracing
from autohedge.llm.backends.capabilities import FORMS, ModelCapability, OutputMode
from autohedge.llm.backends.detection import Server, detect_server, first_chat_model
from autohedge.llm.errors import FormatRefused, llm_error, mask_key, one_line

if TYPE_CHECKING:
    from langchain_core.messages import AIMessage

OPENAI_URL = "https://api.openai.com/v1"

_NO_KEY = "none"  # the library requires a key; servers without authentication accept any
_PLACE = re.compile(r"[^A-Za-z0-9_-]+")


class OpenAICompatible:
    """A model behind a chat-completions address, queried in the strongest output mode that it supports.

    One instance serves one event loop. `output_mode` is the mode to start with. If the server rejects it, the
    same request is sent in the next weaker mode, which is then used for all later requests and runs.
    """

    name = "openai"

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        api_key: SecretStr | None = None,
        timeout_s: float = 60.0,
        server: str = "unknown",
        output_mode: OutputMode = "json_schema",
    ) -> None:
        self.base_url, self.model, self.server, self.output_mode = base_url, model, server, output_mode
        self._key, self._timeout_s = api_key, timeout_s
        self._client, self._chat = _new_chat(base_url, model, api_key, timeout_s)

    @classmethod
    def of(cls, known: ModelCapability, api_key: SecretStr | None, timeout_s: float) -> "OpenAICompatible":
        """Returns a backend for a model whose capability is known."""
        where = known.base_url, known.model
        return cls(*where, api_key=api_key, timeout_s=timeout_s, server=known.server, output_mode=known.form)

    async def complete(self, request: LLMRequest) -> LLMResponse:
        """Sends the request, again in a weaker mode if the server rejects the mode. Raises LLMError."""
        return await self._in_time(self._with_fallback(request), self._limit_s(request))

    async def ask(self, request: LLMRequest, form: OutputMode) -> LLMResponse:
        """Sends the request in this mode only. Raises LLMError; FormatRefused if the mode is rejected."""
        return await self._in_time(self._ask(request, form), self._limit_s(request))

    async def close(self) -> None:
        """Closes all connections."""
        await self._client.aclose()

    def _limit_s(self, request: LLMRequest) -> float:
        return request.timeout_s or self._timeout_s

    async def _in_time(self, answer: Awaitable[LLMResponse], limit_s: float) -> LLMResponse:
        # The library's timeout bounds single reads: a server that sends a byte now and then would never end.
        try:
            async with asyncio.timeout(limit_s):
                return await answer
        except TimeoutError:
            detail = f"no answer in {limit_s:g} s"
            raise llm_error("timeout", self.base_url, detail) from None

    async def _ask(self, request: LLMRequest, form: OutputMode) -> LLMResponse:
        begun_ns = monotonic_ns()
        try:
            # The messages are in `extra_body`, see `_extra`.
            message = await self._chat.ainvoke(
                [],
                temperature=request.temperature,
                timeout=self._limit_s(request),
                extra_body=self._extra(request, form),
            )
            return self._response(message, form, (monotonic_ns() - begun_ns) / 1e6)
        except LLMError:
            raise
        except Exception as error:  # noqa: BLE001 - an unexpected reply makes the library raise any exception
            detail = f"its reply is no chat completion ({type(error).__name__}: {error})"
            raise llm_error("garbage_reply", self.base_url, detail, self._key) from None

    async def _with_fallback(self, request: LLMRequest) -> LLMResponse:
        form = self.output_mode
        while True:
            try:
                return await self._ask(request, form)
            except FormatRefused:
                weaker = capabilities.weaker(form)
                if weaker is None:
                    raise
                form = self._downgrade(weaker)

    def _downgrade(self, weaker: OutputMode) -> OutputMode:
        """Lowers the mode, never raises it: concurrent calls may have lowered it further already."""
        if capabilities.FORMS.index(weaker) > capabilities.FORMS.index(self.output_mode):
            self.output_mode = weaker
            capabilities.store(ModelCapability(self.base_url, self.model, self.server, weaker, 0))
        return weaker

    def _extra(self, request: LLMRequest, form: OutputMode) -> dict[str, Any]:
        """Returns the part of the body that bypasses the library.

        With a schema the library would parse the answer and lose its raw text. The messages bypass it too:
        converting them took a quarter of the cost of a call.
        """
        # OpenAI's newer models reject `max_tokens`; other servers may not know its new name.
        limit = "max_completion_tokens" if self.server == "openai" else "max_tokens"
        messages = [{"role": each.role, "content": each.content} for each in _messages_for(request, form)]
        extra: dict[str, Any] = {"messages": messages, limit: request.max_tokens}
        if form == "json_schema":
            # The protocol allows 64 letters, digits, underscores and hyphens in a name.
            named = {"name": _PLACE.sub("_", request.agent)[:64] or "answer", "strict": True}
            extra["response_format"] = {"type": form, "json_schema": {**named, "schema": request.schema}}
        elif form == "json_object":
            extra["response_format"] = {"type": form}
        return extra

    def _response(self, message: "AIMessage", form: OutputMode, service_ms: float) -> LLMResponse:
        about = message.response_metadata
        refusal = message.additional_kwargs.get("refusal")
        return LLMResponse(
            text=mask_key(str(message.text), self._key),
            finish_reason=one_line(str(about.get("finish_reason") or ""), self._key),
            model=one_line(str(about.get("model_name") or self.model), self._key),
            server=self.server,
            sent_as=form,
            usage=_usage(message),
            service_ms=service_ms,
            refusal=mask_key(str(refusal), self._key) if refusal else None,
        )


def _new_chat(base_url: str, model: str, key: SecretStr | None, timeout_s: float) -> tuple[Any, Any]:
    """Returns the HTTP client and the chat model that uses it.

    The library's default client is shared between event loops and follows proxies, so it is not used.
    """
    tracing.disable_tracing()
    from langchain_openai import ChatOpenAI

    from autohedge.llm.backends.transport import new_client

    client = new_client(base_url, key, timeout_s)
    chat = ChatOpenAI(
        model=model,
        base_url=base_url,
        api_key=key or SecretStr(_NO_KEY),
        http_async_client=client,
        timeout=timeout_s,
        max_retries=0,  # `policy.Retries` retries, within budget and deadline
        use_responses_api=False,  # servers other than OpenAI may lack it
        openai_proxy="",  # else OPENAI_PROXY of the environment would clash with the client
        cache=False,  # a cache of the process would return answers without a call
    )
    return client, chat


def _messages_for(request: LLMRequest, form: OutputMode) -> tuple[Message, ...]:
    """Returns the messages; unless the server enforces the schema, the last one includes it as text."""
    if form == "json_schema":
        return request.messages
    schema = msgspec.json.encode(request.schema).decode()
    instruction = f"Answer with one JSON object that fits this JSON schema, and with nothing else:\n{schema}"
    *before, last = request.messages
    return (*before, Message(last.role, f"{last.content}\n\n{instruction}"))


def _usage(message: "AIMessage") -> Usage | None:
    """Returns the counts as integers, which the transcript requires and the library does not guarantee."""
    counted = message.usage_metadata
    return Usage(int(counted["input_tokens"]), int(counted["output_tokens"])) if counted else None


async def open_openai_compatible(
    base_url: str, model: str, api_key: SecretStr | None, timeout_s: float
) -> OpenAICompatible:
    """Returns a backend whose model is set and whose output mode is known, from the cache or measured now.

    If the server is down or busy, a named model is used unmeasured, and is measured in a later run.
    Raises LLMError if no model is named and none is listed, or if the server rejects the key or the model.
    """
    capability = capabilities.load(base_url, model) if model else None
    if capability is None:
        try:
            capability = await _examined(base_url, model, api_key, timeout_s)
        except LLMError as error:
            if not model or error.code not in RETRYABLE:
                raise
            capability = ModelCapability(base_url, model, "unknown", FORMS[0], 0)
    return OpenAICompatible.of(capability, api_key, timeout_s)


async def _examined(base_url: str, model: str, key: SecretStr | None, timeout_s: float) -> ModelCapability:
    server = await _identified(base_url, key, timeout_s)
    model = model or first_chat_model(server.models)
    if not model:
        raise llm_error("model_gone", base_url, "it lists no model")
    return capabilities.load(base_url, model) or await _measured(base_url, model, server.kind, key, timeout_s)


async def _identified(base_url: str, key: SecretStr | None, timeout_s: float) -> Server:
    from autohedge.llm.backends.transport import JsonClient

    http = JsonClient(base_url, key, timeout_s)
    try:
        return await detect_server(http)
    finally:
        await http.close()


async def _measured(
    base_url: str, model: str, kind: str, key: SecretStr | None, timeout_s: float
) -> ModelCapability:
    found = ModelCapability(base_url, model, kind, FORMS[0], 0)
    backend = OpenAICompatible.of(found, key, timeout_s)
    try:
        form = await capabilities.probe(backend)
    finally:
        await backend.close()
    return capabilities.store(msgspec.structs.replace(found, form=form))
