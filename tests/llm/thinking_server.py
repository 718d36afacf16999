"""Models on imitated servers that think before they answer, refuse parameters, or are still loading."""

import json
from collections.abc import Callable

from tests.llm.imitation_server import (
    Imitation,
    JsonObject,
    Page,
    ReceivedRequest,
    Reply,
    completion,
    fitting,
    json_reply,
)

THOUGHT = "Let me see. "
Stops = Callable[[JsonObject], bool]


def answer_to(body: JsonObject) -> str:
    """Returns what a model writes that obeys its schema, or the schema at the end of its prompt."""
    if schema := body.get("response_format", {}).get("json_schema", {}).get("schema"):
        return fitting(schema)
    if isinstance(body.get("format"), dict):
        return fitting(body["format"])
    text = body["messages"][-1]["content"]
    return fitting(json.loads(text.splitlines()[-1])) if text.endswith("}") else "Yes."


def thinking(stops: Stops, *, enough: int = 10**9, field: str = "reasoning_content") -> Page:
    """A model that answers if `stops` says that it does not think, or is allowed `enough` tokens."""

    def chat(request: ReceivedRequest) -> Reply:
        body = request.body
        thought: JsonObject = {field: THOUGHT * 9}
        limit = body.get("max_tokens") or body.get("max_completion_tokens") or 0
        if stops(body):
            return json_reply(completion(answer_to(body)))
        if limit >= enough:
            return json_reply(completion(answer_to(body), **thought))
        return json_reply(completion("", "length", **thought))

    return chat


def thinking_ollama(stops: Stops, *, enough: int = 10**9) -> Page:
    """The same for Ollama's own protocol."""

    def chat(request: ReceivedRequest) -> Reply:
        body = request.body
        done = stops(body) or body["options"]["num_predict"] >= enough
        message = {"role": "assistant", "content": answer_to(body) if done else "", "thinking": THOUGHT}
        if stops(body):
            del message["thinking"]
        reason = "stop" if done else "length"
        return json_reply({"model": body["model"], "message": message, "done": True, "done_reason": reason})

    return chat


def refusing(page: Page, refused: Callable[[JsonObject], Reply | None]) -> Page:
    """A server that refuses some requests, and answers the others."""
    return lambda request: refused(request.body) or page(request)


def with_chat(server: Imitation, page: Page) -> Imitation:
    for path in ("/v1/chat/completions", "/api/chat"):
        if path in server.pages:
            server.pages[path] = page
    return server
