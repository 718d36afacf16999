"""The strategies of the simulation that read more than quotes enter and leave by their votes."""

from autohedge.core.orders import ENTER, LEAVE, Side
from autohedge.faultsim.tape_readers import BarReader, EverythingReader, FlowReader
from autohedge.strategies import Quote, Signal
from autohedge.strategies.market_data import Bar, Funding, Liquidation, TradeTick

RISE, FALL = Bar("S", 1, 9.0, 9.5, 8.5, 9.2, 1.0), Bar("S", 2, 9.0, 9.5, 8.5, 8.8, 1.0)


def test_the_second_vote_enters_and_the_third_leaves_the_other_side() -> None:
    reader = BarReader()
    signals = [reader.on_bar(bar) for bar in (RISE, RISE, RISE, RISE, FALL, FALL, FALL)]
    enter, leave = Signal(ENTER, Side.BUY), Signal(LEAVE, Side.BUY)
    assert signals[:4] == [None, enter, leave, None]
    assert signals[4:] == [None, Signal(ENTER, Side.SELL), Signal(LEAVE, Side.SELL)]
    assert [row.signal for row in reader.seen] == signals


def test_a_trade_without_a_side_is_no_vote() -> None:
    reader = FlowReader()
    for side in (Side.BUY, None):
        assert reader.on_trade(TradeTick("S", 1, 9.0, 1.0, side)) is None
    assert reader.on_trade(TradeTick("S", 1, 9.0, 1.0, Side.BUY)) == Signal(ENTER, Side.BUY)


def test_votes_of_all_kinds_count_together_and_quotes_are_not_noted() -> None:
    reader = EverythingReader()
    for mid in (10.0, 9.0):
        reader.on_quote(Quote("S", 1, mid, mid, 0.0, 0.0))
    assert reader.on_funding(Funding("S", 2, 1e-4)) == Signal(ENTER, Side.SELL)
    assert reader.on_liquidation(Liquidation("S", 3, True, 9.0, 1.0)) == Signal(LEAVE, Side.SELL)
    assert [row.values for row in reader.seen] == [(1e-4,), (1, 9.0, 1.0)]
