"""Servers on the loopback interface that imitate LM Studio, Ollama, llama.cpp and vLLM with their quirks."""

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

JsonObject = dict[str, Any]
COUNTS = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
CHATS = {"/v1/chat/completions", "/api/chat"}
PROSE = "The sky is blue, and I would buy."


@dataclass(frozen=True)
class Reply:
    """A reply on the wire; without a status the connection is closed instead."""

    body: bytes
    status: int | None = 200
    headers: dict[str, str] = field(default_factory=dict)
    dripping: bool = False


@dataclass(frozen=True)
class ReceivedRequest:
    """One request as it was received."""

    method: str
    path: str
    headers: dict[str, str]
    body: JsonObject


Page = Callable[[ReceivedRequest], Reply]


def json_reply(body: object, status: int = 200, **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(json.dumps(body).encode(), status, named)


CLOSED = Reply(b"", None)


class Imitation:
    """A server on a port of its own; requests for unknown pages are answered by `lost`."""

    def __init__(self, pages: dict[str, Page], lost: Page) -> None:
        self.pages, self.lost = pages, lost
        self.received: list[ReceivedRequest] = []
        self.over = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.imitation = self
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self.port: int = self._server.server_address[1]
        self.root = f"http://127.0.0.1:{self.port}"
        self.base_url = f"{self.root}/v1"

    def answer(self, request: ReceivedRequest) -> Reply:
        self.received.append(request)
        return self.pages.get(request.path, self.lost)(request)

    def chats(self) -> list[ReceivedRequest]:
        return [request for request in self.received if request.path in CHATS]

    def failing(self, reply: Reply) -> Self:
        """Sends this reply to every chat from now on."""
        for path in CHATS:
            self.pages[path] = lambda _: reply
        return self

    def hanging(self) -> Self:
        """Answers no chat from now on."""

        def hang(_: ReceivedRequest) -> Reply:
            self.over.wait()
            return CLOSED

        self.pages["/v1/chat/completions"] = self.pages["/api/chat"] = hang
        return self

    def delayed(self, seconds: float) -> Self:
        """Delays every answer from now on."""

        def later(page: Page) -> Page:
            def wait(request: ReceivedRequest) -> Reply:
                self.over.wait(seconds)
                return page(request)

            return wait

        for path in CHATS & self.pages.keys():
            self.pages[path] = later(self.pages[path])
        return self

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.over.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    imitation: Imitation


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: _Server

    def do_GET(self) -> None:
        self._answer({})

    def do_POST(self) -> None:
        self._answer(json.loads(self.rfile.read(int(self.headers["content-length"]))))

    def _answer(self, body: JsonObject) -> None:
        request = ReceivedRequest(
            self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body
        )
        reply = self.server.imitation.answer(request)
        if reply.status is None:
            self.close_connection = True
            return
        try:
            self._send(reply)
        except OSError:
            self.close_connection = True

    def _send(self, reply: Reply) -> None:
        self.send_response(reply.status or 0)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(reply.body)))
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.end_headers()
        for piece in _pieces(reply):
            self.wfile.write(piece)
            self.wfile.flush()
            if reply.dripping and self.server.imitation.over.wait(0.02):
                return

    def log_message(self, *args: Any) -> None:
        """Logs nothing."""


def _pieces(reply: Reply) -> list[bytes]:
    return [reply.body[at : at + 1] for at in range(len(reply.body))] if reply.dripping else [reply.body]


def completion(
    text: str | None, finish_reason: str = "stop", usage: JsonObject | None = COUNTS, **extra: Any
) -> JsonObject:
    """Returns a chat completion in OpenAI's protocol."""
    message = {"role": "assistant", "content": text, **extra}
    choice = {"index": 0, "message": message, "finish_reason": finish_reason}
    body = {"id": "1", "object": "chat.completion", "created": 1, "model": "m-1", "choices": [choice]}
    return body if usage is None else {**body, "usage": usage}


def fitting(schema: JsonObject) -> str:
    """Returns the simplest answer that fits a schema of flat properties."""
    made: dict[str, Any] = {"boolean": True, "integer": 50, "number": 0.5, "string": "x", "array": []}
    rows = schema["properties"].items()
    return json.dumps(
        {name: rule["enum"][0] if "enum" in rule else made[rule["type"]] for name, rule in rows}
    )


