"""Reads the errors that model servers report, in any known shape, and finds the failure code of each.

Gateways and LM Studio report errors with status 200, so the body is read whatever the status is.
"""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from autohedge.llm.backend import FailureCode

MAX_CHARS = 4000  # of a body; an error message is shorter
_MAX_DEPTH = 8
_MAX_ITEMS = 3

_MESSAGES = ("message", "msg", "detail", "error", "errors", "error_message", "error_msg", "status_msg", "raw")
_NAMES = ("type", "code", "status", "error_code", "error_type", "status_code", "statusCode", "reason")
_AROUND = ("metadata", "details", "choices", "base_resp")
# A reply with no other keys than these is no answer of a server that works.
_BARE = {*_MESSAGES, *_NAMES, "object", "param", "title", "success", "request_id", "timestamp", "path"}

_QUOTA = re.compile(
    r"insufficient.?(quota|balance|credit|fund)|credit balance|payment (method )?required|out of credits?"
    r"|\b(no|used all|not enough|exhausted|exceeded)\b.{0,40}\bcredits?\b"
    r"|billing.{0,3}(hard.?limit|not active|disabled)|check your billing"
    r"|quota (has been )?(used up|exhausted)",
    re.IGNORECASE,
)
# Google reports a limit per minute in these words, too; then it says when to try again.
_QUOTA_UNLESS_IT_PASSES = re.compile(r"exceeded your .{0,20}quota|plan and billing", re.IGNORECASE)
_TOO_LONG = re.compile(
    r"exceed_context_size|context_length_exceeded|prompt (is )?too long|input (is )?too long"
    r"|maximum context|max_model_len|maximum prompt length"
    r"|context.{0,40}(exceed|overflow)|(exceed|greater than|larger than|longer than).{0,60}context"
    r"|reduce the length of (the|your) (message|prompt|input)",
    re.IGNORECASE,
)
_ABOUT_CONTEXT = re.compile(r"context.?(length|window|size)", re.IGNORECASE)
_UNLOADED = re.compile(
    r"model.{0,60}\b(unloaded|not (currently )?loaded)|no models?( is| are)?( currently)? loaded"
    r"|failed to load.{0,20}model|model_not_found",
    re.IGNORECASE,
)
_NO_MODEL = re.compile(
    r"model.{0,100}(not found|does not exist|not exist)|no such model"
    r"|(invalid|unknown) model (id|name|[\"'`])|try pulling it",
    re.IGNORECASE,
)
_RATE = re.compile(
    r"rate.?limit|too many requests|resource.?exhausted|throttl|slow down|try again in \d", re.IGNORECASE
)
_KEY = re.compile(
    r"(invalid|incorrect|missing|wrong|no).{0,10}api.?key|unauthori[sz]ed|authentication|permission.?denied",
    re.IGNORECASE,
)
_BUSY = re.compile(r"overloaded|unavailable|loading|server_error|internal.?(server )?error", re.IGNORECASE)
_NO_PAGE = re.compile(
    r"(unexpected|unknown|invalid) (endpoint|url|path)|cannot (get|post)|page not found|^not found$",
    re.IGNORECASE,
)
_REFUSED = re.compile(
    r"invalid.?request|bad.?request|invalid_argument|unsupported|not supported|not.?implemented|validation"
    r"|response_format|json.?schema",
    re.IGNORECASE,
)
_BY_STATUS: dict[int, FailureCode] = {
    401: "unauthorized",
    402: "quota",
    403: "unauthorized",
    404: "model_gone",
    408: "timeout",
    413: "context_overflow",
    429: "rate_limited",
}
# Where there is no status that says more.
_BY_MESSAGE: tuple[tuple[re.Pattern[str], FailureCode], ...] = (
    (_RATE, "rate_limited"),
    (_KEY, "unauthorized"),
    (_NO_PAGE, "garbage_reply"),
    (_BUSY, "server_error"),
    (_REFUSED, "bad_request"),
)


class ErrorReport(NamedTuple):
    """An error as its server reports it: its messages, the names of its kind, and its HTTP status or 0.

    `explicit` is whether the body says that it is an error.
    """

    message: str
    names: str
    status: int
    explicit: bool


def reports_error(reply: dict[str, Any]) -> bool:
    """Whether a reply with status 2xx reports an error instead of an answer."""
    return _is_explicit(reply) or (
        reply.keys() <= _BARE and any(key in _MESSAGES for key, _ in _leaves(reply))
    )


