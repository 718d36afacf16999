"""The share of one process in a model that several processes use."""

from typing import Any

import pytest

from autohedge.graph.service import _process_share
from tests.run_harness import settings


@pytest.mark.parametrize(
    ("changes", "on_tape", "places"),
    [
        ({}, False, 7),
        ({"llm__expected_processes": 2}, False, 3),
        ({"llm__expected_processes": 20}, False, 1),
        ({"llm__expected_processes": 2}, True, 7),
        ({"llm__expected_processes": 2, "redis__url": '"redis://127.0.0.1:1/0"'}, False, 7),
    ],
)
def test_live_process_without_redis_takes_its_share_of_call_slots(
    changes: dict[str, Any], on_tape: bool, places: int
) -> None:
    assert (
        _process_share(settings(llm__max_concurrent=7, **changes), on_tape=on_tape).max_concurrent == places
    )
