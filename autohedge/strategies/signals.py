"""Signals: what a strategy wants to trade, as a value."""

from math import isfinite
from typing import Any, ClassVar

import msgspec

from autohedge.core.orders import Purpose, Side

HORIZON_MIN_S, HORIZON_MAX_S = 1e-6, 1e8


class Signal(msgspec.Struct, frozen=True, gc=False):
    """A strategy's request to enter a position, or to leave one.

        Signal.BUY                                  # enter a long
        Signal.SELL                                 # leave a long
        Signal(Purpose.ENTER, Side.SELL)            # enter a short
        Signal(Purpose.LEAVE, Side.BUY)             # leave a short
        Signal(Purpose.LEAVE)                       # leave whatever is held
        Signal(Purpose.ENTER, Side.BUY, stop=99.0, target=103.0, horizon=3600)

    Settings, sizing and limits bound an entry; the fields can only narrow it. `size_hint` is the share of the size
    that sizing allows, above 0 and up to 1. `limit` is a price; one that is easier to reach than the limit of the
    settings has no effect. `stop` and `target` are prices that replace the levels of `[exits]`, on their sides of
    the mid. `horizon` is the longest time to hold, in seconds; the shorter of it and `exits.max_hold_s` counts.
    `strength` and `strategy` are not used yet: a signal that sets them is refused.
    """

    purpose: Purpose
    side: Side | None = None
    strength: float | None = None
    size_hint: float | None = None
    limit: float | None = None
    stop: float | None = None
    target: float | None = None
    horizon: float | None = None
    strategy: str | None = None

    BUY: ClassVar["Signal"]
    SELL: ClassVar["Signal"]

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles the constants by name, so that they are the same objects afterwards."""
        for name in ("BUY", "SELL"):
            if self == getattr(Signal, name):
                return getattr, (Signal, name)
        return Signal, msgspec.structs.astuple(self)


Signal.BUY = Signal(Purpose.ENTER, Side.BUY)
Signal.SELL = Signal(Purpose.LEAVE, Side.SELL)

UNUSED = ("strength", "strategy")
OF_ENTRIES = ("size_hint", "limit", "stop", "target", "horizon")
_SIDES = (Side.BUY, Side.SELL)


def is_signal(value: object) -> bool:
    """Whether a value is a signal with a purpose and a side; an entry needs a side."""
    if not isinstance(value, Signal) or not isinstance(value.purpose, Purpose):
        return False
    return value.side in _SIDES or (value.side is None and value.purpose is Purpose.LEAVE)


def problem(signal: Signal, mid: float) -> str:
    """Returns what is wrong with the fields of a signal at a mid price; empty if nothing is."""
    given = [name for name in UNUSED + OF_ENTRIES if getattr(signal, name) is not None]
    for name in given:
        value = getattr(signal, name)
        if name in UNUSED:
            return f"sets {name}, which is not used yet"
        if signal.purpose is Purpose.LEAVE:
            return f"leaves a position and sets {name}, which only entries have"
        if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
            return f"has no finite number as {name}"
        if wrong := _out_of_bounds(signal, name, float(value), mid):
            return wrong
    return ""


def _out_of_bounds(signal: Signal, name: str, value: float, mid: float) -> str:
    if name == "size_hint":
        return "" if 0.0 < value <= 1.0 else f"has a size_hint of {value:g}; it must be above 0 and at most 1"
    if name == "horizon":
        inside = HORIZON_MIN_S <= value <= HORIZON_MAX_S
        return (
            ""
            if inside
            else f"has a horizon of {value:g} s; it must be {HORIZON_MIN_S:g} to {HORIZON_MAX_S:g} s"
        )
    if value <= 0.0:
        return f"has a {name} of {value:g}; a price is above 0"
    if name == "limit":
        return ""
    below = (signal.side is Side.BUY) is (name == "stop")
    if value < mid if below else value > mid:
        return ""
    return f"has a {name} of {value:g}, which is not {'below' if below else 'above'} the mid of {mid:g}"
