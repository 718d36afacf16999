"""Which orders enter and which leave, and whether a booking went too far."""

from decimal import Decimal

from autohedge.config import Settings
from autohedge.core.money import ZERO
from autohedge.core.orders import BUY, ENTER, LEAVE, SELL, Purpose, Side, closable


class SideRules:
    """The rules of one account: the sides that its entries may have, and whether it may be short."""

    def __init__(self, settings: Settings) -> None:
        both = len(settings.entry_sides) == len(Side)
        self._exit_side = None if both else BUY if settings.trading.direction == "short" else SELL
        self._covered = settings.account.kind == "covered"

    def purpose_of(self, side: Side, position: Decimal) -> Purpose:
        """The purpose of an order that the venue lists by its side alone: one against the position leaves it.

        Where entries have one side only, the other side leaves, whatever is held. A covered account can hold a
        position that its entries do not open, because it adopts what others trade.
        """
        leaves = side is self._exit_side or (self._covered and closable(position, side) > ZERO)
        return LEAVE if leaves else ENTER

    def crossed(self, held: Decimal, side: Side, *, leaves: bool) -> bool:
        """Whether a booking on a side left a short in a cash account, or, as it `leaves`, opened the other side."""
        return (leaves and closable(held, side) < ZERO) if self._covered else held < ZERO


def crossed_alert(symbol: str, held: Decimal) -> tuple[str, str]:
    """The code and the text of an alert that more was closed than was held."""
    code, closed = ("short", "sold than held") if held < ZERO else ("long", "bought than sold short")
    return code, f"{symbol}: position {held}, more {closed}"
