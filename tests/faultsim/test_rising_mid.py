"""The Python strategies of the histories signal after rising and falling mids."""

from autohedge.faultsim.rising_mid import RisingMid, TurningMid
from autohedge.strategies import Purpose, Quote, Side, Signal, Strategy


def test_rising_mid_buys_after_two_rises_and_sells_after_three_falls() -> None:
    signals = _signals(RisingMid(), [5.0, 6.0, 7.0, 6.0, 5.0, 4.0, 4.0])
    assert signals == [None, None, Signal.BUY, None, None, Signal.SELL, None]


def test_turning_mid_enters_with_two_moves_and_leaves_after_three_against_it() -> None:
    rise, fall = [5.0, 6.0, 7.0, 8.0, 9.0], [8.0, 8.0, 7.0, 6.0]
    buy, sell = Signal(Purpose.ENTER, Side.BUY), Signal(Purpose.ENTER, Side.SELL)
    cover, leave = Signal(Purpose.LEAVE, Side.BUY), Signal(Purpose.LEAVE, Side.SELL)
    assert _signals(TurningMid(), rise + fall) == [None, None, buy, cover, None, None, None, sell, leave]


def _signals(strategy: Strategy, bids: list[float]) -> list[Signal | None]:
    return [strategy.on_quote(Quote("A/USD", 0, bid, bid + 1.0, 1.0, 1.0)) for bid in bids]
