"""A run trades a store that gets rows of all kinds, each at its own pace."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autohedge import app
from autohedge.app.compose import as_read
from autohedge.app.restart import restart
from autohedge.app.verification import check_record
from autohedge.core.errors import Corrupt
from autohedge.journal import RunFolder
from autohedge.market import Stream, open_tape, parse_source, tape_of
from autohedge.strategies import reads_of
from tests.app.store_feed import at_own_pace, in_time_order, recorded_streams, trade_growing, traded
from tests.run_harness import settings

EAGER: dict[str, Any] = {
    "momentum__min_edge_bps": 0,
    "momentum__warmup_count": 2,
    "momentum__evaluate_every_quotes": 2,
    "exits__take_profit_bps": 0.2,
    "exits__stop_loss_bps": 0.2,
    "simulated__order_latency_ms": 5,
    "simulated__response_latency_ms": 5,
}
MOMENTUM = settings(**EAGER)
CROSSOVER = EAGER | {
    "strategy__name": '"crossover"',
    "crossover__fast": 1,
    "crossover__slow": 2,
    "bars__every": '"1s"',
}
STRATEGY = """
from autohedge.market import Kind
from autohedge.core.orders import Side
from autohedge.strategies import Signal, Strategy


class Flow(Strategy):
    reads = (Kind.TRADES, Kind.BOOK)

    def __init__(self):
        self.seen, self.deep = 0, False

    def on_trade(self, trade):
        self.seen += trade.side is Side.BUY
        if self.seen % 5 == 0:
            return Signal.BUY if self.deep and self.seen % 2 else Signal.SELL

    def on_book(self, book):
        self.deep = book.imbalance(5) > -0.9
"""


@pytest.fixture
def streams(shared: Path) -> list[Stream]:
    return recorded_streams(shared, 4_000)


def _replayed(name: str) -> RunFolder:
    folder = RunFolder.find(name)
    assert app.replay_engine(folder) == (None, True)
    assert not check_record(folder).damage
    return folder


def _on_files(wanted: Any, streams: Sequence[Stream]) -> dict[str, Any]:
    return traded(app.run(wanted, tape_of(streams, reads_of(wanted))))


def test_quotes_are_traded_as_if_they_were_alone(workplace: Path, streams: list[Stream]) -> None:
    assert all(len(stream) > 4 for stream in streams)
    report = trade_growing(MOMENTUM, workplace / "market", streams, at_own_pace(streams, "first"))
    assert report.buys > 5
    assert traded(report) == _on_files(MOMENTUM, streams[:1])
    _replayed(report.run)


def test_changed_row_of_an_unread_kind_is_named_by_the_seal(workplace: Path, streams: list[Stream]) -> None:
    store = workplace / "market"
    report = trade_growing(MOMENTUM, store, streams, at_own_pace(streams, "second"))
    folder = _replayed(report.run)
    np.memmap(store / "1.price", "<f8", "r+")[9] += 0.1
    named = r"market: rows 0 to [\d,]+ of the trades of BTCUSDT are not those that the run traded"
    with pytest.raises(Corrupt, match=named):
        app.replay_engine(folder)
    assert "of the trades of BTCUSDT are not those" in check_record(folder).parts["tape"].damage
    folder.results.unlink()
    with pytest.raises(Corrupt, match=named):
        restart(folder)


def test_strategy_that_reads_trades_and_a_book_trades_as_on_files(
    workplace: Path, streams: list[Stream]
) -> None:
    (workplace / "flow.py").write_text(STRATEGY)
    wanted = settings(**EAGER, strategy__name='"flow.py:Flow"')
    report = trade_growing(wanted, workplace / "market", streams, in_time_order(streams, "third"))
    assert report.buys > 5
    assert traded(report) == _on_files(wanted, streams)
    _replayed(report.run)
    closed = open_tape([parse_source(str(workplace / "market"))])
    assert traded(app.run(wanted, closed)) == traded(report)
    assert as_read(wanted, closed).rows.kinds is not None


@pytest.mark.parametrize("source", ["trades", "quotes"])
def test_bars_are_made_on_the_way_as_from_files(workplace: Path, streams: list[Stream], source: str) -> None:
    wanted = settings(**CROSSOVER, bars__source=f'"{source}"')
    report = trade_growing(wanted, workplace / "market", streams, in_time_order(streams, source))
    assert report.buys > 2
    assert traded(report) == _on_files(wanted, streams)
    _replayed(report.run)


def test_bars_are_made_of_a_store_of_quotes_alone(workplace: Path, streams: list[Stream]) -> None:
    wanted, quotes = settings(**CROSSOVER), streams[:1]
    report = trade_growing(wanted, workplace / "market", quotes, in_time_order(quotes, "fifth"))
    assert report.buys > 2
    assert traded(report) == _on_files(wanted, quotes)
    _replayed(report.run)


def test_killed_run_goes_on_where_its_record_ends(workplace: Path, streams: list[Stream]) -> None:
    wanted = settings(**CROSSOVER, bars__source='"trades"')
    report = trade_growing(wanted, workplace / "market", streams, at_own_pace(streams, "fourth"))
    folder = _replayed(report.run)
    lines = folder.journal.read_bytes().splitlines(keepends=True)
    folder.results.unlink()
    folder.journal.write_bytes(b"".join(lines[: len(lines) // 2]))
    again = restart(folder)
    assert (again.restarts, again.codes) == (1, report.codes)
    _replayed(again.run)
