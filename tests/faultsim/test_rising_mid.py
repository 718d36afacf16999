"""The Python strategy of the histories signals after rising and falling mids."""

from autohedge.faultsim.rising_mid import RisingMid
from autohedge.strategies import Quote, Signal


def test_rising_mid_buys_after_two_rises_and_sells_after_three_falls() -> None:
    strategy = RisingMid()
    bids = [5.0, 6.0, 7.0, 6.0, 5.0, 4.0, 4.0]
    signals = [strategy.on_quote(Quote("A/USD", 0, bid, bid + 1.0, 1.0, 1.0)) for bid in bids]
    assert signals == [None, None, Signal.BUY, None, None, Signal.SELL, None]
