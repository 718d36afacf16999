"""HTTP to one model server and to no other: no proxies, no redirects, no endless bodies, no leaked keys."""

import asyncio
import ssl
from collections.abc import Awaitable
from typing import Any

import httpx
import msgspec
from pydantic import SecretStr

from autohedge.llm.backend import LLMError
from autohedge.llm.errors import HIDDEN, SHORTEST_KEY, from_status, llm_error

LARGEST_BODY = 1 << 20


class _StrictTransport(httpx.AsyncBaseTransport):
    """Gives on only what is a JSON object with a good status; all else is a LLMError."""

    def __init__(self, base_url: str, key: SecretStr | None) -> None:
        self._base_url, self._key = base_url, key
        self._below = httpx.AsyncHTTPTransport(verify=_certificates(base_url))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send, read all, judge. Raises LLMError."""
        try:
            reply = await self._below.handle_async_request(request)
            body = await self._read(reply)
        except httpx.TimeoutException:
            raise llm_error("timeout", self._base_url, "it did not answer in time") from None
        except httpx.TransportError as error:
            detail = f"no connection ({error or type(error).__name__})"
            raise llm_error("unreachable", self._base_url, detail, self._key) from None
        self._judge(reply, body)
        return httpx.Response(reply.status_code, headers=reply.headers, content=body)

    async def aclose(self) -> None:
        """Let go of connections."""
        await self._below.aclose()

    async def _read(self, reply: httpx.Response) -> bytes:
        try:
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
        if value.get("error"):
            raise self._garbage(f"it answered {reply.status_code} with an error: {value['error']}")

    def _garbage(self, detail: str) -> LLMError:
        return llm_error("garbage_reply", self._base_url, detail, self._key)


def _parsed(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return None


def _certificates(base_url: str) -> ssl.SSLContext:
    """Whom to trust; without TLS nobody, which saves reading all certificates."""
    if base_url.lower().startswith("https:"):
        return httpx.create_ssl_context()
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def new_client(base_url: str, key: SecretStr | None, timeout_s: float) -> httpx.AsyncClient:
    """A client for one server, for one event loop; every way it can fail is a LLMError."""
    headers = {"Accept-Encoding": "identity"}
    if key:
        headers["Authorization"] = f"Bearer {key.get_secret_value()}"
    return httpx.AsyncClient(
        transport=_StrictTransport(base_url, key),
        headers=headers,
        timeout=timeout_s,
        trust_env=False,
        follow_redirects=False,
    )


class JsonClient:
    """JSON in, a JSON object out; each call ends after its `timeout_s`, however slowly the server drips."""

    def __init__(self, base_url: str, key: SecretStr | None, timeout_s: float) -> None:
        self.base_url, self._timeout_s = base_url, timeout_s
        self._client = new_client(base_url, key, timeout_s)

    async def get(self, url: str) -> dict[str, Any]:
        """Raises LLMError."""
        return await self._call(self._client.get(url), self._timeout_s)

    async def post(self, url: str, body: dict[str, Any], timeout_s: float = 0.0) -> dict[str, Any]:
        """0 is the usual timeout. Raises LLMError."""
        limit_s = timeout_s or self._timeout_s
        content = msgspec.json.encode(body)
        headers = {"Content-Type": "application/json"}
        sent = self._client.post(url, content=content, headers=headers, timeout=limit_s)
        return await self._call(sent, limit_s)

    async def close(self) -> None:
        """Let go of connections."""
        await self._client.aclose()

    async def _call(self, sent: Awaitable[httpx.Response], limit_s: float) -> dict[str, Any]:
        try:
            async with asyncio.timeout(limit_s):
                reply = await sent
        except TimeoutError:
            raise llm_error("timeout", self.base_url, f"no answer in {limit_s:g} s") from None
        return dict(msgspec.json.decode(reply.content))
