"""Python strategies and the crossover on tapes of several kinds of rows."""

from collections.abc import Collection
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from autohedge import app
from autohedge.app import as_read, engine_for, run_in_memory
from autohedge.core.errors import Misconfigured
from autohedge.core.reasons import Reason
from autohedge.market import BookMessages, Kind, Reads, Stream, Tape, parse_source, tape_of
from autohedge.market.reads import read_by
from autohedge.strategies import Bar, Book, Funding, Liquidation, Quote, Side, Signal, Strategy, TradeTick
from autohedge.strategies.python import PythonStrategyRunner
from autohedge.strategies.user_code import StrategyModuleFinder
from tests.market.book_factory import batch, message
from tests.market.trade_factory import walk
from tests.run_harness import settings

S = 10**9
EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "order_flow.py"
EVERYTHING = Reads(frozenset(Kind))
Seen = list[Any]


class Recorder(Strategy):
    """Keeps what it is given."""

    reads: ClassVar[Kind | Collection[Kind]] = frozenset(Kind)

    def __init__(self) -> None:
        self.seen: Seen = []

    def on_quote(self, quote: Quote) -> Signal | None:
        self.seen.append(quote)
        return None

    def on_bar(self, bar: Bar) -> Signal | None:
        self.seen.append(bar)
        return None

    def on_trade(self, trade: TradeTick) -> Signal | None:
        self.seen.append(trade)
        return None

    def on_book(self, book: Book) -> Signal | None:
        self.seen.append(
            (book.ts_ns, book.valid, book.bid, book.ask, book.imbalance(2), book.buy(3.0).average)
        )
        return None

    def on_funding(self, funding: Funding) -> Signal | None:
        self.seen.append(funding)
        return None

    def on_liquidation(self, liquidation: Liquidation) -> Signal | None:
        self.seen.append(liquidation)
        return None


class Prints(Recorder):
    """Reads trades alone, and buys at each."""

    reads = Kind.TRADES

    def on_trade(self, trade: TradeTick) -> Signal | None:
        super().on_trade(trade)
        return Signal.BUY


def of(kind: Kind, **columns: Any) -> Stream:
    return Stream.of("X", columns, kind=kind, interval_ns=1 if kind is Kind.BARS else 0)


def quotes(*ts: int) -> Stream:
    return of(Kind.QUOTES, ts=ts, bid=[100.0] * len(ts), ask=[100.1] * len(ts))


def prints(*ts: int) -> Stream:
    return of(Kind.TRADES, ts=ts, price=[100.0] * len(ts), size=[1.0] * len(ts), side=[1] * len(ts))


def messages() -> BookMessages:
    first = message([("bid", 99.0, 1.0), ("ask", 101.0, 2.0), ("ask", 102.0, 2.0)], is_snapshot=1)
    return batch([first, message([("bid", 100.0, 3.0)]), message([("ask", 101.0, 0.0)])])


def runner(make: type[Strategy], tape: Tape) -> tuple[PythonStrategyRunner, Seen]:
    found = PythonStrategyRunner(make, settings(), tape.streams, StrategyModuleFinder(None))
    strategy = found.strategies[0]
    assert isinstance(strategy, Recorder)
    return found, strategy.seen


