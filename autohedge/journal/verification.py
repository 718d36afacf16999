"""Verification of a record: every hash must match, and the results must agree with the journal."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import msgspec

from autohedge.core.bookings import FillBookings, RecordedFill
from autohedge.core.errors import Corrupt
from autohedge.core.events import (
    ClockReached,
    OperatorCommand,
    OrderAdopted,
    PromptsChanged,
    RunEnded,
    SettingsChanged,
    SubmitOrder,
    TapeSealed,
)
from autohedge.core.ids import RunIds
from autohedge.core.results import RunResult
from autohedge.core.text import one_line
from autohedge.journal.chain import JournalLine, read, torn_tail_bytes
from autohedge.journal.folder import RunFolder
from autohedge.journal.genesis import Genesis

OPTIONAL_KEYS = frozenset({"interrupted"})
"""What a run in virtual time does not have."""
CHECKED_APART = frozenset({"fills", "equity_series", "journal_head", "working_orders"})
"""Keys that other checks prove: the equity series needs the tape; the open orders follow from a replay alone,
here only their number."""
UNPROVED_KEYS = frozenset({"run", "wakes", "worst_lag_ms", "agents"})
"""What results have beyond the record: the run's first name, and measurements of the process."""
AGENT_KEYS = frozenset({"provider", "model", "server", "calls", "worker_deaths", "knowledge_cutoffs"})
ADOPTED = "adopted"  # the reason of an order that the venue's list named
NAMED_KEYS = 3
SHOWN_CHARS = 80


@dataclass(frozen=True, slots=True)
class Verified:
    """The result of verifying an intact record."""

    lines: int
    head: str
    finished: bool
    torn_bytes: int


@dataclass(slots=True)
class ResultProjection:
    """The values that `results.json` must repeat from the record: the figures, and every booked fill.

    `seals` are those of the rows, of which the run has taken `pos`; `reached` says when a clock has finished bars.
    """

    result: RunResult | None = None
    fills: list[dict[str, Any]] = field(default_factory=list)
    lines: int = 0
    stopped: bool = False
    pos: int = 0
    seals: list[TapeSealed] = field(default_factory=list)
    reached: list[tuple[int, int]] = field(default_factory=list)
    _genesis: Genesis | None = None
    _orders: dict[str, dict[str, Any]] = field(default_factory=dict)
    _bookings: FillBookings = field(default_factory=FillBookings)

    def apply(self, line: JournalLine) -> None:
        """Updates the projection with one line."""
        self.lines += 1
        self.pos = max(self.pos, line.pos)
        if line.genesis is not None:
            self._genesis = Genesis.of(line)
        if (fill := self._bookings.apply(line.event)) and fill.report.kind == "fill":
            self.fills.append(self._fill(fill))
        match line.event:
            case RunEnded() as event:
                self.result = event.result
            case TapeSealed() as event:
                self.seals.append(event)
            case ClockReached(at_ns=at_ns, rows=rows):
                self.reached.append((rows, at_ns))
            case OperatorCommand(command="stop"):
                self.stopped = True
            case SubmitOrder() as order:
                facts = {"symbol": order.symbol, "side": str(order.side), "reason": order.reason}
                self._orders[order.order_id] = facts
            case OrderAdopted(order=found):
                facts = {"symbol": found.symbol, "side": str(found.side), "reason": ADOPTED}
                self._orders[found.order_id] = facts

    def _fill(self, fill: RecordedFill) -> dict[str, Any]:
        report = fill.report
        figures = {
            "qty": report.quantity,
            "price": report.price,
            "fee": report.fee,
            "realized": fill.realized,
        } | ({"fee_currency": report.fee_currency} if report.fee_currency else {})
        place = {"order_id": report.order_id, "ts_ns": report.ts_ns}
        booked = msgspec.to_builtins(fill.booked)
        ids = {
            name: booked[name] for name in RunIds._fields if name in booked
        }  # absent where it is the default
        return place | ids | figures | self._orders.get(report.order_id, {})

    def check(self, folder: RunFolder) -> None:
        """Compares `results.json` with the record; a run without results passes.

        Raises Corrupt with the keys that were changed or added.
        """
        results = folder.read_results()
        if results is None:
            return
        result = self.require_end(folder)
        folder.require_single_keys()
        wrong = list(_contradictions(results, self._expected(folder, result)))
        if wrong:
            more = f"; {len(wrong) - NAMED_KEYS} more" if len(wrong) > NAMED_KEYS else ""
            raise Corrupt(f"{folder.results}: {'; '.join(wrong[:NAMED_KEYS])}{more}")
        if list(map(_exact, results.get("fills", []))) != self.fills:
            raise Corrupt(f"{folder.results}: its fills are not those of the journal")
        if not isinstance(results.get("equity_series"), list):
            raise Corrupt(f"{folder.results}: it has no equity series")
        open_orders = results.get("working_orders")
        if not isinstance(open_orders, list) or len(open_orders) != result.open_orders:
            raise Corrupt(f"{folder.results}: its open orders are not as many as in the journal")

    def require_end(self, folder: RunFolder) -> RunResult:
        """Returns the result in the journal. Raises Corrupt if there are results but the journal has none."""
        if self.result is None:
            raise Corrupt(f"{folder.results} is there, but the journal does not end with run_ended")
        return self.result

    def _expected(self, folder: RunFolder, result: RunResult) -> dict[str, Any]:
        """Returns the values of all keys that follow from the record, but for the fills."""
        facts = _recorded_facts(folder, self._genesis) if self._genesis else {}
        figures: dict[str, Any] = msgspec.to_builtins(result)
        return figures | facts | {"journal_lines": self.lines, "interrupted": self.stopped}


