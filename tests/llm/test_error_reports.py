"""Errors that servers report, in the shapes of gateways and local servers, with any HTTP status."""

import json
from typing import Any

import msgspec
import pytest

from autohedge.llm.backend import FailureCode
from autohedge.llm.backends.capabilities import ModelCapability
from autohedge.llm.backends.parameter_fallbacks import adapted
from autohedge.llm.error_reports import code_of, read_report, reports_error
from autohedge.llm.errors import LONGEST, from_status

BEHIND = {"error": {"message": "Upstream is full", "code": "429"}}


def _code(body: object, status: int = 200) -> FailureCode:
    return code_of(status, read_report(json.dumps(body).encode()))


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"error": {"message": "Upstream failed", "code": 429}}, "rate_limited"),
        ({"error": {"message": "Upstream failed", "code": "503"}}, "server_error"),
        ({"error": {"message": "Upstream failed", "code": 502, "metadata": {"raw": "x"}}}, "server_error"),
        ({"error": {"message": "Wrapped", "metadata": {"raw": json.dumps(BEHIND)}}}, "rate_limited"),
        ({"error": {"message": "No", "type": "rate_limit_exceeded"}}, "rate_limited"),
        ({"error": {"message": "No", "status": "RESOURCE_EXHAUSTED"}}, "rate_limited"),
        ({"error": "Too many requests, slow down"}, "rate_limited"),
        ({"error": {"message": "The engine is overloaded", "code": "x"}}, "server_error"),
        ({"error": "The model has crashed (exit code 6)"}, "server_error"),
        ({"choices": [], "error": {"code": 429, "message": "No"}}, "rate_limited"),
        ({"choices": [{"error": {"code": 502, "message": "Cut"}, "message": {}}]}, "server_error"),
        ({"object": "error", "message": "Busy", "type": "Unavailable", "code": 503}, "server_error"),
        ({"object": "error", "message": "max_model_len is 4096", "code": 400}, "context_overflow"),
        ({"detail": "Rate limit reached"}, "rate_limited"),
        ({"detail": [{"msg": "Unsupported value", "type": "value_error"}]}, "bad_request"),
        ({"success": False, "errors": [{"code": 429, "message": "No"}]}, "rate_limited"),
        ({"error": "The prompt has more tokens than the context length of the model"}, "context_overflow"),
        ({"error": {"message": "Too long", "code": "context_length_exceeded"}}, "context_overflow"),
        ({"error": "Model is unloaded."}, "model_gone"),
        ({"error": "No models loaded. Please load a model first."}, "model_gone"),
        ({"error": {"message": "Invalid model identifier 'x'"}}, "model_gone"),
        ({"error": {"message": "Wrong", "code": "invalid_api_key"}}, "unauthorized"),
        ({"error": {"message": "Wrong", "code": 401}}, "unauthorized"),
        ({"error": "Unexpected endpoint or method. (GET /v1/x)"}, "garbage_reply"),
        ({"error": "This page is not implemented"}, "bad_request"),
        ({"message": "Welcome"}, "garbage_reply"),
    ],
)  # fmt: skip
def test_an_error_in_a_reply_of_200_has_its_own_code(body: dict[str, Any], code: FailureCode) -> None:
    assert reports_error(body) and _code(body) == code


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"error": {"message": "No", "code": "insufficient_quota"}}, 429, "quota"),
        ({"error": {"message": "No", "type": "insufficient_quota"}}, 200, "quota"),
        ({"error": {"message": "You exceeded your current quota, check your plan"}}, 429, "quota"),
        ({"error": {"message": "Your credit balance is too low"}}, 400, "quota"),
        ({"error": {"message": "Insufficient Balance"}}, 402, "quota"),
        ({"error": "You have exceeded your monthly included credits"}, 403, "quota"),
        ({"error": {"message": "Your team has used all available credits"}}, 403, "quota"),
        ({"error": {"message": "Limit reached; for more, see /billing"}}, 429, "rate_limited"),
        ({"error": "Model is unloaded."}, 500, "model_gone"),
        ({"error": "Loading model"}, 503, "server_error"),
        ({"error": "the request exceeds the available context size"}, 500, "context_overflow"),
        ({"error": "not enough memory for a context size of 8192"}, 500, "server_error"),
        ({"error": {"message": "Upstream failed", "code": 429}}, 500, "rate_limited"),
        ({"error": {"message": "No", "code": 400}}, 503, "server_error"),
        ({"error": "This would exceed your rate limit for long context requests"}, 429, "rate_limited"),
        ({"error": "no such field"}, 400, "bad_request"),
    ],
)  # fmt: skip
def test_an_error_with_a_status_is_read_with_its_message(
    body: dict[str, Any], status: int, code: FailureCode
) -> None:
    assert _code(body, status) == code


def test_a_quota_per_minute_that_passes_is_a_rate_limit() -> None:
    report = read_report(b'{"error": {"message": "You exceeded your current quota, check plan and billing"}}')
    assert code_of(429, report, can_pass=True) == "rate_limited"
    spent = read_report(b'{"error": {"code": "insufficient_quota"}}')
    assert code_of(429, spent, can_pass=True) == "quota"


@pytest.mark.parametrize(
    "reply",
    [
        {"choices": [{"message": {"content": "{}"}}], "error": None},
        {"message": {"role": "assistant", "content": "{}"}, "done": True},
        {"object": "list", "data": []},
        {"version": "0.12"},
        {"status": "ok"},
        {},
    ],
)
def test_an_ordinary_reply_reports_no_error(reply: dict[str, Any]) -> None:
    assert not reports_error(reply)


def test_a_report_has_the_messages_of_gateway_and_server_behind_it() -> None:
    body = {"error": {"message": "Provider failed", "metadata": {"raw": json.dumps(BEHIND)}}}
    assert read_report(json.dumps(body).encode()).message == "Provider failed: Upstream is full"
    assert read_report(b"<h1>Oops</h1>").message == "<h1>Oops</h1>"


def test_the_message_of_a_server_has_room_beside_address_and_cure() -> None:
    server = f"https://{'gateway-' * 20}.example/v1"
    failure = from_status(404, {}, b'{"error": "the model was removed on Friday"}', server, None)
    assert "the model was removed on Friday" in str(failure) and len(str(failure)) <= LONGEST
    assert str(failure).endswith("right address")


def test_an_output_mode_refused_in_a_reply_of_200_can_be_weakened() -> None:
    body = b"{\"error\": \"'response_format.type' must be 'json_schema' or 'text'\"}"
    error = from_status(200, {}, body, "http://h/v1", None)
    known = ModelCapability("http://h/v1", "m", "lm_studio", "json_object", 0)
    adapted_to = adapted(known, error, "auto", [])
    assert adapted_to and adapted_to.form == "text"


def test_deep_or_endless_error_bodies_are_read_in_bounds() -> None:
    body: Any = "x" * 100_000
    for _ in range(50):
        body = {"error": {"message": [body]}}
    assert len(read_report(msgspec.json.encode(body)).message) <= 20_000
