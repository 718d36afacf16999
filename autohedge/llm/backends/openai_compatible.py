"""Servers with OpenAI's chat-completions protocol: OpenAI, LM Studio, llama.cpp, vLLM, Ollama."""

import re
from typing import TYPE_CHECKING, Any

import msgspec
from pydantic import SecretStr

from autohedge.config import merge
from autohedge.core.clock import monotonic_ns
from autohedge.llm.backend import LLMError, LLMRequest, LLMResponse, Usage
from autohedge.llm.backends import tracing
from autohedge.llm.backends.adaptive import AdaptiveBackend, messages_for
from autohedge.llm.backends.capabilities import DEFAULTS, AnswerSettings, ModelCapability, OutputMode
from autohedge.llm.backends.chat_model import THOUGHT, chat_class
from autohedge.llm.backends.detection import detect_server
from autohedge.llm.backends.model_selection import ModelServer, open_model
from autohedge.llm.errors import llm_error, mask_key, one_line

if TYPE_CHECKING:
    from langchain_core.messages import AIMessage

_PLACE = re.compile(r"[^A-Za-z0-9_-]+")


class OpenAICompatible(AdaptiveBackend):
    """A model behind a chat-completions address."""

    name = "openai"

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        api_key: SecretStr | None = None,
        timeout_s: float = 60.0,
        context_tokens: int = 8192,
        known: ModelCapability | None = None,
    ) -> None:
        super().__init__(known or ModelCapability(base_url, model), timeout_s, context_tokens)
        self._key = api_key
        self._client, self._chat = _new_chat(base_url, model, api_key, timeout_s)

    async def close(self) -> None:
        """Closes all connections."""
        await self._client.aclose()

    async def _send(self, request: LLMRequest, known: ModelCapability) -> LLMResponse:
        begun_ns = monotonic_ns()
        optional = {"temperature": request.temperature} if known.temperature else {}
        try:
            # The messages are in `extra_body`, see `_extra`.
            message = await self._chat.ainvoke(
                [],
                timeout=self._limit_s(request),
                extra_body=self._extra(request, known),
                **optional,
            )
            return self._response(message, known.form, (monotonic_ns() - begun_ns) / 1e6)
        except LLMError:
            raise
        except Exception as error:  # noqa: BLE001 - an unexpected reply makes the library raise any exception
            detail = f"its reply is no chat completion ({type(error).__name__}: {error})"
            raise llm_error("garbage_reply", self.base_url, detail, self._key) from None

    def _extra(self, request: LLMRequest, known: ModelCapability) -> dict[str, Any]:
        """Returns the part of the body that bypasses the library.

        With a schema the library would parse the answer and lose its raw text. The messages bypass it too:
        converting them took a quarter of the cost of a call.
        """
        messages = [
            {"role": each.role, "content": each.content} for each in messages_for(request, known.form)
        ]
        limit = known.answer_tokens(request, self._context_tokens)
        asked = {"messages": messages, known.limit: limit, **_format(request, known.form)}
        return merge([asked, known.thinking_part(request.reasoning), request.extra_body])

    def _response(self, message: "AIMessage", form: OutputMode, service_ms: float) -> LLMResponse:
        about = message.response_metadata
        refusal, thought = (message.additional_kwargs.get(name) for name in ("refusal", THOUGHT))
        return LLMResponse(
            text=mask_key(str(message.text), self._key),
            finish_reason=one_line(str(about.get("finish_reason") or ""), self._key),
            model=one_line(str(about.get("model_name") or self.model), self._key),
            server=self.server,
            sent_as=form,
            usage=_usage(message),
            service_ms=service_ms,
            refusal=mask_key(str(refusal), self._key) if refusal else None,
            reasoning=mask_key(thought, self._key) if thought else msgspec.UNSET,
        )


def _new_chat(base_url: str, model: str, key: SecretStr | None, timeout_s: float) -> tuple[Any, Any]:
    """Returns the HTTP client and the chat model that uses it.

    The library's default client is shared between event loops and follows proxies, so it is not used.
    """
    tracing.disable_tracing()
    from autohedge.llm.backends.transport import new_client

    client = new_client(base_url, key, timeout_s)
    chat = chat_class()(
        model=model,
        base_url=base_url,
        api_key=_no_key,
        http_async_client=client,
        timeout=timeout_s,
        max_retries=0,  # `policy.Retries` retries, within budget and deadline
        use_responses_api=False,  # servers other than OpenAI may lack it
        cache=False,  # a cache of the process would return answers without a call
        # The rest replaces what the library would read from the environment, and warn about.
        openai_proxy="",
        http_socket_options=(),
        stream_chunk_timeout=None,
        output_version="v0",
    )
    return client, chat


async def _no_key() -> str:
    """Returns the key that the library requires; the transport replaces it with the right one.

    As a function it keeps the library from creating a second client, which would read proxies and
    certificates from the environment.
    """
    return "none"


def _format(request: LLMRequest, form: OutputMode) -> dict[str, Any]:
    if form == "text":
        return {}
    if form == "json_object":
        return {"response_format": {"type": form}}
    # The protocol allows 64 letters, digits, underscores and hyphens in a name.
    named = {"name": _PLACE.sub("_", request.agent)[:64] or "answer", "strict": True}
    return {"response_format": {"type": form, "json_schema": {**named, "schema": request.schema}}}


def _usage(message: "AIMessage") -> Usage | None:
    """Returns the counts as integers, which the transcript requires and the library does not guarantee."""
    counted = message.usage_metadata
    if not counted:
        return None
    prompt_tokens = int(counted["input_tokens"])
    cached = int(counted.get("input_token_details", {}).get("cache_read") or 0)
    # Most servers count cached tokens in both; one that reports more of them than of all counts them apart.
    written, is_apart = int(counted["output_tokens"]), cached > prompt_tokens
    return Usage(prompt_tokens, written, cached if is_apart else 0, 0 if is_apart else cached)


async def open_openai_compatible(
    base_url: str,
    model: str,
    api_key: SecretStr | None,
    timeout_s: float,
    settings: AnswerSettings = DEFAULTS,
) -> OpenAICompatible:
    """Returns a backend whose model is set, and whose way to be asked is known, from the cache or measured.

    Raises LLMError as `open_model` does.
    """
    from autohedge.llm.backends.transport import JsonClient

    def backend(known: ModelCapability) -> OpenAICompatible:
        return OpenAICompatible(
            base_url,
            known.model,
            api_key=api_key,
            timeout_s=timeout_s,
            context_tokens=settings.context_tokens,
            known=known,
        )

    http = JsonClient(base_url, api_key, timeout_s)
    try:
        return await open_model(ModelServer(http, detect_server, backend, settings, timeout_s), model)
    finally:
        await http.close()
