"""HTTP to one model server only: no proxies, no redirects, known headers, bounded bodies, no key in texts."""

import asyncio
from collections.abc import Awaitable
from typing import Any

import httpx
import msgspec
from pydantic import SecretStr

from autohedge.llm.backend import LLMError
from autohedge.llm.backends.api_keys import is_openai
from autohedge.llm.backends.tls import tls_failure, trusted_certificates
from autohedge.llm.error_reports import reports_error
from autohedge.llm.errors import HIDDEN, SHORTEST_KEY, from_status, llm_error

# Far more than any answer: a server that never stops sending must not exhaust the memory.
LARGEST_BODY = 1 << 20
# The library adds others from the environment, such as OPENAI_ORG_ID and OPENAI_CUSTOM_HEADERS.
_HEADERS = frozenset({"accept", "connection", "content-length", "content-type", "user-agent"})
_HEADERS_OF_OPENAI = _HEADERS | {"openai-organization", "openai-project"}


class _StrictTransport(httpx.AsyncBaseTransport):
    """Returns only replies that are a JSON object with a 2xx status; any other reply raises LLMError."""

    def __init__(self, base_url: str, key: SecretStr | None) -> None:
        self._base_url, self._key = base_url, key
        self._allowed = _HEADERS_OF_OPENAI if is_openai(base_url) else _HEADERS
        self._below = httpx.AsyncHTTPTransport(verify=trusted_certificates(base_url), trust_env=False)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Sends the request, reads and checks the whole reply. Raises LLMError."""
        try:
            reply = await self._below.handle_async_request(self._bare(request))
            body = await self._read(reply)
        except httpx.TimeoutException:
            raise llm_error("timeout", self._base_url, "it did not answer in time") from None
        except httpx.TransportError as error:
            raise self._no_connection(error) from None
        self._judge(reply, body)
        return httpx.Response(reply.status_code, headers=reply.headers, content=body)

    async def aclose(self) -> None:
        """Closes all connections."""
        await self._below.aclose()

    def _bare(self, request: httpx.Request) -> httpx.Request:
        """Returns the request with its known headers and our own; the library still reads the original."""
        kept = {name: value for name, value in request.headers.items() if name in self._allowed}
        # Compressed bodies are refused, so none is requested.
        own = {"host": request.url.netloc.decode("ascii"), "accept-encoding": "identity"}
        if self._key:
            own["authorization"] = f"Bearer {self._key.get_secret_value()}"
        return httpx.Request(
            request.method,
            request.url,
            headers=kept | own,
            stream=request.stream,
            extensions=request.extensions,
        )

    def _no_connection(self, error: httpx.TransportError) -> LLMError:
        if failure := tls_failure(error):
            return llm_error("certificate", self._base_url, failure.cause, self._key, cure=failure.cure)
        return llm_error(
            "unreachable", self._base_url, f"no connection ({error or type(error).__name__})", self._key
        )

    async def _read(self, reply: httpx.Response) -> bytes:
        try:
            # Raw bytes: decompressing first would let a small reply exceed the limit.
            body = bytearray()
            async for chunk in reply.aiter_raw():
                body += chunk
                if len(body) > LARGEST_BODY:
                    raise self._garbage(f"its reply is longer than {LARGEST_BODY} bytes")
            return self._without_key(bytes(body))
        finally:
            await reply.aclose()

    def _without_key(self, body: bytes) -> bytes:
        secret = self._key.get_secret_value() if self._key else ""
        return body.replace(secret.encode(), HIDDEN.encode()) if len(secret) >= SHORTEST_KEY else body

    def _judge(self, reply: httpx.Response, body: bytes) -> None:
        if "content-encoding" in reply.headers:
            raise self._garbage("its reply is compressed, which it was not asked for")
        if not 200 <= reply.status_code < 300:
            raise from_status(reply.status_code, reply.headers, body, self._base_url, self._key)
        value = _parsed(body)
        if not isinstance(value, dict):
            raise self._garbage(f"its reply is no JSON object: {body[:400].decode(errors='replace')}")
        if reports_error(value):
            raise from_status(reply.status_code, reply.headers, body, self._base_url, self._key)

    def _garbage(self, detail: str) -> LLMError:
        return llm_error("garbage_reply", self._base_url, detail, self._key)


def _parsed(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return None


def new_client(base_url: str, key: SecretStr | None, timeout_s: float) -> httpx.AsyncClient:
    """Returns a client for one server and one event loop; every failure of it is an LLMError."""
    return httpx.AsyncClient(
        transport=_StrictTransport(base_url, key),
        timeout=timeout_s,
        trust_env=False,
        follow_redirects=False,
    )


class JsonClient:
    """A JSON client; each call ends after its `timeout_s`, even if the server sends slowly without pause."""

    def __init__(self, base_url: str, key: SecretStr | None, timeout_s: float) -> None:
        self.base_url, self._timeout_s = base_url, timeout_s
        self._client = new_client(base_url, key, timeout_s)

    async def get(self, url: str) -> dict[str, Any]:
        """Returns the JSON object at `url`. Raises LLMError."""
        return await self._call(self._client.get(url), self._timeout_s)

    async def post(self, url: str, body: dict[str, Any], timeout_s: float = 0.0) -> dict[str, Any]:
        """Returns the JSON object of the reply; `timeout_s` 0 is the default timeout. Raises LLMError."""
        limit_s = timeout_s or self._timeout_s
        content = msgspec.json.encode(body)
        headers = {"Content-Type": "application/json"}
        sent = self._client.post(url, content=content, headers=headers, timeout=limit_s)
        return await self._call(sent, limit_s)

    async def close(self) -> None:
        """Closes all connections."""
        await self._client.aclose()

    async def _call(self, sent: Awaitable[httpx.Response], limit_s: float) -> dict[str, Any]:
        # httpx bounds single reads only, so the whole call needs a limit of its own.
        try:
            async with asyncio.timeout(limit_s):
                reply = await sent
        except TimeoutError:
            raise llm_error("timeout", self.base_url, f"no answer in {limit_s:g} s") from None
        return dict(msgspec.json.decode(reply.content))
