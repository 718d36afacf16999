"""The checks of rows beside the quotes notice what was not seen, seen twice, late or otherwise."""

from dataclasses import replace

import numpy as np
import pytest

from autohedge.config.sections import BarsSettings
from autohedge.core.events import JournalEntry, SubmitOrder
from autohedge.core.orders import ENTER, Side
from autohedge.faultsim.expected_rows import expected_rows
from autohedge.faultsim.question_checks import InvariantViolation
from autohedge.faultsim.received_quotes import ReceivedQuotes
from autohedge.faultsim.row_checks import MeanLengths, RowChecker, require_same_rows, require_tape, same
from autohedge.faultsim.tape_readers import FlowReader
from autohedge.market import Kind, Reads, Stream, Tape, tape_of
from autohedge.strategies.market_data import TradeTick

TIMES = [1, 3, 5, 7]


def _tape() -> Tape:
    quotes = Stream.of("S", {"ts": [2, 4, 6], "bid": [9.0] * 3, "ask": [9.5] * 3})
    trades = Stream.of(
        "S", {"ts": TIMES, "price": [9.2] * 4, "size": [1.0] * 4, "side": [1] * 4}, kind=Kind.TRADES
    )
    return tape_of([quotes, trades], Reads(frozenset({Kind.TRADES})))


def _checker() -> tuple[RowChecker, FlowReader, ReceivedQuotes]:
    tape, reader = _tape(), FlowReader()
    quotes = ReceivedQuotes(tape.rows, ("S",))
    checker = RowChecker(expected_rows(tape, BarsSettings()), ("S",), quotes, {})
    checker.watch([reader])
    return checker, reader, quotes


def _show(reader: FlowReader, *times: int, price: float = 9.2) -> None:
    for ts in times:
        reader.on_trade(TradeTick("S", ts, price, 1.0, Side.BUY))


def test_what_was_seen_in_order_and_whole_passes() -> None:
    checker, reader, _ = _checker()
    _show(reader, 1, 3)
    checker.step(3)
    _show(reader, 5, 7)
    checker.step(7)
    assert checker.signals == 2  # the second buy enters, the third leaves the other side


@pytest.mark.parametrize(
    ("times", "message"),
    [((1,), "has not seen row 2"), ((1, 3, 5), "again"), ((3, 1), "at row 0 the strategy has seen")],
)
def test_rows_that_are_missing_early_or_in_another_order_are_noticed(
    times: tuple[int, ...], message: str
) -> None:
    checker, reader, _ = _checker()
    _show(reader, *times)
    with pytest.raises(InvariantViolation, match=f"33: .*{message}"):
        checker.step(3)


def test_another_value_is_noticed() -> None:
    checker, reader, _ = _checker()
    _show(reader, 1, price=9.3)
    with pytest.raises(InvariantViolation, match="33: at row 0"):
        checker.step(1)


def test_rows_that_came_while_no_process_ran_are_not_seen() -> None:
    checker, reader, quotes = _checker()
    _show(reader, 1, 5)
    quotes.skip(1, 4)
    checker.step(5)
    _show(reader, 3)
    with pytest.raises(InvariantViolation, match="again"):
        checker.step(6)


@pytest.mark.parametrize(
    ("side", "row", "holds"), [(Side.BUY, 2, True), (Side.SELL, 2, False), (Side.BUY, 0, False)]
)
def test_an_entry_at_a_row_without_a_price_follows_its_signal(side: Side, row: int, holds: bool) -> None:
    checker, reader, _ = _checker()
    _show(reader, 1, 3)
    checker.apply(JournalEntry(1, row + 1, _order(side)), None)
    if holds:
        checker.step(3)
        return
    with pytest.raises(InvariantViolation, match="36: S is entered"):
        checker.step(3)


@pytest.mark.parametrize(
    ("side", "pos", "holds"),
    [
        (Side.SELL, 3, True),
        (Side.BUY, 3, False),
        (Side.BUY, 5, True),
        (Side.SELL, 5, False),
        (Side.BUY, 4, False),
    ],
)
def test_an_entry_of_a_crossover_follows_the_means_of_its_bars(side: Side, pos: int, holds: bool) -> None:
    quotes = Stream.of("S", {"ts": [2, 4, 6], "bid": [9.0] * 3, "ask": [9.5] * 3})
    prices, ones = [9.2, 9.0, 9.9, 9.9], [1.0] * 4
    trades = Stream.of("S", {"ts": TIMES, "price": prices, "size": ones}, kind=Kind.TRADES)
    bars = BarsSettings(every="1 ticks")
    tape = tape_of([quotes, trades], Reads(frozenset({Kind.BARS}), lambda _: bars))
    received = ReceivedQuotes(tape.rows, ("S",))
    checker = RowChecker(expected_rows(tape, bars), ("S",), received, {"S": MeanLengths(1, 2)})
    checker.apply(JournalEntry(1, pos, _order(side)), None)
    if holds:
        checker.step(7)
        return
    with pytest.raises(InvariantViolation, match="36: S is entered"):
        checker.step(7)


def _order(side: Side) -> SubmitOrder:
    fields = dict.fromkeys(SubmitOrder.__struct_fields__)
    return SubmitOrder(**{**fields, "symbol": "S", "side": side, "purpose": ENTER})  # type: ignore[arg-type]


def test_the_tape_of_the_streams_passes_and_another_order_is_noticed() -> None:
    tape = _tape()
    expected = expected_rows(tape, BarsSettings())
    require_tape(tape, expected)
    with pytest.raises(InvariantViolation, match="33: row 0 is of S trades, not of S quotes"):
        require_tape(tape, [expected[1], expected[0], *expected[2:]])
    with pytest.raises(InvariantViolation, match="33: the tape has 7 rows, its streams make 6"):
        require_tape(tape, expected[1:])


def test_a_bar_with_another_close_is_noticed() -> None:
    bars = BarsSettings(every="4 ticks")
    tape = tape_of(_tape().streams, Reads(frozenset({Kind.BARS}), lambda _: bars))
    expected = expected_rows(tape, bars)
    require_tape(tape, expected)
    assert tape.rows.kinds is not None
    kinds = tape.rows.kinds._replace(close=np.where(tape.rows.kinds.close > 0, 9.3, np.nan))
    with pytest.raises(InvariantViolation, match="34: the bar at row 3 closes at 9.3, not at 9.2"):
        require_tape(replace(tape, rows=replace(tape.rows, kinds=kinds)), expected)


def test_a_replay_that_shows_other_rows_is_noticed() -> None:
    one, other = FlowReader(), FlowReader()
    for reader in (one, other):
        _show(reader, 1)
    require_same_rows([one], [other])
    _show(other, 3)
    with pytest.raises(InvariantViolation, match="6: in the replay"):
        require_same_rows([one], [other])


def test_values_are_the_same_to_the_last_bit_and_nan_equals_itself() -> None:
    assert same((1.0, np.nan), (1.0, np.nan))
    assert not same((1.0,), (np.nextafter(1.0, 2.0),)) and not same((1.0,), (1.0, 1.0))
