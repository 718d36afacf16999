"""Strategies in plain Python: one class, one method, no numba; slower, on the same engine.

    class Breakout(Strategy):
        def on_quote(self, quote: Quote) -> Signal | None: ...

One object is created per symbol, with the keyword arguments of `[strategy.params]`. It receives the valid
quotes that meet no exit, in tape order. It must decide from them alone, without clock, randomness or files;
otherwise the run cannot be replayed.
"""

import difflib
import inspect
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from autohedge.config import Settings
from autohedge.core.errors import Misconfigured, StrategyFailed
from autohedge.core.orders import ENTER, SELL
from autohedge.core.reasons import GATES_FROM, STOPS_FROM, Reason
from autohedge.kernels.state import FLAT, OPEN, REFRESH_DUE, KernelStates, check_one, new_states, state_dtype
from autohedge.market.tape import Kind, Rows, Stream
from autohedge.strategies.signals import Signal, is_signal, problem
from autohedge.strategies.user_code import StrategyModuleFinder, described

METHODS = {Kind.QUOTES: "on_quote", Kind.BARS: "on_bar"}
_OTHER = {Kind.QUOTES: Kind.BARS, Kind.BARS: Kind.QUOTES}
CHUNK_ROWS = 512  # a scan that stops early has converted at most this many rows in vain
_Row = tuple[int, int, float, float, float, float]  # lane, time, bid, ask, bid size, ask size


class Quote(msgspec.Struct, frozen=True, gc=False):
    """The best bid and ask at `ts_ns`; sizes are 0 if the source has none."""

    symbol: str
    ts_ns: int
    bid: float
    ask: float
    bid_size: float
    ask_size: float

    @property
    def mid(self) -> float:
        """The middle of bid and ask."""
        return (self.bid + self.ask) / 2.0


class Bar(msgspec.Struct, frozen=True, gc=False):
    """One finished bar; `ts_ns` is its end, when it becomes known."""

    symbol: str
    ts_ns: int
    open: float
    high: float
    low: float
    close: float
    volume: float


class Strategy:
    """Base of a user's strategy; override the method for the kind of rows in `reads`."""

    reads: ClassVar[Kind] = Kind.QUOTES

    def on_quote(self, quote: Quote) -> Signal | None:
        """Returns the signal for one quote, or None."""
        raise NotImplementedError

    def on_bar(self, bar: Bar) -> Signal | None:
        """Returns the signal for one bar, or None."""
        raise NotImplementedError


class PythonStrategyRunner:
    """Runs one `Strategy` object per instrument behind the scan interface of compiled strategies."""

    def __init__(
        self, make: type[Strategy], settings: Settings, streams: Sequence[Stream], code: StrategyModuleFinder
    ) -> None:
        self.lanes: KernelStates = new_states(state_dtype([]), len(streams))
        self._streams = streams
        self._reads_bars = make.reads is Kind.BARS
        self._code = code
        self._strategies = [_instantiate(make, settings.strategy.params, code) for _ in streams]
        self._numbers: NDArray[np.int64] | None = None
        self._status, self._stop = self.lanes["status"], self.lanes["stop"]
        self._counts = self.lanes["counts"]
        self._gate, self._refresh_in = self.lanes["gate"], self.lanes["refresh_in"]
        self._short, self._entry_side = self.lanes["short"], self.lanes["entry_side"]
        self._entries: list[Signal | None] = [None] * len(streams)

    def scan(self, rows: Rows, start: int, stop: int) -> int:
        """Scans rows `start` to `stop`; returns the row at which the engine must decide, else `stop`."""
        self._numbers = rows.row
        with self._code.running():
            for first in range(start, stop, CHUNK_ROWS):
                for i, row in enumerate(_as_python(rows, first, min(first + CHUNK_ROWS, stop)), start=first):
                    if self._must_stop(row[0], self._step(i, row)):
                        return i
        return stop

    def update(self, settings: Settings) -> None:
        """Does nothing: a strategy keeps the parameters that it was made with."""

    def _step(self, i: int, row: _Row) -> int:
        """Processes one row; returns exactly one code, as a compiled step does."""
        lane, ts, bid, ask, bid_size, ask_size = row
        checked: int = check_one(self.lanes, lane, bid, ask)
        if checked >= 0:
            return checked
        strategy, symbol = self._strategies[lane], self._streams[lane].symbol
        try:
            if self._reads_bars:
                signal = strategy.on_bar(self._bar(lane, i, ts))
            else:
                signal = strategy.on_quote(Quote(symbol, ts, bid, ask, bid_size, ask_size))
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # user code may raise anything, SystemExit too
            failure = self._code.failure(error, f"failed at row {i}", f"at row {i}")
            raise StrategyFailed(f"strategy {type(strategy).__name__} {failure}") from error
        if signal is None:
            return self._record(lane, Reason.NO_SIGNAL)
        self._require_valid(signal, i, lane, (bid + ask) / 2.0)
        return self._record(lane, self._reason(signal, lane))

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

    def _bar(self, lane: int, i: int, ts: int) -> Bar:
        stream, row = self._streams[lane], i if self._numbers is None else int(self._numbers[i])
        prices = [float(stream.columns[name][row]) for name in ("open", "high", "low", "close", "volume")]
        return Bar(stream.symbol, ts, *prices)


