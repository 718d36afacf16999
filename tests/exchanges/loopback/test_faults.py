"""Connection faults: names, seeds, and independence of the messages."""

from collections import Counter

import pytest

from autohedge.core.errors import Misconfigured
from autohedge.exchanges.faults import VenueFault
from autohedge.exchanges.loopback.faults import (
    DELAY_MOST_S,
    MEANING,
    OF_PUSHES,
    OF_REQUESTS,
    RATE,
    WIRE_FAULTS,
    SeededFaults,
    parse,
)


def test_fault_parser_accepts_all_and_single_names() -> None:
    assert parse("all") == tuple(WIRE_FAULTS) == tuple(MEANING)
    assert set(WIRE_FAULTS.values()) == {*OF_REQUESTS, *OF_PUSHES}
    assert parse("drop, drop_push") == ("drop", "drop_push")


@pytest.mark.parametrize(
    ("text", "hint"),
    [("droop", "did you mean drop"), ("", "there are all, drop"), ("x,drop", "there are all")],
)
def test_a_fault_that_does_not_exist_is_refused_with_a_hint(text: str, hint: str) -> None:
    with pytest.raises(Misconfigured, match=hint):
        parse(text)


def test_same_seed_draws_the_same_faults() -> None:
    def drawn(seed: int) -> list[object]:
        faults = SeededFaults(VenueFault, seed)
        return [draw() for _ in range(200) for draw in (faults.for_request, faults.for_push, faults.delay_ns)]

    assert drawn(1) == drawn(1) != drawn(2)


def test_every_fault_strikes_and_about_as_often_as_it_should() -> None:
    faults = SeededFaults(VenueFault, 3)
    requests = Counter(faults.for_request() for _ in range(5_000))
    pushes = Counter(faults.for_push() for _ in range(5_000))
    assert set(requests) == {None, *OF_REQUESTS} and set(pushes) == {None, *OF_PUSHES}
    assert abs(5_000 - requests[None] - 5_000 * RATE) < 150
    assert all(0 <= faults.delay_ns() <= DELAY_MOST_S * 1e9 for _ in range(100))


def test_only_wanted_faults_strike_and_none_if_none_is_wanted() -> None:
    one = SeededFaults([VenueFault.BAN], 0, rate=1.0)
    assert (one.for_request(), one.for_push()) == (VenueFault.BAN, None)
    none = SeededFaults((), 0, rate=1.0)
    assert (none.for_request(), none.for_push()) == (None, None)