def test_strategy_receives_each_kind_that_it_reads_in_the_order_of_the_tape() -> None:
    bars = of(Kind.BARS, ts=[3], open=[1], high=[4], low=[1], close=[2], volume=[7])
    tape = tape_of(
        [
            quotes(1, 3),
            prints(2, 3),
            of(Kind.FUNDING, ts=[3], rate=[0.01]),
            of(Kind.LIQUIDATIONS, ts=[3], side=[-1], price=[5], size=[6]),
            bars,
            Stream.of_book("X", messages()),
        ],
        EVERYTHING,
    )
    scanned, seen = runner(Recorder, tape)
    assert scanned.scan(tape.rows, 0, len(tape.rows)) == len(tape.rows)
    assert seen[0] == (1, True, 99.0, 101.0, (1.0 - 4.0) / 5.0, (2 * 101.0 + 102.0) / 3.0)
    assert seen[1] == Quote("X", 1, 100.0, 100.1, 0.0, 0.0)
    assert seen[2][:4] == (2, True, 100.0, 101.0)
    assert seen[3] == TradeTick("X", 2, 100.0, 1.0, Side.BUY)
    assert seen[4] == Bar("X", 3, 1.0, 4.0, 1.0, 2.0, 7.0, 1)
    assert seen[5:7] == [Funding("X", 3, 0.01), Liquidation("X", 3, False, 5.0, 6.0)]
    assert seen[7][:4] == (3, True, 100.0, 102.0)
    assert seen[8:] == [TradeTick("X", 3, 100.0, 1.0, Side.BUY), Quote("X", 3, 100.0, 100.1, 0.0, 0.0)]


def test_bad_rows_do_not_reach_the_strategy() -> None:
    nan = float("nan")
    bad = of(
        Kind.TRADES, ts=[1, 2, 3, 4], price=[nan, 0.0, 5.0, 5.0], size=[1.0, 1.0, -1.0, 2.0], side=[0] * 4
    )
    rates = of(Kind.FUNDING, ts=[1, 2], rate=[float("inf"), 0.5])
    closed = of(Kind.LIQUIDATIONS, ts=[1, 2], side=[0, 1], price=[1, 1], size=[1, 1])
    bars = of(Kind.BARS, ts=[1, 2], open=[1, 1], high=[0, 1], low=[1, 1], close=[1, 1], volume=[1, 1])
    reads = Reads(frozenset({Kind.TRADES, Kind.FUNDING, Kind.LIQUIDATIONS, Kind.BARS}))
    tape = tape_of([quotes(1), bad, rates, closed, bars], reads)
    scanned, seen = runner(Recorder, tape)
    scanned.scan(tape.rows, 0, len(tape.rows))
    assert seen == [
        Bar("X", 2, 1.0, 1.0, 1.0, 1.0, 1.0, 1),
        Funding("X", 2, 0.5),
        Liquidation("X", 2, True, 1.0, 1.0),
        TradeTick("X", 4, 5.0, 2.0, None),
    ]


def test_book_refuses_levels_and_quantities_that_make_no_sense() -> None:
    book = Book("X", messages())
    book.advance(2, 2)
    assert book.bid_depth(1) == 3.0
    with pytest.raises(ValueError, match="levels must be at least 1, not 0"):
        book.imbalance(0)
    with pytest.raises(TypeError):
        book.ask_depth(1.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="a quantity must be above 0"):
        book.sell(-1.0)


def test_signal_at_a_print_waits_for_the_first_price() -> None:
    tape = tape_of([quotes(5, 7), prints(1, 6)], Reads(frozenset({Kind.TRADES})))
    scanned, seen = runner(Prints, tape)
    assert scanned.scan(tape.rows, 0, 4) == 2
    assert [each.ts_ns for each in seen] == [1, 6]
    assert scanned.lanes["stop"][0] == Reason.ENTRY
    assert scanned.lanes["counts"][0].sum() == 1  # the quote before it


def test_prices_that_a_strategy_does_not_read_are_counted_and_checked_for_exits() -> None:
    tape = tape_of([quotes(*range(1, 100)), prints(50)], Reads(frozenset({Kind.TRADES})))
    scanned, _ = runner(Recorder, tape)
    scanned.lanes["take_profit"], scanned.lanes["status"] = 99.0, 2
    assert scanned.scan(tape.rows, 0, 100) == 0
    assert scanned.lanes["stop"][0] == Reason.TAKE_PROFIT
    scanned.lanes["take_profit"] = np.inf
    assert scanned.scan(tape.rows, 1, 100) == 100
    assert scanned.lanes["counts"][0, Reason.NO_SIGNAL] == 98


