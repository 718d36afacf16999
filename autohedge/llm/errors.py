"""Converts the errors of servers into a code and one line of plain text."""

from collections.abc import Mapping

from pydantic import SecretStr

from autohedge.core.text import one_line as text_line
from autohedge.core.text import printable
from autohedge.llm.backend import FailureCode, LLMError
from autohedge.llm.error_reports import code_of, read_report
from autohedge.llm.retry_hints import limit_reset_s, retry_hint_s

LONGEST = 300
LONGEST_SERVER = 100
SHORTEST_KEY = 8  # a shorter key is a placeholder, and masking it would hide ordinary text
LONGEST_BODY = 4000  # bytes that are searched for the name of a refused parameter
HIDDEN = "[key]"


_CURES: dict[FailureCode, str] = {
    "unauthorized": "set AUTOHEDGE_LLM_API_KEY to a key that it takes",
    "model_gone": "set llm.model to one that it lists, or llm.base_url to its right address",
    "quota": "add credit or raise the limit of the account there",
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
    code: FailureCode,
    server: str,
    detail: str,
    key: SecretStr | None = None,
    after_s: float = 0.0,
    cure: str = "",
) -> LLMError:
    """Returns the error of one call: the server, what happened, and the remedy, that of the code if empty."""
    return LLMError(code, _line(code, server, detail, key, cure), after_s)


def from_status(
    status: int, headers: Mapping[str, str], body: bytes, server: str, key: SecretStr | None
) -> LLMError:
    """Returns the error that a reply reports, with an HTTP status of 2xx or any other."""
    report, after_s = read_report(body), retry_hint_s(headers, body)
    code = code_of(status, report, can_pass=after_s > 0)
    if code == "rate_limited":
        after_s = after_s or limit_reset_s(headers)
    error = llm_error(code, server, f"it answered {status}: {report.message}", key, after_s)
    # A gateway may report the status of the server behind it in a reply with status 200.
    error.status = report.status if report.status and 200 <= status < 300 else status
    error.body = body[:LONGEST_BODY]
    return error


def _line(code: FailureCode, server: str, detail: str, key: SecretStr | None, cure: str = "") -> str:
    """Joins cause and remedy in at most LONGEST characters; there is always room for the server's words."""
    where, remedy = one_line(server, key, LONGEST_SERVER), cure or _CURES.get(code, "")
    end = f"; {remedy}" if remedy else ""
    room = LONGEST - len(where) - len(end) - 2
    return f"{where}: {one_line(detail, key, room)}{end}"
