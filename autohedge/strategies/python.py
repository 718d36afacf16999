"""Strategies in plain Python: a class with a method for each kind of rows that it reads.

A strategy receives a row at a time, in the order of the tape, and nothing else: no later row, no position, no
order. It must decide from them alone, without clock, randomness or files; otherwise the run cannot be replayed.
"""

import inspect
from collections.abc import Collection, Iterator, Sequence
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
from autohedge.strategies.market_data import Bar, Book, Funding, Liquidation, Quote, TradeTick
from autohedge.strategies.row_values import Row, reader_of
from autohedge.strategies.signals import Signal, is_signal, problem
from autohedge.strategies.user_code import StrategyModuleFinder, described

CHUNK_ROWS = 512  # a scan that stops early has converted at most this many rows in vain


class Strategy:
    """Base of a user's strategy; override the method for each kind of rows in `reads`."""

    reads: ClassVar[Kind | Collection[Kind]] = Kind.QUOTES

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
    """Runs one `Strategy` object per instrument behind the scan interface of compiled strategies."""

    def __init__(
        self, make: type[Strategy], settings: Settings, streams: Sequence[Stream], code: StrategyModuleFinder
    ) -> None:
        prices, symbols = prices_of(streams), symbols_of(streams)
        self.lanes: KernelStates = new_states(state_dtype([]), len(prices))
        self._code = code
        self._strategies = [_instantiate(make, settings.strategy.params, code) for _ in prices]
        self._readers = [
            reader_of(stream, self._strategies[symbols.index(stream.symbol)]) if stream.origin.read else None
            for stream in streams
        ]
        self._is_read = np.array([stream.origin.read for stream in streams])
        self._price_sources = [streams.index(stream) for stream in prices]
        self._status, self._stop = self.lanes["status"], self.lanes["stop"]
        self._counts, self._bid, self._ask = self.lanes["counts"], self.lanes["bid"], self.lanes["ask"]
        self._gate, self._refresh_in = self.lanes["gate"], self.lanes["refresh_in"]
        self._short, self._entry_side = self.lanes["short"], self.lanes["entry_side"]
        self._entries: list[Signal | None] = [None] * len(prices)

    def scan(self, rows: Rows, start: int, stop: int) -> int:
        """Scans rows `start` to `stop`; returns the row at which the engine must decide, else `stop`."""
        scan = self._scan_prices if rows.kinds is None else self._scan_mixed
        with self._code.running():
            for first in range(start, stop, CHUNK_ROWS):
                end = min(first + CHUNK_ROWS, stop)
                at = scan(rows, first, end)
                if at < end:
                    return at
        return stop

    def update(self, settings: Settings) -> None:
        """Does nothing: a strategy keeps the parameters that it was made with."""

    def _scan_prices(self, rows: Rows, start: int, stop: int) -> int:
        """Scans rows that are all prices which the strategy reads."""
        for i, row in enumerate(_as_python(rows, start, stop), start=start):
            if self._must_stop(row[0], self._price_step(rows, i, row, self._price_sources[row[0]])):
                return i
        return stop

    def _scan_mixed(self, rows: Rows, start: int, stop: int) -> int:
        """Scans rows of several kinds; prices that the strategy does not read never reach Python."""
        assert rows.kinds is not None
        sources = rows.kinds.source[start:stop]
        at = start
        for offset in np.flatnonzero(self._is_read[sources]).tolist():
            i = start + offset
            if at < i and (found := scan_prices(self.lanes, rows.lane, rows.bid, rows.ask, at, i)) < i:
                return found
            if self._read_row(rows, i, int(sources[offset])):
                return i
            at = i + 1
        if at < stop:
            return scan_prices(self.lanes, rows.lane, rows.bid, rows.ask, at, stop)
        return stop

    def _read_row(self, rows: Rows, i: int, source: int) -> bool:
        """Processes one row that the strategy reads; returns whether the engine must decide."""
        assert rows.kinds is not None
        lane, row = rows.lane.item(i), _plain(rows, i)
        if rows.kinds.priced[i]:
            return self._must_stop(lane, self._price_step(rows, i, row, source))
        signal = self._signal(rows, i, row, source)
        if signal is None or not self._bid[lane] > 0.0:  # before the first price there is nothing to trade at
            return False
        self._require_valid(signal, i, lane, (self._bid.item(lane) + self._ask.item(lane)) / 2.0)
        code = self._reason(signal, lane)
        if not STOPS_FROM <= code < GATES_FROM:
            return False
        self._stop[lane] = code
        return True

    def _price_step(self, rows: Rows, i: int, row: Row, source: int) -> int:
        """Processes one row of prices; returns exactly one code, as a compiled step does."""
        lane, _, bid, ask, _, _ = row
        checked: int = check_one(self.lanes, lane, bid, ask)
        if checked >= 0:
            return checked
        signal = self._signal(rows, i, row, source)
        if signal is None:
            return self._record(lane, Reason.NO_SIGNAL)
        self._require_valid(signal, i, lane, (bid + ask) / 2.0)
        return self._record(lane, self._reason(signal, lane))

    def _signal(self, rows: Rows, i: int, row: Row, source: int) -> Signal | None:
        """Returns the strategy's signal for a row."""
        read = self._readers[source]
        assert read is not None
        try:
            return read(rows, i, row)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # user code may raise anything, SystemExit too
            failure = self._code.failure(error, f"failed at row {i}", f"at row {i}")
            name = type(self._strategies[row[0]]).__name__
            raise StrategyFailed(f"strategy {name} {failure}") from error

    def _require_valid(self, signal: Signal, i: int, lane: int, mid: float) -> None:
        """Raises StrategyFailed for what is no signal, and for one whose fields no entry can have."""
        if signal is Signal.BUY or signal is Signal.SELL:
            return
        who = f"strategy {type(self._strategies[lane]).__name__}"
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
