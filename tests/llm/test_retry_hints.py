"""When a server wants the next try, in each form that servers use."""

import pytest

from autohedge.core.clock import wall_ns
from autohedge.llm.errors import from_status
from autohedge.llm.retry_hints import LONGEST_WAIT_S, duration_s, limit_reset_s, retry_hint_s


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("20ms", 0.02), ("1s", 1), ("6m0s", 360), ("1m30.5s", 90.5), ("2 minutes", 120), ("1h0m", 3600),
     ("500 milliseconds", 0.5), ("soon", 0), ("5 apples", 0), ("", 0), ("s", 0)],
)  # fmt: skip
def test_durations_of_servers_are_read_as_seconds(text: str, seconds: float) -> None:
    assert duration_s(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("headers", "body", "seconds"),
    [
        ({"retry-after-ms": "1500", "retry-after": "2"}, "", 1.5),
        ({"retry-after": "7"}, "Please try again in 3s", 7),
        ({"retry-after": "1m2s"}, "", 62),
        ({}, "Limit 3, used 3. Please try again in 1.2s. See the limits page.", 1.2),
        ({}, "Please try again in 6m0s.", 360),
        ({}, "Please retry in 34.07s.", 34.07),
        ({}, "Please retry after 20 seconds.", 20),
        ({}, '{"details": [{"retryDelay": "30s"}]}', 30),
        ({}, '{"raw": "{\\"retryDelay\\": \\"30s\\"}"}', 30),
        ({}, '{"retry_after": 1.5}', 1.5),
        ({}, '{"retry_after_ms": 250}', 0.25),
        ({}, "Please try again later.", 0),
        ({"retry-after-ms": "nan"}, "", 0),
        ({"retry-after": "999999"}, "", LONGEST_WAIT_S),
        ({}, "try again in 99 hours", LONGEST_WAIT_S),
    ],
)
def test_the_wait_that_a_server_asks_for_is_read(headers: dict[str, str], body: str, seconds: float) -> None:
    assert retry_hint_s(headers, body.encode()) == pytest.approx(seconds)


RESETS = {"x-ratelimit-reset-requests": "1s", "x-ratelimit-reset-tokens": "20ms"}


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        (RESETS, 1),
        (RESETS | {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-remaining-requests": "9"}, 0.02),
        ({"ratelimit-reset": "12"}, 12),
        ({"x-ratelimit-reset": "8"}, 8),
        ({"x-ratelimit-reset-tokens": "soon"}, 0),
        ({}, 0),
    ],
)
def test_the_reset_of_the_limit_that_is_used_up_is_read(headers: dict[str, str], seconds: float) -> None:
    assert limit_reset_s(headers) == pytest.approx(seconds)


@pytest.mark.parametrize("per_s", [1, 1000])
def test_a_reset_at_a_point_in_time_is_a_wait_until_then(per_s: int) -> None:
    at = str(int((wall_ns() / 1e9 + 60) * per_s))
    assert 50 < limit_reset_s({"x-ratelimit-reset": at}) <= 60


def test_resets_are_hints_only_for_a_limit_that_was_reached() -> None:
    limited = from_status(429, RESETS, b'{"error": "no"}', "http://h", None)
    in_body = from_status(
        200, {}, b'{"error": {"code": 429, "message": "try again in 2s"}}', "http://h", None
    )
    failed = from_status(500, RESETS, b'{"error": "no"}', "http://h", None)
    assert (limited.after_s, in_body.after_s, failed.after_s) == (1.0, 2.0, 0.0)
