"""Strategies in plain Python: a class with a method for each kind of rows that it reads.

A strategy receives a row at a time, in the order of the tape, and nothing else: no later row, no position, no
order. It must decide from them alone, without clock, randomness or files; otherwise the run cannot be replayed.
"""

import inspect
from collections.abc import Collection, Iterator, Sequence
from math import nan
from typing import Any, ClassVar

import numpy as np

from autohedge.config import Settings
from autohedge.core.errors import Misconfigured, StrategyFailed
from autohedge.core.orders import ENTER, SELL
from autohedge.core.reasons import GATES_FROM, STOPS_FROM, Reason
from autohedge.kernels.prices import scan_prices
from autohedge.kernels.state import FLAT, OPEN, REFRESH_DUE, KernelStates, check_one, new_states, state_dtype
from autohedge.market.rows import Rows
from autohedge.market.stream import Kind, Stream, prices_of, symbols_of
from autohedge.strategies.declarations import require_bars_for_declared
from autohedge.strategies.market_data import Bar, Book, Funding, Liquidation, Quote, TradeTick
from autohedge.strategies.row_dispatch import Row, reader_of
from autohedge.strategies.signals import Signal, is_signal, problem
from autohedge.strategies.user_code import StrategyModuleFinder, described

CHUNK_ROWS = 512  # a scan that stops early has converted at most this many rows in vain
MIXED_CHUNK_ROWS = 8_192  # of which only those that the strategy reads are converted


class Strategy:
    """Base of a user's strategy; override the method for each kind of rows in `reads`.

    `indicators` are names of indicators over the bars that it reads, such as `rsi(period=14)`; `Bar.indicators` has
    their values. `features` are names of features of these bars, or `default` for the default ones; `Bar.features`
    has their values. Both may be set in `__init__`.
    """

    reads: ClassVar[Kind | Collection[Kind]] = Kind.QUOTES
    indicators: Sequence[str] = ()
    features: Sequence[str] = ()

    def on_quote(self, quote: Quote) -> Signal | None:
        """Returns the signal for one quote, or None."""
        raise NotImplementedError

    def on_bar(self, bar: Bar) -> Signal | None:
        """Returns the signal for one bar, or None."""
        raise NotImplementedError

    def on_trade(self, trade: TradeTick) -> Signal | None:
        """Returns the signal for one print, or None."""
        raise NotImplementedError

    def on_book(self, book: Book) -> Signal | None:
        """Returns the signal for the book after a message, or None."""
        raise NotImplementedError

    def on_funding(self, funding: Funding) -> Signal | None:
        """Returns the signal for one funding rate, or None."""
        raise NotImplementedError

    def on_liquidation(self, liquidation: Liquidation) -> Signal | None:
        """Returns the signal for one liquidation, or None."""
        raise NotImplementedError


