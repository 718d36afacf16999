"""The first rows of a tape hold nothing of the later ones."""

import pytest

from autohedge.faultsim.cut_tape import first_rows, with_feeds_read
from autohedge.faultsim.random_history import random_history, settings_of, tape_of_history
from autohedge.market import Kind
from autohedge.strategies import build
from tests.faultsim.test_random_feeds import SEEDS

READING = [seed for seed in SEEDS if tape_of_history(random_history(seed)).rows.kinds is not None][:4]


@pytest.mark.parametrize("seed", READING)
def test_first_rows_have_their_streams_and_none_of_the_later_ones(seed: int) -> None:
    history = random_history(seed)
    tape = tape_of_history(history)
    short = first_rows(tape, 700)
    assert len(short.rows) == 700 == sum(len(each) for each in short.streams if each.origin.taken)
    for stream, whole in zip(short.streams, tape.streams, strict=True):
        assert stream.columns["ts"].tolist() == whole.columns["ts"][: len(stream)].tolist()
        if stream.messages and whole.messages and stream.origin.taken:
            assert len(stream.messages) == len(stream) and stream.first_message == 0
            assert len(stream.messages.now.price) == whole.messages.now.start[len(stream)]
            assert stream.messages.now.price.base is not whole.messages.now.price
    assert len(build(settings_of(history), short.streams).lanes) == len(history.market)


@pytest.mark.parametrize("seed", SEEDS)
def test_feeds_that_no_strategy_reads_change_no_row(seed: int) -> None:
    history = random_history(seed)
    tape = tape_of_history(history)
    read = with_feeds_read(history, tape)
    kinds = {stream.kind for stream in tape.streams if stream.origin.read} - {Kind.BARS, Kind.QUOTES}
    assert kinds <= {feed.kind for feed in read.feeds} <= kinds | {Kind.TRADES}
    other = tape_of_history(read).rows
    assert other.ts.tolist() == tape.rows.ts.tolist() and other.lane.tolist() == tape.rows.lane.tolist()
