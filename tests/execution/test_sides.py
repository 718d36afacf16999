"""What an order at the venue is for, by its side and the position."""

from decimal import Decimal

import pytest

from autohedge.core.orders import BUY, ENTER, LEAVE, SELL, Purpose, Side
from autohedge.execution.sides import SideRules
from tests.run_harness import settings


@pytest.mark.parametrize(
    ("kind", "direction", "side", "held", "purpose"),
    [
        ("cash", "long", BUY, 0, ENTER),
        ("cash", "long", SELL, 0, LEAVE),
        ("cash", "long", BUY, -1, ENTER),  # a short that no exit mends
        ("covered", "both", BUY, -1, LEAVE),
        ("covered", "both", SELL, -1, ENTER),
        ("covered", "long", BUY, 1, ENTER),
        ("covered", "long", BUY, -1, LEAVE),
        ("covered", "short", SELL, 1, LEAVE),
        ("covered", "short", SELL, 0, ENTER),
    ],
)
def test_order_against_the_position_or_on_the_exit_side_leaves(
    kind: str, direction: str, side: Side, held: int, purpose: Purpose
) -> None:
    rules = SideRules(settings(account__kind=kind, trading__direction=direction))
    assert rules.purpose_of(side, Decimal(held)) is purpose
