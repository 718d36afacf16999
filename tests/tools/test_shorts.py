"""What prompts say of shorts: something where they are allowed, and no byte where they are not."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from autohedge.core.snapshots import PositionView
from autohedge.tools.account import account_text, bounds_text
from autohedge.tools.claims import unsupported
from autohedge.tools.prior_answers import assessment_text
from autohedge.tools.trades import trades_text
from tests.snapshot_factory import AGENT_LIMITS, closed_trade, rows, snapshot

SHORT = PositionView(Decimal("-0.00160"), 100.0, 99.0, 100.5)


def _limits(*directions: Any) -> Any:
    return msgspec.structs.replace(AGENT_LIMITS, directions=directions)


@pytest.mark.parametrize(
    ("directions", "moves", "named"),
    [
        (("long", "short"), "rise or fall", "long or short"),
        (("short",), "fall", "short"),
    ],
)
def test_account_text_names_the_directions_where_shorts_are_allowed(
    directions: tuple[str, ...], moves: str, named: str
) -> None:
    text = account_text(snapshot(limits=_limits(*directions)))
    assert f"entries: from a {moves} of 15 bps" in text
    assert f"entries may be {named}; of a short the take-profit is below the price" in text
    assert "short" not in account_text(snapshot())
    assert "from a rise of 15 bps" in account_text(snapshot(limits=_limits()))


def test_bounds_text_explains_a_short_where_it_is_allowed() -> None:
    assert "an offset raises the limit" in bounds_text(_limits("long", "short"))
    assert "short" not in bounds_text(AGENT_LIMITS)


def test_position_text_of_a_short_shows_its_gain_at_the_ask() -> None:
    seen = snapshot(rows([99.4]), position=SHORT)
    first = account_text(seen).split("\n")[0]
    assert (
        first
        == "position: 0.0016 sold short at 100 (+50.0 bps at the last ask), take-profit 99, stop-loss 100.5"
    )
    assert unsupported("It has gained 50.0 bps with 0.0016 at 100.", seen, 10) == ()


def test_trade_text_of_a_short_has_the_gain_of_a_fall() -> None:
    trade = msgspec.structs.replace(closed_trade(exit_price=99.0), direction="short")
    text = trades_text(snapshot(closed_trades=(trade,)))
    assert "sold short 0.5 at 100, bought back at 99 (+100.0 bps)" in text


def test_assessment_text_of_a_short_has_its_exits_on_their_sides() -> None:
    assert (
        assessment_text(60, 150, 50) == "buy 60 % of the usual size, take-profit +150 bps, stop-loss -50 bps"
    )
    assert assessment_text(60, 150, 50, is_short=True) == (
        "sell short 60 % of the usual size, take-profit -150 bps, stop-loss +50 bps; "
        "a limit with an offset waits for a higher price"
    )
