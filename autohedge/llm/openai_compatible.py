"""Any server that speaks OpenAI's chat protocol: OpenAI, LM Studio, llama.cpp, vLLM, Ollama."""

import asyncio
import re
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any

import msgspec
from pydantic import SecretStr

from autohedge.core.clock import monotonic_ns
from autohedge.llm import probe, tracing
from autohedge.llm.backend import RETRIED, Message, ModelFailure, Request, Response, Usage
from autohedge.llm.failures import FormatRefused, failure, hide, plain
from autohedge.llm.kinds import Server, first_that_answers, identify
from autohedge.llm.probe import FORMS, Capability, Form

if TYPE_CHECKING:
    from langchain_core.messages import AIMessage

OPENAI_URL = "https://api.openai.com/v1"

_NO_KEY = "none"  # servers that ask for no key take any
_PLACE = re.compile(r"[^A-Za-z0-9_-]+")


class OpenAICompatible:
    """A model behind a chat-completions address, asked in the strongest form that it honours.

    One instance serves one event loop. `form` is where asking starts; a server that refuses it is asked
    in the next weaker one at once, and from then on, in later runs too.
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
        form: Form = "json_schema",
    ) -> None:
        self.base_url, self.model, self.server, self.form = base_url, model, server, form
        self._key, self._timeout_s = api_key, timeout_s
        self._client, self._chat = _new_chat(base_url, model, api_key, timeout_s)

    @classmethod
    def of(cls, known: Capability, api_key: SecretStr | None, timeout_s: float) -> "OpenAICompatible":
        """A backend for a model that was examined."""
        where = known.base_url, known.model
        return cls(*where, api_key=api_key, timeout_s=timeout_s, server=known.server, form=known.form)

    async def complete(self, request: Request) -> Response:
        """Ask once, in weaker forms if the server refuses stronger ones. Raises ModelFailure."""
        return await self._in_time(self._falling(request), self._limit_s(request))

    async def ask(self, request: Request, form: Form) -> Response:
        """Ask in this form and no other. Raises ModelFailure; FormatRefused if the form is the trouble."""
        return await self._in_time(self._ask(request, form), self._limit_s(request))

    async def close(self) -> None:
        """Let go of connections."""
        await self._client.aclose()

    def _limit_s(self, request: Request) -> float:
        return request.timeout_s or self._timeout_s

    async def _in_time(self, answer: Awaitable[Response], limit_s: float) -> Response:
        try:
            async with asyncio.timeout(limit_s):
                return await answer
        except TimeoutError:
            told = f"no answer in {limit_s:g} s"
            raise failure("timeout", self.base_url, told) from None

    async def _ask(self, request: Request, form: Form) -> Response:
        begun_ns = monotonic_ns()
        try:
            said = await self._chat.ainvoke(
                [],
                temperature=request.temperature,
                timeout=self._limit_s(request),
                extra_body=self._extra(request, form),
            )
            return self._response(said, form, (monotonic_ns() - begun_ns) / 1e6)
        except ModelFailure:
            raise
        except Exception as error:  # noqa: BLE001 - a stranger's reply breaks the library in ways of its own
            told = f"its reply is no chat completion ({type(error).__name__}: {error})"
            raise failure("garbage_reply", self.base_url, told, self._key) from None

    async def _falling(self, request: Request) -> Response:
        form = self.form
        while True:
            try:
                return await self._ask(request, form)
            except FormatRefused:
                weaker = probe.below(form)
                if weaker is None:
                    raise
                form = self._fall(weaker)

    def _fall(self, weaker: Form) -> Form:
        """Never back up: calls under way beside this one may have fallen further already."""
        if probe.FORMS.index(weaker) > probe.FORMS.index(self.form):
            self.form = weaker
            probe.remember(Capability(self.base_url, self.model, self.server, weaker, 0))
        return weaker

    def _extra(self, request: Request, form: Form) -> dict[str, Any]:
        """What goes into the body past the library, which would parse the answer and lose its raw text.

        Messages go this way too: walking through their types took a quarter of a call's cost.
        """
        limit = "max_completion_tokens" if self.server == "openai" else "max_tokens"
        told = [{"role": each.role, "content": each.content} for each in _told(request, form)]
        extra: dict[str, Any] = {"messages": told, limit: request.max_tokens}
        if form == "json_schema":
            named = {"name": _PLACE.sub("_", request.agent)[:64] or "answer", "strict": True}
            extra["response_format"] = {"type": form, "json_schema": {**named, "schema": request.schema}}
        elif form == "json_object":
            extra["response_format"] = {"type": form}
        return extra

    def _response(self, said: "AIMessage", form: Form, service_ms: float) -> Response:
        about = said.response_metadata
        refusal = said.additional_kwargs.get("refusal")
        return Response(
            text=hide(str(said.text), self._key),
            finish_reason=plain(str(about.get("finish_reason") or ""), self._key),
            model=plain(str(about.get("model_name") or self.model), self._key),
            server=self.server,
            sent_as=form,
            usage=_usage(said),
            service_ms=service_ms,
            refusal=hide(str(refusal), self._key) if refusal else None,
        )


def _new_chat(base_url: str, model: str, key: SecretStr | None, timeout_s: float) -> tuple[Any, Any]:
    """The client and the chat model over it.

    The client is its own: the library's default one is shared between event loops and follows proxies.
    """
    tracing.turn_off()
    from langchain_openai import ChatOpenAI

    from autohedge.llm.transport import new_client

    client = new_client(base_url, key, timeout_s)
    chat = ChatOpenAI(
        model=model,
        base_url=base_url,
        api_key=key or SecretStr(_NO_KEY),
        http_async_client=client,
        timeout=timeout_s,
        max_retries=0,
        use_responses_api=False,
        openai_proxy="",
        cache=False,
    )
    return client, chat


def _told(request: Request, form: Form) -> tuple[Message, ...]:
    """The messages; a schema that the server is not given is told to the model."""
    if form == "json_schema":
        return request.messages
    schema = msgspec.json.encode(request.schema).decode()
    asked = f"Answer with one JSON object that fits this JSON schema, and with nothing else:\n{schema}"
    *before, last = request.messages
    return (*before, Message(last.role, f"{last.content}\n\n{asked}"))


def _usage(said: "AIMessage") -> Usage | None:
    """As whole numbers, which the library does not see to: a transcript holds nothing else."""
    counted = said.usage_metadata
    return Usage(int(counted["input_tokens"]), int(counted["output_tokens"])) if counted else None


async def open_openai_compatible(
    base_url: str, model: str, api_key: SecretStr | None, timeout_s: float
) -> OpenAICompatible:
    """A backend with its model named and its form measured, from the cache or now.

    A named model behind a server that is down or busy is taken as it is, and measured another time.
    Raises ModelFailure if no model is named and none is listed, or if the server refuses key or model.
    """
    kept = probe.recall(base_url, model) if model else None
    if kept is None:
        try:
            kept = await _examined(base_url, model, api_key, timeout_s)
        except ModelFailure as error:
            if not model or error.code not in RETRIED:
                raise
            kept = Capability(base_url, model, "unknown", FORMS[0], 0)
    return OpenAICompatible.of(kept, api_key, timeout_s)


async def _examined(base_url: str, model: str, key: SecretStr | None, timeout_s: float) -> Capability:
    server = await _identified(base_url, key, timeout_s)
    model = model or first_that_answers(server.models)
    if not model:
        raise failure("model_gone", base_url, "it lists no model")
    return probe.recall(base_url, model) or await _measured(base_url, model, server.kind, key, timeout_s)


async def _identified(base_url: str, key: SecretStr | None, timeout_s: float) -> Server:
    from autohedge.llm.transport import Json

    http = Json(base_url, key, timeout_s)
    try:
        return await identify(http)
    finally:
        await http.close()


async def _measured(
    base_url: str, model: str, kind: str, key: SecretStr | None, timeout_s: float
) -> Capability:
    found = Capability(base_url, model, kind, FORMS[0], 0)
    backend = OpenAICompatible.of(found, key, timeout_s)
    try:
        form = await probe.measure(backend)
    finally:
        await backend.close()
    return probe.remember(msgspec.structs.replace(found, form=form))