def _as_python(rows: Rows, start: int, stop: int) -> Iterator[_Row]:
    """Yields the rows as plain numbers, which Python handles faster than numpy scalars."""
    columns = (rows.lane, rows.ts, rows.bid, rows.ask, rows.bid_size, rows.ask_size)
    return zip(*(column[start:stop].tolist() for column in columns), strict=True)


def check_methods(make: type[Strategy]) -> None:
    """Checks that a class has the method for the rows that it reads.

    Raises Misconfigured, and names a method that looks like it.
    """
    name, reads = make.__name__, make.reads
    if not isinstance(reads, Kind) or reads not in METHODS:
        raise Misconfigured(
            f"strategy {name}: reads must be Kind.QUOTES or Kind.BARS, not {described(reads)}"
        )
    wanted, is_defined = METHODS[reads], _defines(make, METHODS[reads])
    other, cure = METHODS[_OTHER[reads]], f"write reads = Kind.{_OTHER[reads].name} in the class"
    if wanted not in vars(make) and (misspelt := _look_alike(make, wanted)):
        raise Misconfigured(f"strategy {name}: {misspelt} is never called; rename it to {wanted}")
    if not is_defined and _defines(make, other):
        raise Misconfigured(f"strategy {name} defines {other}, but it reads {reads}; {cure}")
    if not is_defined and (misspelt := _look_alike(make, other)):
        raise Misconfigured(f"strategy {name}: {misspelt} is never called; rename it to {other} and {cure}")
    if not is_defined:
        raise Misconfigured(f"strategy {name} defines no {wanted}; add the method")
    if inspect.iscoroutinefunction(getattr(make, wanted)):
        raise Misconfigured(f"strategy {name}: {wanted} is async; write it without async")


def _defines(make: type[Strategy], method: str) -> bool:
    return getattr(make, method) is not getattr(Strategy, method)


def _look_alike(make: type[Strategy], method: str) -> str | None:
    """Returns what is probably `method`, misspelt; None if the class has nothing like it."""
    # A class that inherits the method may have others of similar names from its own bases.
    there = vars(make) if _defines(make, method) else dir(make)
    plain = {
        name.replace("_", "").lower(): name
        for name in there
        if name not in METHODS.values() and callable(getattr(make, name, None))
    }
    on = [name for name in plain if set(name[:2]) == {"o", "n"}]
    close = difflib.get_close_matches(method.replace("_", ""), on, n=1, cutoff=0.8)
    return plain[close[0]] if close else None


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