def read_report(body: bytes) -> ErrorReport:
    """Returns the error in a body; a body of an unknown shape is itself the message."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        value = None
    leaves = list(_leaves(value))
    messages = _unique(text for key, text in leaves if key in _MESSAGES)
    names = _unique(text for key, text in leaves if key in _NAMES and not text.isdecimal())
    status = next((int(text) for key, text in leaves if key in _NAMES and _is_http_error(text)), 0)
    message = ": ".join(messages) or body[:MAX_CHARS].decode(errors="replace")
    return ErrorReport(message, " ".join(names), status, isinstance(value, dict) and _is_explicit(value))


def code_of(status: int, report: ErrorReport, *, can_pass: bool = False) -> FailureCode:
    """Returns the failure code of a report in a reply with this HTTP status.

    `can_pass` is whether the server said when to try again.
    """
    # A gateway's general status says less than the status of the server behind it.
    http = report.status if report.status and (status < 400 or status in (400, 500, 502)) else status
    text = f"{report.names} {report.message}"
    if _is_quota(http, text, can_pass=can_pass):
        return "quota"
    # Servers report a prompt that is too long with 200, 400, 413, 422 or 500.
    if _is_overflow(http, text):
        return "context_overflow"
    if _is_without_model(http, text):
        return "model_gone"
    if http in _BY_STATUS:
        return _BY_STATUS[http]
    if http >= 500:
        return "server_error"
    return _by_message(http, report)


def _is_quota(http: int, text: str, *, can_pass: bool) -> bool:
    if http == 402 or _QUOTA.search(text):
        return True
    return not can_pass and bool(_QUOTA_UNLESS_IT_PASSES.search(text))


def _is_overflow(http: int, text: str) -> bool:
    if http in (401, 403, 429):
        return False
    return bool(_TOO_LONG.search(text) or (http < 500 and _ABOUT_CONTEXT.search(text)))


def _is_without_model(http: int, text: str) -> bool:
    if http in (401, 403, 429):
        return False
    return bool(_UNLOADED.search(text) or (http < 500 and _NO_MODEL.search(text)))


def _by_message(http: int, report: ErrorReport) -> FailureCode:
    text = f"{report.names} {report.message}"
    if http >= 400:
        return "rate_limited" if _RATE.search(text) else "bad_request"
    if http >= 300:
        return "garbage_reply"
    # The names are exact, the message may mention anything.
    for text in (report.names, report.message):
        for pattern, code in _BY_MESSAGE:
            if pattern.search(text):
                return code
    return "server_error" if report.explicit else "garbage_reply"


def _is_explicit(reply: dict[str, Any]) -> bool:
    choices = reply.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    failed = isinstance(first, dict) and first.get("error")
    return bool(reply.get("error") or reply.get("errors") or reply.get("object") == "error" or failed)


def _leaves(value: object, key: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    """Yields the texts and numbers of a body under known keys, the outer ones first."""
    if isinstance(value, str) and value.lstrip().startswith("{") and depth < _MAX_DEPTH:
        yield from _leaves_of_text(value, key, depth)
    elif isinstance(value, dict) and depth < _MAX_DEPTH:
        for name in (*_MESSAGES, *_NAMES, *_AROUND):
            yield from _leaves(value.get(name), name, depth + 1)
    elif isinstance(value, list):
        for each in value[:_MAX_ITEMS]:
            yield from _leaves(each, key, depth + 1)
    elif isinstance(value, str | int) and not isinstance(value, bool) and value != "":
        yield key, str(value)[:MAX_CHARS]


def _leaves_of_text(text: str, key: str, depth: int) -> Iterator[tuple[str, str]]:
    """Yields those of JSON in a text, as gateways pass on the reply of the server behind them."""
    try:
        inner = list(_leaves(msgspec.json.decode(text), key, depth + 1))
    except (msgspec.DecodeError, RecursionError):
        inner = []
    yield from inner or [(key, text[:MAX_CHARS])]


def _is_http_error(text: str) -> bool:
    return len(text) == 3 and text.isascii() and text.isdecimal() and 400 <= int(text) <= 599


def _unique(texts: Iterator[str]) -> list[str]:
    return list(dict.fromkeys(texts))