def _contradictions(results: dict[str, Any], expected: dict[str, Any]) -> Iterator[str]:
    """Yields each key of the results that has another value than expected, or that the record does not have."""
    for key, value in expected.items():
        if key in OPTIONAL_KEYS and key not in results:
            continue
        if key not in results:
            yield f"{key} is missing, but the journal has {_shown(value)}"
        elif _plain(results[key]) != _plain(value):
            yield f"{key} is {_shown(results[key])}, but the journal has {_shown(value)}"
    for key in results.keys() - expected.keys() - UNPROVED_KEYS - CHECKED_APART:
        yield f"{_shown(key)} was added, the journal has no such value"
    agents = results.get("agents", {})
    for key in (agents.keys() if isinstance(agents, dict) else {"agents"}) - AGENT_KEYS:
        yield f"{_shown(f'agents.{key}')} was added, no run has such a value"


def _plain(value: Any) -> bytes:
    """Returns a JSON value as bytes, in which 1, 1.0 and true differ."""
    return msgspec.json.encode(value, order="sorted")


def _shown(value: Any) -> str:
    """Returns a value from a file, for a message."""
    return one_line(
        str(value) if isinstance(value, str) and value.isidentifier() else repr(value), SHOWN_CHARS
    )


def _exact(fill: Any) -> Any:
    """Returns a listed fill with its money as Decimals; other values stay and will not compare equal."""
    try:
        money = {key: Decimal(fill[key]) for key in ("qty", "price", "fee", "realized")}
    except (KeyError, TypeError, ArithmeticError, ValueError):
        return fill
    return fill | money


def verify(folder: RunFolder) -> Verified:
    """Checks a run's hash chain, the files that its journal names, and its results.

    Raises Corrupt at the first mismatch.
    """
    claims = ResultProjection()
    verified = verify_chain(folder, claims)
    claims.check(folder)
    return verified


def verify_chain(folder: RunFolder, claims: ResultProjection | None = None) -> Verified:
    """Checks every hash: of the lines, of the files, of the end; updates `claims` with every line.

    Raises Corrupt at the first mismatch.
    """
    claims = claims or ResultProjection()
    return _verified(folder, verified_lines(folder), claims.apply, claims)


def verify_lines(
    folder: RunFolder, claims: ResultProjection, take: Callable[[JournalLine], None]
) -> Verified:
    """Checks the journal alone: the hashes of its lines and its end. Passes every line to `take`.

    Raises Corrupt at the first mismatch.
    """

    def apply(line: JournalLine) -> None:
        claims.apply(line)
        take(line)

    return _verified(folder, ended_lines(folder), apply, claims)


def _verified(
    folder: RunFolder,
    lines: Iterator[JournalLine],
    apply: Callable[[JournalLine], None],
    claims: ResultProjection,
) -> Verified:
    head = ""
    for line in lines:
        head = line.hash
        apply(line)
    finished = folder.results.is_file()
    if finished:
        claims.require_end(folder)
    return Verified(claims.lines, head, finished, torn_bytes=torn_tail_bytes(folder.journal))


def verified_lines(folder: RunFolder) -> Iterator[JournalLine]:
    """Yields the lines of a journal, checking the chain, the files, and the end that `results.json` names.

    Raises Corrupt at the first mismatch; for the end, after the last line.
    """
    for line in ended_lines(folder):
        for name in files_of(line):
            folder.stored_file(name)
        yield line


def ended_lines(folder: RunFolder) -> Iterator[JournalLine]:
    """Yields the lines of a journal, checking the chain, and the end that `results.json` names.

    Raises Corrupt at the first mismatch; for the end, after the last line.
    """
    # Read before the lines: a run that finishes meanwhile must not make its own journal look damaged.
    promised, head = _expected_end(folder), ""
    for line in read(folder.journal):
        head = line.hash
        yield line
    if promised and promised != (head, torn_tail_bytes(folder.journal)):
        msg = f"{folder.journal} does not end where {folder.results} requires: lines were cut off or added"
        raise Corrupt(msg)


def _expected_end(folder: RunFolder) -> tuple[Any, int] | None:
    """Returns the head and the torn bytes with which a finished run's journal must end."""
    results = folder.read_results()
    return None if results is None else (results.get("journal_head"), 0)


def files_of(line: JournalLine) -> list[str]:
    """Returns the stored files that a line names. Raises Corrupt if it is a damaged genesis."""
    if line.genesis is not None:
        return Genesis.of(line).files
    match line.event:
        case PromptsChanged(prompts=prompts):
            return list(prompts.values())
        case SettingsChanged(new_hash=settings):
            return [f"{settings}.json"]
        case _:
            return []


def _recorded_facts(folder: RunFolder, genesis: Genesis) -> dict[str, Any]:
    """Returns what the results repeat from the settings and the genesis."""
    settings = folder.settings(genesis.settings)
    has_bars = any(each["kind"] == "bars" and each.get("prices", True) for each in genesis.tape)
    return ({"bar_exits": "close"} if has_bars else {}) | {
        "mode": settings["trading"]["mode"],
        # In llm mode no strategy trades, whichever is named; see Settings.trader_name.
        "strategy": "agents" if settings["trading"]["mode"] == "llm" else settings["strategy"]["name"],
        "seed": settings["seed"],
        "symbols": list(dict.fromkeys(origin["symbol"] for origin in genesis.tape)),
        "synthetic": any(origin["recipe"] for origin in genesis.tape),
    }
