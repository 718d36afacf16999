"""The levels at which a position must be sold, computed independently of the engine and its kernels."""

from dataclasses import dataclass
from math import inf

from autohedge.config.sections import ExitsSettings
from autohedge.core.events import Proposal

TAKE_PROFIT, STOP_LOSS, TRAILING_STOP = "take_profit", "stop_loss", "trailing_stop"
# ExitLevels are float64: within this share of one, a bid may count as meeting it or not.
ROUNDING = 1e-12


@dataclass(frozen=True, slots=True)
class ExitLevels:
    """Target, stop, and the start of the trail, as prices; `trail_keep` is the trail's share of the peak."""

    take_profit: float
    stop_loss: float
    trail_from: float
    trail_keep: float

    @classmethod
    def of(cls, reference: float, exits: ExitsSettings, proposal: Proposal | None) -> "ExitLevels":
        """The levels of an entry at a mid of `reference`; a proposal sets target and stop."""
        gain_bps = proposal.take_profit_bps if proposal else exits.take_profit_bps
        loss_bps = proposal.stop_loss_bps if proposal else exits.stop_loss_bps
        start_bps = exits.trailing_activation_bps or inf
        return cls(
            reference + reference * gain_bps / 1e4,
            reference - reference * loss_bps / 1e4,
            reference + reference * start_bps / 1e4,
            1.0 - exits.trailing_distance_bps / 1e4,
        )


class TrailingStop:
    """The peak of a trailing stop: the least that it must be, and the most that it may be."""

    def __init__(self) -> None:
        self._least: float | None = None
        self._most: float | None = None

    def stop(self) -> None:
        """Ends the trail with its position."""
        self._least = self._most = None

    def follow(self, bid: float, start: float, *, certain: bool = True) -> None:
        """Follows one bid; not `certain` if an exit may have been on its way, which keeps the peak."""
        if certain and (self._least is not None or bid >= start * (1.0 + ROUNDING)):
            self._least = max(bid, self._least or bid)
        if self._most is not None or bid >= start * (1.0 - ROUNDING):
            self._most = max(bid, self._most or bid)

    def must_sell(self, bid: float, keep: float) -> bool:
        """Whether a bid is below the trailing stop for certain."""
        return self._least is not None and bid <= self._least * keep * (1.0 - ROUNDING)

    def may_sell(self, bid: float, keep: float) -> bool:
        """Whether a bid may be below the trailing stop."""
        return self._most is not None and bid <= self._most * keep * (1.0 + ROUNDING)


def levels_met(bid: float, levels: ExitLevels, trail: TrailingStop) -> tuple[str, frozenset[str]]:
    """Follows one bid; returns the level that it certainly meets, or "", and those that it may meet."""
    must, may = "", set()
    if bid >= levels.take_profit * (1.0 - ROUNDING):
        may.add(TAKE_PROFIT)
        must = TAKE_PROFIT if bid >= levels.take_profit * (1.0 + ROUNDING) else ""
    if not must and bid <= levels.stop_loss * (1.0 + ROUNDING):
        may.add(STOP_LOSS)
        must = STOP_LOSS if bid <= levels.stop_loss * (1.0 - ROUNDING) else ""
    if not must:
        trail.follow(bid, levels.trail_from)
        if trail.may_sell(bid, levels.trail_keep):
            may.add(TRAILING_STOP)
        must = TRAILING_STOP if trail.must_sell(bid, levels.trail_keep) else ""
    return must, frozenset(may)