class PythonStrategyRunner:
    """Runs one `Strategy` object per instrument behind the scan interface of compiled strategies.

    `strategies` are these objects, in lane order.
    """

    def __init__(
        self, make: type[Strategy], settings: Settings, streams: Sequence[Stream], code: StrategyModuleFinder
    ) -> None:
        prices, symbols = prices_of(streams), symbols_of(streams)
        self.lanes: KernelStates = new_states(state_dtype([]), len(prices))
        self._code = code
        self.strategies = [_instantiate(make, settings.strategy.params, code) for _ in prices]
        for strategy in self.strategies:
            require_bars_for_declared(strategy, streams)
        self._readers = [
            reader_of(stream, self.strategies[symbols.index(stream.symbol)], streams) for stream in streams
        ]
        self._is_read = np.array([stream.origin.read for stream in streams])
        self._sets_prices = [stream.origin.prices for stream in streams]
        self._price_sources = [streams.index(stream) for stream in prices]
        self._status, self._stop = self.lanes["status"], self.lanes["stop"]
        self._counts, self._bid, self._ask = self.lanes["counts"], self.lanes["bid"], self.lanes["ask"]
        self._gate, self._refresh_in = self.lanes["gate"], self.lanes["refresh_in"]
        self._short, self._entry_side = self.lanes["short"], self.lanes["entry_side"]
        self._entries: list[Signal | None] = [None] * len(prices)

    def scan(self, rows: Rows, start: int, stop: int) -> int:
        """Scans rows `start` to `stop`; returns the row at which the engine must decide, else `stop`."""
        is_plain = rows.kinds is None
        scan, chunk = (self._scan_prices, CHUNK_ROWS) if is_plain else (self._scan_mixed, MIXED_CHUNK_ROWS)
        with self._code.running():
            for first in range(start, stop, chunk):
                end = min(first + chunk, stop)
                at = scan(rows, first, end)
                if at < end:
                    return at
        return stop

    def update(self, settings: Settings) -> None:
        """Does nothing: a strategy keeps the parameters that it was made with."""

    def _scan_prices(self, rows: Rows, start: int, stop: int) -> int:
        """Scans rows that are all prices which the strategy reads."""
        numbers = range(start, stop) if rows.row is None else rows.row[start:stop].tolist()
        for i, number, row in zip(range(start, stop), numbers, _as_python(rows, start, stop), strict=True):
            code = self._price_step(rows, i, number, row, self._price_sources[row[0]])
            if self._must_stop(row[0], code):
                return i
        return stop

    def _scan_mixed(self, rows: Rows, start: int, stop: int) -> int:
        """Scans rows of several kinds; prices that the strategy does not read never reach Python."""
        columns, at = (self.lanes, rows.lane, rows.bid, rows.ask), start
        for i, source, number, lane, ts in self._read_rows(rows, start, stop):
            if at < i:
                found: int = scan_prices(*columns, at, i)
                if found < i:
                    return found
            at = i + 1
            if self._sets_prices[source]:
                if self._must_stop(lane, self._price_step(rows, i, number, _plain(rows, i), source)):
                    return i
                continue
            signal = self._signal(rows, i, number, (lane, ts, nan, nan, 0.0, 0.0), source)
            if signal is not None and self._acts_on(signal, i, lane):
                return i
        end: int = scan_prices(*columns, at, stop)
        return end

    def _read_rows(self, rows: Rows, start: int, stop: int) -> Iterator[tuple[int, int, int, int, int]]:
        """Yields position, source, number in its stream, lane and time of each row that the strategy reads."""
        assert rows.kinds is not None
        assert rows.row is not None
        read = np.flatnonzero(self._is_read[rows.kinds.source[start:stop]]) + start
        columns = (rows.kinds.source, rows.row, rows.lane, rows.ts)
        return zip(read.tolist(), *(column[read].tolist() for column in columns), strict=True)

    def _acts_on(self, signal: Signal, i: int, lane: int) -> bool:
        """Returns whether the engine must decide on a signal at a row without prices, and notes its code if so."""
        if not self._bid[lane] > 0.0:  # before the first price there is nothing to trade at
            return False
        self._require_valid(signal, i, lane, (self._bid.item(lane) + self._ask.item(lane)) / 2.0)
        code = self._reason(signal, lane)
        if code == Reason.NO_SIGNAL:  # nothing to leave: such a row does not count
            return False
        self._record(lane, code)
        return STOPS_FROM <= code < GATES_FROM

    def _price_step(self, rows: Rows, i: int, number: int, row: Row, source: int) -> int:
        """Processes one row of prices; returns exactly one code, as a compiled step does."""
        lane, _, bid, ask, _, _ = row
        checked: int = check_one(self.lanes, lane, bid, ask)
        if checked >= 0:
            return checked
        signal = self._signal(rows, i, number, row, source)
        if signal is None:
            return self._record(lane, Reason.NO_SIGNAL)
        self._require_valid(signal, i, lane, (bid + ask) / 2.0)
        return self._record(lane, self._reason(signal, lane))

    def _signal(self, rows: Rows, i: int, number: int, row: Row, source: int) -> Signal | None:
        """Returns the strategy's signal for a row, the one of this number in its stream."""
        try:
            return self._readers[source](rows, i, number, row)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # user code may raise anything, SystemExit too
            failure = self._code.failure(error, f"failed at row {i}", f"at row {i}")
            name = type(self.strategies[row[0]]).__name__
            raise StrategyFailed(f"strategy {name} {failure}") from error

    def _require_valid(self, signal: Signal, i: int, lane: int, mid: float) -> None:
        """Raises StrategyFailed for what is no signal, and for one whose fields no entry can have."""
        if signal is Signal.BUY or signal is Signal.SELL:
            return
        who = f"strategy {type(self.strategies[lane]).__name__}"
        if not is_signal(signal):
            msg = f"at row {i} must return Signal.BUY, Signal.SELL or None, not {described(signal)}"
            raise StrategyFailed(f"{who} {msg}; see autohedge.strategies.Signal")
        if wrong := problem(signal, mid):
            raise StrategyFailed(f"{who} at row {i}: its signal {wrong}")

    def _reason(self, signal: Signal, lane: int) -> int:
        """Returns the reason code of a signal, and keeps that of an entry for the engine."""
        status, short = int(self._status[lane]), bool(self._short[lane])
        if signal.purpose is not ENTER:
            held = signal.side is None or (signal.side is SELL) is not short
            return Reason.EXIT_SIGNAL if status == OPEN and held else Reason.NO_SIGNAL
        if status != FLAT:
            return Reason.IN_POSITION if status == OPEN else Reason.ORDER_PENDING
        self._entries[lane] = None if signal is Signal.BUY else signal
        self._entry_side[lane] = -1 if signal.side is SELL else 1
        return int(self._gate[lane]) or Reason.ENTRY

    def entry(self, lane: int) -> Signal | None:
        """The last entry signal of a lane."""
        return self._entries[lane]

    # `_must_stop` and `_record` repeat two functions of kernels/state.py that only inline into kernels.
    def _must_stop(self, lane: int, code: int) -> bool:
        if STOPS_FROM <= code < GATES_FROM:
            return True
        if self._refresh_in[lane] == 0:
            self._stop[lane] = REFRESH_DUE
            return True
        return False

    def _record(self, lane: int, code: int) -> int:
        if STOPS_FROM <= code < GATES_FROM:
            self._stop[lane] = code
        else:
            self._counts[lane, code] += 1
        return code


def _as_python(rows: Rows, start: int, stop: int) -> Iterator[Row]:
    """Yields the rows as plain numbers, which Python handles faster than numpy scalars."""
    columns = (rows.lane, rows.ts, rows.bid, rows.ask, rows.bid_size, rows.ask_size)
    return zip(*(column[start:stop].tolist() for column in columns), strict=True)


def _plain(rows: Rows, i: int) -> Row:
    """Returns one row as plain numbers."""
    prices = rows.bid.item(i), rows.ask.item(i), rows.bid_size.item(i), rows.ask_size.item(i)
    return rows.lane.item(i), rows.ts.item(i), *prices


def _instantiate(make: type[Strategy], params: dict[str, Any], code: StrategyModuleFinder) -> Strategy:
    try:
        inspect.signature(make).bind(**params)
    except TypeError as error:
        msg = f"strategy {make.__name__} does not take these strategy.params: {error}"
        raise Misconfigured(msg) from None
    except ValueError:  # a class of a C extension has no signature; the call itself shows what it takes
        pass
    try:
        with code.running():
            return make(**params)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # user code may raise anything, SystemExit too
        failure = code.failure(error, "failed in __init__", "in __init__")
        raise StrategyFailed(f"strategy {make.__name__} {failure}") from error
