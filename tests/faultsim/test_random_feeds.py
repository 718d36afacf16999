"""Random rows beside the quotes agree with the quotes, and leave the other histories as they are."""

from functools import cache

import numpy as np
import pytest

from autohedge.core.ids import seeded_random
from autohedge.core.units import NS_PER_S
from autohedge.faultsim.history import Feed, History, Quotes
from autohedge.faultsim.plain_book import PlainBook, messages_of
from autohedge.faultsim.random_feeds import has_feeds, reading_settings, tick_of
from autohedge.faultsim.random_history import random_history
from autohedge.faultsim.row_faults import KINDS_BESIDE, spoiled_feeds
from autohedge.market.stream import Kind

SEEDS = tuple(seed for seed in range(60) if has_feeds(seeded_random(str(seed), "feeds")))


@cache
def _history(seed: int) -> History:
    return random_history(seed)


def _pairs(kind: Kind) -> list[tuple[Feed, Quotes, History]]:
    return [
        (feed, quotes, history)
        for history in map(_history, SEEDS)
        for feed in history.feeds
        for quotes in history.market
        if feed.kind is kind and feed.symbol == quotes.symbol
    ]


def test_a_quarter_of_the_histories_has_feeds() -> None:
    drawn = sum(has_feeds(seeded_random(str(seed), "feeds")) for seed in range(2_000))
    assert 440 < drawn < 560


def test_each_symbol_has_rows_of_each_kind() -> None:
    for history in map(_history, SEEDS):
        symbols = [quotes.symbol for quotes in history.market]
        assert [(each.symbol, each.kind) for each in history.feeds] == [
            (symbol, kind) for symbol in symbols for kind in KINDS_BESIDE
        ]


def test_times_are_in_order_and_within_those_of_the_quotes() -> None:
    for kind in KINDS_BESIDE:
        for feed, quotes, _ in _pairs(kind):
            assert (np.diff(feed.after_ns) >= 0).all()
            assert quotes.after_ns[0] <= feed.after_ns[0] <= feed.after_ns[-1] <= quotes.after_ns[-1]


def test_trades_are_at_the_last_bid_or_ask() -> None:
    for feed, quotes, _ in _pairs(Kind.TRADES):
        shown = np.searchsorted(quotes.after_ns, feed.after_ns, side="right") - 1
        bid, ask = np.array(quotes.bid)[shown], np.array(quotes.ask)[shown]
        side = np.array(feed.columns["side"])
        assert np.array_equal(feed.columns["price"], np.where(side < 0, bid, ask))
        assert min(feed.columns["size"]) > 0


def test_many_trades_are_at_the_whole_seconds_at_which_bars_end() -> None:
    for feed, _, history in _pairs(Kind.TRADES):
        at = np.array(feed.after_ns) + history.start_ns
        assert (at % NS_PER_S == 0).mean() > 0.1


def test_a_clean_book_is_valid_with_the_best_prices_of_the_quotes() -> None:
    for feed, quotes, history in _pairs(Kind.BOOK):
        (stream,) = spoiled_feeds([feed], [feed.symbol], [], history.start_ns, {})  # type: ignore[arg-type]
        assert stream.messages is not None
        book = PlainBook(feed.tick, sequenced=stream.messages.now.sequenced)
        prices = set(zip(quotes.after_ns, quotes.bid, quotes.ask, strict=True))
        for after_ns, message in zip(feed.after_ns, messages_of(stream.messages.now), strict=True):
            book.apply(message)
            valid, bid, _, ask, *_ = book.figures()
            assert valid and (after_ns, bid, ask) in prices


def test_books_are_numbered_in_all_ways_and_have_snapshots() -> None:
    ways = set()
    for feed, _, _ in _pairs(Kind.BOOK):
        changes = [at for at, each in enumerate(feed.columns["is_snapshot"]) if not each]
        numbers = (feed.columns[name][changes[0]] >= 0 for name in ("first_seq", "last_seq", "prev_seq"))
        ways.add(tuple(numbers))
        assert sum(feed.columns["is_snapshot"]) >= 2
    assert ways == {(True, True, True), (True, True, False), (False, True, True), (False, False, False)}


@pytest.mark.parametrize(("price", "tick"), [(2500.0, 0.1), (0.08001, 1e-5), (2e-05, 1e-5), (19.99, 0.01)])
def test_the_tick_is_the_finest_decimal_of_the_prices(price: float, tick: float) -> None:
    assert tick_of(Quotes("S", [0], [price], [price], [0.0], [0.0])) == tick


def test_agents_alone_read_no_feed_and_others_read_in_all_ways() -> None:
    read = [reading_settings(seeded_random(str(seed), "readers"), "hft") for seed in range(300)]
    names = {each["strategy"]["name"].rpartition(":")[2] for each in read if each}
    assert names == {"crossover", "FlowReader", "EverythingReader", "BarReader"}
    assert 20 < read.count({}) < 80
    assert all(reading_settings(seeded_random(str(seed), "readers"), "llm") == {} for seed in range(60))
