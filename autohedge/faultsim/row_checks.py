"""Invariants 33 to 36: what the tape has beside quotes, and what a strategy sees and signals at these rows."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from autohedge.core.events import JournalEntry, SubmitOrder
from autohedge.core.orders import BUY, ENTER, SELL
from autohedge.faultsim.expected_rows import ExpectedRow
from autohedge.faultsim.question_checks import InvariantViolation
from autohedge.faultsim.received_quotes import ReceivedQuotes
from autohedge.faultsim.tape_readers import TapeReader
from autohedge.market.stream import Kind
from autohedge.market.tape import Tape
from autohedge.strategies import Signal


def require_tape(tape: Tape, expected: Sequence[ExpectedRow]) -> None:
    """Invariants 33 and 34: the rows come in their order, and a bar has the rows before its end alone.

    Raises InvariantViolation.
    """
    rows, kinds = tape.rows, tape.rows.kinds
    if len(rows) != len(expected):
        raise InvariantViolation(f"33: the tape has {len(rows)} rows, its streams make {len(expected)}")
    if kinds is None:
        return
    places = (kinds.source.tolist(), rows.ts.tolist(), kinds.close.tolist(), kinds.priced.tolist())
    found = zip(*places, strict=True)
    for number, ((source, ts_ns, close, priced), row) in enumerate(zip(found, expected, strict=True)):
        stream = tape.streams[source]
        if (stream.symbol, stream.kind, ts_ns) != (row.symbol, row.kind, row.ts_ns):
            invariant = 34 if Kind.BARS in {stream.kind, row.kind} else 33
            raise InvariantViolation(
                f"{invariant}: row {number} is of {stream.symbol} {stream.kind}, not of {row.symbol} {row.kind}"
            )
        if not same((close,), (row.close,)):
            raise InvariantViolation(f"34: the bar at row {number} closes at {close}, not at {row.close}")
        if priced is not (row.kind is Kind.QUOTES):
            raise InvariantViolation(f"33: row {number} of {row.kind} is priced wrongly")


class MeanLengths(NamedTuple):
    """How many closes the two means of a crossover have."""

    fast: int
    slow: int


class RowChecker:
    """Follows what the strategies see of one record; every method raises InvariantViolation.

    `means` are those of each symbol where the built-in crossover reads bars, else empty.
    """

    def __init__(
        self,
        expected: Sequence[ExpectedRow],
        symbols: Sequence[str],
        quotes: ReceivedQuotes,
        means: Mapping[str, MeanLengths],
    ) -> None:
        self._quotes, self._means = quotes, means
        self._expected: dict[str, list[tuple[int, ExpectedRow]]] = {symbol: [] for symbol in symbols}
        for number, row in enumerate(expected):
            if row.values is not None:
                self._expected[row.symbol].append((number, row))
        self._strategies: dict[str, TapeReader] = {}
        self.reset()

    def watch(self, strategies: Sequence[object]) -> None:
        """Follows the strategies of a new engine, one for each symbol; none if they are compiled."""
        readers = zip(self._expected, strategies, strict=False)
        self._strategies = {symbol: each for symbol, each in readers if isinstance(each, TapeReader)}

    def reset(self) -> None:
        """Forgets what was seen, before a record is applied from its beginning."""
        self.signals = 0  # at most so many rows without prices have stopped the engine
        self._next = dict.fromkeys(self._expected, 0)
        self._seen = dict.fromkeys(self._expected, 0)
        self._closes: dict[str, list[float]] = {symbol: [] for symbol in self._expected}
        self._signals: dict[int, Signal | None] = {}
        self._entries: list[tuple[int, SubmitOrder]] = []

    def apply(self, entry: JournalEntry, cause: object) -> None:
        """Notes an entry that follows from a row; it has a signal if the row has no price."""
        event, row = entry.event, entry.pos - 1
        if cause is None and isinstance(event, SubmitOrder) and event.purpose is ENTER:
            self._entries.append((row, event))

    def step(self, pos: int) -> None:
        """Compares what was seen of the rows before `pos` with what they are."""
        for symbol, rows in self._expected.items():
            while self._next[symbol] < len(rows) and rows[self._next[symbol]][0] < pos:
                number, row = rows[self._next[symbol]]
                self._next[symbol] += 1
                if not self._quotes.was_missed(number):
                    self._compare(symbol, number, row)
            self._require_no_more(symbol)
        for number, order in self._entries:
            self._require_signal(number, order)
        self._entries.clear()

    def _compare(self, symbol: str, number: int, row: ExpectedRow) -> None:
        if symbol not in self._strategies:
            self.signals += 1
            self._closes[symbol].append(row.close)
            if self._means:
                self._signals[number] = _side_of(self._closes[symbol], self._means[symbol])
            return
        seen, at = self._strategies[symbol].seen, self._seen[symbol]
        if at == len(seen):
            raise InvariantViolation(f"33: the strategy has not seen row {number} of {symbol} {row.kind}")
        found = seen[at]
        if (found.kind, found.ts_ns) != (row.kind, row.ts_ns) or not same(found.values, row.values or ()):
            raise InvariantViolation(
                f"{34 if row.kind is Kind.BARS else 33}: at row {number} the strategy has seen {found.kind} "
                f"{found.values} of {symbol}, not {row.kind} {row.values}"
            )
        self._seen[symbol] += 1
        self._signals[number] = found.signal
        self.signals += found.signal is not None

    def _require_no_more(self, symbol: str) -> None:
        if symbol in self._strategies and len(self._strategies[symbol].seen) > self._seen[symbol]:
            found = self._strategies[symbol].seen[self._seen[symbol]]
            raise InvariantViolation(
                f"33: the strategy has seen {found.kind} {found.values} of {symbol} again"
            )

    def _require_signal(self, number: int, order: SubmitOrder) -> None:
        """Invariant 36: an entry at a row without a price follows from the signal of that row."""
        if number not in self._signals and not self._means:
            return
        signal = self._signals.get(number)
        if signal is None or signal.purpose is not ENTER or signal.side is not order.side:
            raise InvariantViolation(f"36: {order.symbol} is entered at row {number}, which signals {signal}")


def _side_of(closes: Sequence[float], means: MeanLengths) -> Signal | None:
    """The side that a crossover may enter after these closes."""
    if len(closes) < means.slow:
        return None
    rises = _mean(closes, means.fast) > _mean(closes, means.slow)
    return Signal(ENTER, BUY if rises else SELL)


def _mean(closes: Sequence[float], count: int) -> float:
    total = 0.0
    for close in reversed(closes[-count:]):  # in the order of the kernel: sum() may round otherwise
        total += close
    return total / count


def same(found: Sequence[float], wanted: Sequence[float]) -> bool:
    """Whether two sequences are equal to the last bit; NaN equals itself."""
    return len(found) == len(wanted) and all(
        a == b or (a != a and b != b)  # noqa: PLR0124  (NaN)
        for a, b in zip(found, wanted, strict=True)
    )


def require_same_rows(seen: Sequence[object], replayed: Sequence[object]) -> None:
    """Invariant 6: in a replay the strategies see and signal what they did. Raises InvariantViolation."""
    for one, other in zip(seen, replayed, strict=True):
        if (
            isinstance(one, TapeReader)
            and isinstance(other, TapeReader)
            and repr(one.seen) != repr(other.seen)
        ):
            raise InvariantViolation("6: in the replay a strategy sees other rows")
