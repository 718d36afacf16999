"""Signals as values: the two constants, what fields narrow, and what is refused."""

import pickle
from copy import deepcopy
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from autohedge.core.errors import StrategyFailed
from autohedge.core.events import SubmitOrder
from autohedge.core.units import NS_PER_S
from autohedge.strategies import Purpose, Side, Signal
from tests.run_harness import Played, Quotes, play, quotes_tape, settings

D = Decimal
START_NS = 1_700_000_000 * NS_PER_S
IMPORT = "from autohedge.strategies import Purpose, Side, Signal, Strategy\n"
COVERED = {"trading__direction": "both", "account__kind": "covered"}
FLAT: Quotes = [(START_NS + n * NS_PER_S, 100.0, 100.2) for n in range(12)]


def _played(tmp_path: Path, *returned: str, **changes: Any) -> Played:
    """Runs a strategy that returns these expressions, one per quote, and then None."""
    file = tmp_path / "mine.py"
    file.write_text(
        f"{IMPORT}class Mine(Strategy):\n"
        f"    def __init__(self):\n        self.signals = [{', '.join(returned)}]\n"
        "    def on_quote(self, quote):\n        return self.signals.pop(0) if self.signals else None\n"
    )
    return play(settings(strategy__name=f"{file}:Mine", **changes), quotes_tape(FLAT))


def _orders(played: Played) -> list[SubmitOrder]:
    return played.events(SubmitOrder)


def test_the_constants_are_values_of_a_purpose_and_a_side() -> None:
    assert Signal(Purpose.ENTER, Side.BUY) == Signal.BUY and Signal(Purpose.LEAVE, Side.SELL) == Signal.SELL
    assert Signal.BUY != Signal.SELL and len({Signal.BUY, Signal.SELL, Signal(Purpose.ENTER, Side.BUY)}) == 2
    assert Signal(Purpose.LEAVE).side is None


def test_pickled_and_copied_constants_are_the_same_objects() -> None:
    for constant in (Signal.BUY, Signal.SELL):
        assert pickle.loads(pickle.dumps(constant)) is constant
        assert deepcopy(constant) is constant
    other = Signal(Purpose.ENTER, Side.SELL, stop=1.5)
    assert pickle.loads(pickle.dumps(other)) == other


def test_a_signal_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        Signal.BUY.limit = 5.0  # type: ignore[misc]


@pytest.mark.parametrize(
    ("leave", "exits"),
    [
        ("Signal(Purpose.LEAVE, Side.BUY)", 1),
        ("Signal(Purpose.LEAVE)", 1),
        ("Signal.SELL", 0),
        ("None", 0),
    ],
)
def test_a_short_is_left_by_a_signal_to_buy_or_to_leave_whatever_is_held(
    tmp_path: Path, leave: str, exits: int
) -> None:
    played = _played(tmp_path, "Signal(Purpose.ENTER, Side.SELL)", leave, **COVERED)
    assert [(order.side, order.purpose) for order in _orders(played)] == [
        (Side.SELL, Purpose.ENTER),
        (Side.BUY, Purpose.LEAVE),
    ][: 1 + exits]
    assert (played.result.shorts, played.result.exit_signals) == (1, exits)


def test_a_long_is_left_by_a_signal_to_sell_and_by_no_signal_to_buy(tmp_path: Path) -> None:
    played = _played(tmp_path, "Signal.BUY", "Signal(Purpose.LEAVE, Side.BUY)", "Signal.SELL")
    assert [order.side for order in _orders(played)] == [Side.BUY, Side.SELL]
    assert played.result.codes["no_signal"] == 1 + 9


@pytest.mark.parametrize(
    ("changes", "signal", "code"),
    [
        ({}, "Signal(Purpose.ENTER, Side.SELL)", "no_short"),
        ({"account__kind": "covered"}, "Signal(Purpose.ENTER, Side.SELL)", "no_short"),
        (COVERED | {"account__kind": "cash"}, "Signal(Purpose.ENTER, Side.SELL)", "no_short"),
        (COVERED | {"trading__direction": "short"}, "Signal.BUY", "no_long"),
    ],
)
def test_a_side_that_is_not_allowed_ends_in_its_own_code(
    tmp_path: Path, changes: dict[str, Any], signal: str, code: str
) -> None:
    played = _played(tmp_path, signal, **changes)
    assert _orders(played) == []
    assert played.result.codes[code] == 1


def test_stop_and_target_replace_the_levels_of_the_settings(tmp_path: Path) -> None:
    (long,) = _orders(_played(tmp_path, "Signal(Purpose.ENTER, Side.BUY, stop=97, target=103.5)"))
    assert (long.stop_loss, long.take_profit) == (97.0, 103.5)
    (short,) = _orders(_played(tmp_path, "Signal(Purpose.ENTER, Side.SELL, stop=101.5)", **COVERED))
    default = 100.1 * (1.0 - settings().exits.take_profit_bps / 10_000.0)
    assert (short.stop_loss, short.take_profit) == (101.5, default)


