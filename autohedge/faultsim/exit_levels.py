"""The levels at which a position must be left, computed independently of the engine and its kernels.

A long is left at the bid, a short at the ask. All levels are prices: the target of a short is below its
reference, its stop and its trailing stop are above the ask.
"""

from dataclasses import dataclass
from math import inf

from autohedge.config.sections import ExitsSettings
from autohedge.core.events import Proposal

TAKE_PROFIT, STOP_LOSS, TRAILING_STOP = "take_profit", "stop_loss", "trailing_stop"
# ExitLevels are float64: within this share of one, a price may count as meeting it or not.
ROUNDING = 1e-12


@dataclass(frozen=True, slots=True)
class ExitLevels:
    """Target, stop, and the start of the trail, as prices; `trail_distance` is a share of the best price."""

    take_profit: float
    stop_loss: float
    trail_from: float
    trail_distance: float

    @classmethod
    def of(
        cls, reference: float, exits: ExitsSettings, proposal: Proposal | None, *, buys: bool
    ) -> "ExitLevels":
        """The levels of an entry at a mid of `reference`; a proposal sets target and stop."""
        gain = reference * (proposal.take_profit_bps if proposal else exits.take_profit_bps) / 1e4
        loss = reference * (proposal.stop_loss_bps if proposal else exits.stop_loss_bps) / 1e4
        start = reference * (exits.trailing_activation_bps or inf) / 1e4
        trail_distance = exits.trailing_distance_bps / 1e4
        if buys:
            return cls(reference + gain, reference - loss, reference + start, trail_distance)
        return cls(reference - gain, reference + loss, reference - start, trail_distance)


class TrailingStop:
    """The best price of a trailing stop: the nearest that it can be, and the furthest."""

    def __init__(self) -> None:
        self._nearest: float | None = None
        self._furthest: float | None = None

    def stop(self) -> None:
        """Ends the trail with its position."""
        self._nearest = self._furthest = None

    def doubt(self) -> None:
        """Notes that the trail may have ended."""
        self._nearest = None

    def follow(self, price: float, start: float, *, is_long: bool, certain: bool = True) -> None:
        """Follows one exit price; not `certain` if an exit may have been on its way, which keeps the best price."""
        best = max if is_long else min
        if certain and (self._nearest is not None or _beyond(price, start, is_long=is_long)):
            self._nearest = best(price, self._nearest or price)
        if self._furthest is not None or not _beyond(start, price, is_long=is_long):
            self._furthest = best(price, self._furthest or price)

    def must_leave(self, price: float, distance: float, *, is_long: bool) -> bool:
        """Whether an exit price meets the trailing stop for certain."""
        nearest = self._nearest
        return nearest is not None and _beyond(
            _stop(nearest, distance, is_long=is_long), price, is_long=is_long
        )

    def may_leave(self, price: float, distance: float, *, is_long: bool) -> bool:
        """Whether an exit price may meet the trailing stop."""
        furthest = self._furthest
        return furthest is not None and not _beyond(
            price, _stop(furthest, distance, is_long=is_long), is_long=is_long
        )


def levels_met(
    price: float, levels: ExitLevels, trail: TrailingStop, *, is_long: bool
) -> tuple[str, frozenset[str]]:
    """Follows one exit price; returns the level that it certainly meets, or "", and those that it may meet."""
    must, may = "", set()
    if not _beyond(levels.take_profit, price, is_long=is_long):
        may.add(TAKE_PROFIT)
        must = TAKE_PROFIT if _beyond(price, levels.take_profit, is_long=is_long) else ""
    if not must and not _beyond(price, levels.stop_loss, is_long=is_long):
        may.add(STOP_LOSS)
        must = STOP_LOSS if _beyond(levels.stop_loss, price, is_long=is_long) else ""
    if not must:
        trail.follow(price, levels.trail_from, is_long=is_long)
        if trail.may_leave(price, levels.trail_distance, is_long=is_long):
            may.add(TRAILING_STOP)
        must = TRAILING_STOP if trail.must_leave(price, levels.trail_distance, is_long=is_long) else ""
    return must, frozenset(may)


def _stop(best: float, distance: float, *, is_long: bool) -> float:
    return best * (1.0 - distance) if is_long else best * (1.0 + distance)


def _beyond(price: float, level: float, *, is_long: bool) -> bool:
    """Whether a price is better than a level, by more than rounding: higher for a long, lower for a short."""
    margin = level * ROUNDING
    return price > level + margin if is_long else price < level - margin