@pytest.mark.parametrize("cuts", [[], [1], [3, 4, 50], list(range(1, 100))])
def test_cuts_of_a_scan_do_not_matter(cuts: list[int]) -> None:
    tape = tape_of([quotes(*range(1, 60)), prints(*range(3, 40)), Stream.of_book("X", messages())])
    tape = read_by(tape, Reads(frozenset({Kind.QUOTES, Kind.TRADES, Kind.BOOK})))
    whole, expected = runner(Recorder, tape)
    whole.scan(tape.rows, 0, len(tape))
    cut, seen = runner(Recorder, tape)
    for start, stop in zip([0, *cuts], [*cuts, len(tape)], strict=True):
        cut.scan(tape.rows, min(start, len(tape)), min(stop, len(tape)))
    assert repr(seen) == repr(expected)
    assert cut.lanes.tobytes() == whole.lanes.tobytes()


def test_entry_at_a_print_fills_at_the_last_quote(tmp_path: Path) -> None:
    source = (
        "from autohedge.strategies import Kind, Signal, Strategy\n"
        "class Own(Strategy):\n"
        "    reads = {Kind.TRADES}\n"
        "    def on_trade(self, trade):\n"
        "        return Signal.BUY if trade.ts_ns == 6 * 10**9 else None\n"
    )
    (tmp_path / "own.py").write_text(source)
    wanted = settings(strategy__name=f'"{tmp_path / "own.py"}:Own"')
    tape = tape_of([quotes(S, 5 * S, 9 * S), prints(2 * S, 6 * S, 8 * S)])
    report = run_in_memory(wanted, tape)
    assert report.codes["entry"] == 1
    assert report.parsed_fills()[0].ts_ns == 6 * S
    assert report.codes["no_signal"] == 3
    assert report.codes["in_position"] == 0


def test_a_stale_quote_does_not_carry_an_entry_at_a_print(tmp_path: Path) -> None:
    source = (
        "from autohedge.strategies import Kind, Signal, Strategy\n"
        "class Own(Strategy):\n"
        "    reads = Kind.TRADES\n"
        "    def on_trade(self, trade):\n"
        "        return Signal.BUY\n"
    )
    (tmp_path / "own.py").write_text(source)
    wanted = settings(strategy__name=f'"{tmp_path / "own.py"}:Own"', risk__stale_after_ms=1_000)
    report = run_in_memory(wanted, tape_of([quotes(S), prints(3 * S)]))
    assert (report.codes["entry"], report.codes["stale"]) == (0, 1)


def test_signals_at_prints_that_lead_to_no_order_are_counted(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "from autohedge.strategies import Kind, Signal, Strategy\n"
        "class Own(Strategy):\n"
        "    reads = Kind.TRADES\n"
        "    def on_trade(self, trade):\n"
        "        return Signal.BUY\n"
    )
    wanted = settings(strategy__name=f'"{tmp_path / "own.py"}:Own"')
    report = run_in_memory(wanted, tape_of([quotes(S), prints(2 * S, 3 * S, 4 * S)]))
    assert (report.codes["entry"], report.codes["in_position"], report.codes["no_signal"]) == (1, 2, 1)


def test_strategy_without_the_rows_that_it_reads_is_refused() -> None:
    wanted = settings(strategy__name=f'"{EXAMPLE}:OrderFlow"')
    tape = as_read(wanted, tape_of([quotes(1), prints(2)]))
    with pytest.raises(Misconfigured, match="reads book, but the tape of X holds none; add its file"):
        engine_for(wanted, tape)


