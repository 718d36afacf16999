"""The share of one process in a model that several processes use."""

from typing import Any

import pytest

from autohedge.graph.service import _process_share
from tests.run_harness import settings


@pytest.mark.parametrize(
    ("changes", "places"),
    [
        ({}, 7),
        ({"llm__expected_processes": 2}, 3),
        ({"llm__expected_processes": 20}, 1),
        ({"llm__expected_processes": 2, "redis__url": '"redis://127.0.0.1:1/0"'}, 7),
    ],
)
def test_live_process_without_redis_takes_its_share_of_call_slots(
    changes: dict[str, Any], places: int
) -> None:
    assert _process_share(settings(llm__max_concurrent=7, **changes)).max_concurrent == places
