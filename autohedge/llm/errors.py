"""Converts the errors of servers into a code and one line of plain text."""

import math
import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

import msgspec
from pydantic import SecretStr

from autohedge.core.clock import wall_ns
from autohedge.core.text import one_line as text_line
from autohedge.core.text import printable
from autohedge.llm.backend import FailureCode, LLMError

LONGEST = 200
SHORTEST_KEY = 8  # a shorter key is a placeholder, and masking it would hide ordinary text
LONGEST_WAIT_S = 3600.0
LONGEST_BODY = 4000  # bytes that are searched for the name of a refused parameter
HIDDEN = "[key]"

_TOO_LONG = re.compile(
    r"exceed_context_size|context.?length|context.?window|context size|prompt is too long|maximum context",
    re.IGNORECASE,
)
_NO_MODEL = re.compile(
    r"model.{0,100}(not found|does not exist|not exist)|model_not_found|no models? loaded", re.IGNORECASE
)

_BY_STATUS: dict[int, FailureCode] = {
    401: "unauthorized",
    403: "unauthorized",
    404: "model_gone",
    408: "timeout",
    413: "context_overflow",
    429: "rate_limited",
}
_CURES: dict[FailureCode, str] = {
    "unauthorized": "set AUTOHEDGE_LLM_API_KEY to a key that it takes",
    "model_gone": "set llm.model to one that it lists, or llm.base_url to its right address",
    "context_overflow": "show agents less (tools.table_rows) or load the model with a longer context",
    "garbage_reply": "set llm.base_url to the address of a model server",
    "unreachable": "start it, or set llm.base_url",
    "timeout": "raise llm.timeout_s or ask a smaller model",
}


def mask_key(text: str, key: SecretStr | None) -> str:
    """Replaces the API key in a text, as servers may repeat it."""
    secret = key.get_secret_value() if key else ""
    return text.replace(secret, HIDDEN) if len(secret) >= SHORTEST_KEY else text


def one_line(text: str, key: SecretStr | None = None, longest: int = LONGEST) -> str:
    """Returns untrusted text as one printable line of at most `longest` characters, without the key."""
    # A body can be a megabyte long; its start is enough for one line.
    line = " ".join(printable(text[: longest * 20], " ").split())
    return text_line(mask_key(line, key), longest)


def llm_error(
    code: FailureCode, server: str, detail: str, key: SecretStr | None = None, after_s: float = 0.0
) -> LLMError:
    """Returns the error of one call: the server, what happened, and the remedy."""
    return LLMError(code, _line(code, server, detail, key), after_s)


def from_status(
    status: int, headers: Mapping[str, str], body: bytes, server: str, key: SecretStr | None
) -> LLMError:
    """Returns the error for a reply with an HTTP status other than 2xx."""
    message = error_message(body)
    code, detail = code_of(status, message), f"it answered {status}: {message}"
    error = llm_error(code, server, detail, key, retry_after_s(headers.get("retry-after", "")))
    error.status, error.body = status, body[:LONGEST_BODY]
    return error


def _line(code: FailureCode, server: str, detail: str, key: SecretStr | None) -> str:
    """Joins cause and remedy in at most LONGEST characters; the server's message is shortened first."""
    cure = f"; {_CURES[code]}" if code in _CURES else ""
    room = max(LONGEST - len(server) - len(cure) - 2, 40)
    return one_line(f"{server}: {one_line(detail, key, room)}{cure}", key)


def code_of(status: int, message: str) -> FailureCode:
    """Classifies an HTTP status and the server's message."""
    # First the context: servers report a prompt that is too long with 400, 413 or 422.
    if 400 <= status < 500 and _TOO_LONG.search(message):
        return "context_overflow"
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if status >= 500:
        return "server_error"
    if status < 400:
        return "garbage_reply"
    return "model_gone" if _NO_MODEL.search(message) else "bad_request"


def error_message(body: bytes) -> str:
    """Returns the message in an error body of any known server, else the body itself."""
    try:
        found = _message(msgspec.json.decode(body))
    except (msgspec.DecodeError, RecursionError):
        found = ""
    return found or body[: LONGEST * 20].decode(errors="replace")


def _message(value: object) -> str:
    if isinstance(value, str):
        return value
    if not isinstance(value, dict):
        return ""
    # OpenAI nests the message under "error", others have it at the top, FastAPI calls it "detail".
    own = value.get("message") or value.get("detail")
    kind = value.get("type")
    if isinstance(own, str) and own:
        return f"{own} ({kind})" if isinstance(kind, str) and kind else own
    return _message(value.get("error"))


def retry_after_s(value: str) -> float:
    """Returns the seconds of a Retry-After header, which is a number or a date; 0 if missing or invalid."""
    try:
        seconds = float(value)
    except ValueError:
        seconds = _until_s(value)
    return min(max(seconds, 0.0), LONGEST_WAIT_S) if math.isfinite(seconds) else 0.0


def _until_s(date: str) -> float:
    try:
        return parsedate_to_datetime(date).timestamp() - wall_ns() / 1e9
    except (ValueError, OverflowError, IndexError):
        return 0.0