@pytest.mark.parametrize("reads", ["Kind.BARS", "{Kind.QUOTES, Kind.BARS}"])
def test_strategy_of_bars_without_bars_names_the_setting(tmp_path: Path, reads: str) -> None:
    source = (
        "from autohedge.strategies import Kind, Strategy\n"
        "class Own(Strategy):\n"
        f"    reads = {reads}\n"
        "    def on_quote(self, quote): ...\n"
        "    def on_bar(self, bar): ...\n"
    )
    (tmp_path / "own.py").write_text(source)
    wanted = settings(strategy__name=f'"{tmp_path / "own.py"}:Own"')
    message = (
        "Own reads bars, but the tape of X holds (none|quotes); set bars.every, such as 1m, to make bars, or"
    )
    with pytest.raises(Misconfigured, match=message):
        engine_for(wanted, as_read(wanted, tape_of([quotes(1)])))


def bar_settings(**changes: Any) -> Any:
    return settings(strategy__name="crossover", crossover__fast=2, crossover__slow=4, **changes)


def market(rows: int = 4_000) -> tuple[Stream, Stream]:
    """Returns trades, and the quotes around them."""
    columns = walk(rows)
    trades = Stream.of("X", columns, kind=Kind.TRADES)
    bid = columns["price"] - 0.01
    return trades, Stream.of("X", {"ts": columns["ts"] + 1, "bid": bid, "ask": bid + 0.02})


def test_crossover_on_made_bars_decides_at_their_ends() -> None:
    report = run_in_memory(bar_settings(bars__every='"1m"'), tape_of(market()))
    stamps = [fill.ts_ns for fill in report.parsed_fills()]
    by_signal = [stamp for stamp in stamps if stamp % (60 * S) == 0]
    assert report.codes["entry"] > 3
    assert len(by_signal) >= report.codes["entry"]
    assert sum(report.codes.values()) - report.codes["entry"] - report.codes["exit_signal"] == 4_000


def test_crossover_on_recorded_bars_trades_as_on_made_ones() -> None:
    trades, prices = market()
    wanted = bar_settings(bars__every='"1m"')
    made = as_read(wanted, tape_of([trades, prices]))
    bars = next(each for each in made.streams if each.kind is Kind.BARS)
    recorded = Stream.of("X", dict(bars.columns), kind=Kind.BARS, interval_ns=60 * S)
    first, second = (run_in_memory(wanted, tape_of(each)) for each in ([trades, prices], [recorded, prices]))
    assert first.fills == second.fills
    assert first.codes == second.codes
    assert len(first.fills) > 3


@pytest.mark.parametrize("with_trades", [True, False])
def test_crossover_without_a_length_of_bars_gathers_quotes(with_trades: bool) -> None:
    trades, prices = market()
    alone = run_in_memory(bar_settings(), tape_of([prices]))
    beside = run_in_memory(bar_settings(), tape_of([trades, prices] if with_trades else [prices]))
    assert alone.fills == beside.fills
    assert alone.codes == beside.codes


@pytest.mark.parametrize("latency_ms", [0, 40])
def test_unread_rows_leave_the_results_as_they_are(latency_ms: int) -> None:
    trades, prices = market()
    rates = of(Kind.FUNDING, ts=trades.columns["ts"][::7], rate=np.full(len(trades.columns["ts"][::7]), 0.1))
    wanted = settings(momentum__min_edge_bps=3, simulated__order_latency_ms=latency_ms)
    alone, beside = (run_in_memory(wanted, tape_of(each)) for each in ([prices], [trades, rates, prices]))
    assert alone.codes["entry"] > 3
    assert alone == beside


def test_example_trades_on_recorded_prints_and_book(shared: Path) -> None:
    name = shared / "data/binance/usdm/BTCUSDT_20240808"
    tapes = [f"{name}_{kind}.parquet" for kind in ("quotes", "trades", "l2")]
    wanted = settings(strategy__name=f'"{EXAMPLE}:OrderFlow"')
    tape = app.tape_for(wanted, [parse_source(each) for each in tapes])
    report = run_in_memory(wanted, tape)
    assert report.codes["entry"] > 3
    assert report.codes["no_signal"] == 66_089