def _written(body: JsonObject) -> str:
    """Returns the text of a model that supports all output modes."""
    response_format = body.get("response_format", {"type": "text"})
    if response_format["type"] == "json_schema":
        return fitting(response_format["json_schema"]["schema"])
    return '{"sky": "blue"}' if response_format["type"] == "json_object" else PROSE


def _chat(request: ReceivedRequest) -> Reply:
    """Limits the answer by `max_tokens`, one character each; does not know `max_completion_tokens`."""
    text, limit = _written(request.body), request.body.get("max_tokens", 10**6)
    return json_reply(completion(text[:limit], "length" if len(text) > limit else "stop"))


def _listing(owner: str, *names: str) -> Page:
    rows = [{"id": name, "object": "model", "owned_by": owner} for name in names]
    return lambda _: json_reply({"object": "list", "data": rows})


def _absent(request: ReceivedRequest) -> Reply:
    return json_reply({"error": {"message": "File Not Found", "type": "not_found_error", "code": 404}}, 404)


def lm_studio() -> Imitation:
    """Lists an embedding model first, supports two modes, and answers 200 on unknown paths."""
    rows = [
        {"id": "text-embedding-nomic", "object": "model", "type": "embeddings", "state": "not-loaded"},
        {"id": "qwen", "object": "model", "type": "llm", "state": "loaded"},
    ]

    def chat(request: ReceivedRequest) -> Reply:
        if request.body.get("response_format", {}).get("type") == "json_object":
            return json_reply({"error": "'response_format.type' must be 'json_schema' or 'text'"}, 400)
        if isinstance(request.body.get("tool_choice"), dict):
            return json_reply(
                {"error": "Invalid tool_choice type: 'object'. Supported: none, auto, required"}, 400
            )
        return _chat(request)

    pages: dict[str, Page] = {
        "/v1/models": _listing("organization_owner", "text-embedding-nomic", "qwen"),
        "/api/v0/models": lambda _: json_reply({"object": "list", "data": rows}),
        "/v1/chat/completions": chat,
    }
    return Imitation(
        pages, lambda request: json_reply({"error": f"Unexpected endpoint or method. (GET {request.path})"})
    )


def llama_cpp(context_tokens: int = 100_000) -> Imitation:
    """Counts each character of the prompt as a token."""

    def chat(request: ReceivedRequest) -> Reply:
        tokens = sum(len(message["content"]) for message in request.body["messages"])
        if tokens <= context_tokens:
            return _chat(request)
        error_text = f"request ({tokens} tokens) exceeds the available context size ({context_tokens} tokens)"
        kind = "exceed_context_size_error"
        return json_reply(
            {"error": {"code": 400, "message": error_text, "type": kind, "n_ctx": context_tokens}}, 400
        )

    pages: dict[str, Page] = {
        "/v1/models": _listing("llamacpp", "smollm2"),
        "/props": lambda _: json_reply({"default_generation_settings": {}, "total_slots": 1}),
        "/v1/chat/completions": chat,
    }
    return Imitation(pages, _absent)


def vllm() -> Imitation:
    pages: dict[str, Page] = {
        "/v1/models": _listing("vllm", "meta/llama"),
        "/version": lambda _: json_reply({"version": "0.12"}),
        "/v1/chat/completions": _chat,
    }
    return Imitation(pages, lambda _: json_reply({"detail": "Not Found"}, 404))


def ollama() -> Imitation:
    rows = [{"name": name, "model": name, "digest": "ab12"} for name in ("nomic-embed-text", "llama3:8b")]

    def chat(request: ReceivedRequest) -> Reply:
        model = request.body["model"]
        if model not in {row["name"] for row in rows}:
            return json_reply({"error": f"model '{model}' not found"}, 404)
        message = {"role": "assistant", "content": fitting(request.body["format"])}
        counts = {"prompt_eval_count": 11, "eval_count": 7}
        return json_reply({"model": model, "message": message, "done": True, "done_reason": "stop", **counts})

    pages: dict[str, Page] = {
        "/v1/models": _listing("library", "nomic-embed-text", "llama3:8b"),
        "/api/tags": lambda _: json_reply({"models": rows}),
        "/api/chat": chat,
        "/v1/chat/completions": _chat,
    }
    return Imitation(pages, lambda _: Reply(b"404 page not found", 404))
