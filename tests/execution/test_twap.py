"""TWAP schedules: slices sum up to the quantity, and none is less than a lot."""

from decimal import Decimal

from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from autohedge.execution.twap import Twap

LOT = Decimal("0.01")


@budget(max_examples=100, deadline=None)
@given(st.integers(1, 10_000), st.integers(1, 20))
def test_the_parts_sum_to_the_whole_and_each_is_whole_lots(lots: int, parts: int) -> None:
    whole = lots * LOT
    twap, now_ns, taken = Twap.of(whole, parts, 60_000, LOT, 5), 5, []
    while (next_ns := twap.next_ns) is not None:
        assert next_ns >= now_ns
        now_ns = next_ns
        taken.append(twap.next_quantity(now_ns))
    assert sum(taken) == whole
    assert len(taken) == min(parts, lots)
    assert all(part > 0 and part % LOT == 0 for part in taken)
    assert max(taken[:-1], default=taken[0]) == taken[0] <= taken[-1]


def test_slices_after_a_delay_keep_their_interval() -> None:
    twap = Twap.of(Decimal(3), 3, 30, Decimal(1), 0)
    twap.next_quantity(0)
    assert twap.next_ns == 10
    twap.next_quantity(25)
    assert twap.next_ns == 35