@pytest.mark.parametrize(
    ("side", "limit", "sent"),
    [
        ("BUY", "100.05", "100.0"),  # rounded down to a printed digit of the quote
        ("BUY", "100.1", "100.1"),
        ("BUY", "105", "100.2"),  # easier to reach than the ask: no effect
        ("SELL", "100.05", "100.1"),
        ("SELL", "90", "100.0"),
    ],
)
def test_a_limit_only_makes_an_entry_harder_to_reach(
    tmp_path: Path, side: str, limit: str, sent: str
) -> None:
    changes = COVERED | {"execution__time_in_force": "gtc"}
    (order, *_) = _orders(_played(tmp_path, f"Signal(Purpose.ENTER, Side.{side}, limit={limit})", **changes))
    assert order.limit == D(sent)


def test_a_size_hint_is_a_share_of_what_sizing_allows(tmp_path: Path) -> None:
    whole, half = (
        _orders(_played(tmp_path, f"Signal(Purpose.ENTER, Side.BUY, size_hint={hint})", **SIZED))[0].quantity
        for hint in (1, 0.5)
    )
    assert whole == D("0.998003") and half == D("0.499001")
    refused = _played(tmp_path, "Signal(Purpose.ENTER, Side.BUY, size_hint=0.04)", **SIZED)
    assert refused.result.codes["min_notional"] == 1


SIZED = {"sizing__target_balance_pct": 50, "sizing__min_order_amount": 5, "sizing__max_order_amount": 100}


@pytest.mark.parametrize(
    ("horizon", "max_hold_s", "held_s"), [(3, 0, 3), (3, 60, 3), (60, 5, 5), (None, 5, 5), (None, 0, None)]
)
def test_the_shorter_of_horizon_and_setting_ends_a_position(
    tmp_path: Path, horizon: int | None, max_hold_s: int, held_s: int | None
) -> None:
    signal = f"Signal(Purpose.ENTER, Side.SELL, horizon={horizon})"
    played = _played(tmp_path, signal, **COVERED, exits__max_hold_s=max_hold_s)
    assert [(o.at_ns - START_NS) // NS_PER_S for o in _orders(played)[1:]] == ([held_s] if held_s else [])


@pytest.mark.parametrize(
    ("signal", "message"),
    [
        ("Signal(Purpose.ENTER, Side.BUY, strength=0.7)", "its signal sets strength, which is not used yet"),
        ("Signal(Purpose.LEAVE, strategy='b')", "its signal sets strategy, which is not used yet"),
        ("Signal(Purpose.LEAVE, limit=3)", "leaves a position and sets limit, which only entries have"),
        (
            "Signal(Purpose.ENTER, Side.BUY, size_hint=0)",
            "a size_hint of 0; it must be above 0 and at most 1",
        ),
        ("Signal(Purpose.ENTER, Side.BUY, size_hint=1.5)", "a size_hint of 1.5; it must be above 0"),
        ("Signal(Purpose.ENTER, Side.BUY, size_hint=float('nan'))", "has no finite number as size_hint"),
        ("Signal(Purpose.ENTER, Side.BUY, limit='5')", "has no finite number as limit"),
        ("Signal(Purpose.ENTER, Side.BUY, limit=-5)", "has a limit of -5; a price is above 0"),
        ("Signal(Purpose.ENTER, Side.BUY, stop=101)", "a stop of 101, which is not below the mid of 100.1"),
        (
            "Signal(Purpose.ENTER, Side.BUY, target=100)",
            "a target of 100, which is not above the mid of 100.1",
        ),
        ("Signal(Purpose.ENTER, Side.SELL, stop=99)", "a stop of 99, which is not above the mid of 100.1"),
        (
            "Signal(Purpose.ENTER, Side.SELL, target=101)",
            "a target of 101, which is not below the mid of 100.1",
        ),
        ("Signal(Purpose.ENTER, Side.BUY, horizon=0)", "a horizon of 0 s; it must be 1e-06 to 1e+08 s"),
        ("Signal(Purpose.ENTER)", "must return Signal.BUY, Signal.SELL or None, not Signal("),
        ("Signal('enter', 'buy')", "must return Signal.BUY, Signal.SELL or None, not Signal("),
        ("Side.BUY", "must return Signal.BUY, Signal.SELL or None, not <Side.BUY: 'buy'>"),
    ],
)
def test_a_signal_that_no_entry_can_carry_out_names_its_field(
    tmp_path: Path, signal: str, message: str
) -> None:
    with pytest.raises(StrategyFailed) as caught:
        _played(tmp_path, signal, **COVERED)
    assert "strategy Mine at row 0" in str(caught.value) and message in str(caught.value)
