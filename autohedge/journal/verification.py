"""Verification of a record: every hash must match, and the results must agree with the journal."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from autohedge.core.errors import Corrupt
from autohedge.core.events import (
    AnyEvent,
    ExecutionReport,
    FillBooked,
    PromptsChanged,
    RunResult,
    SubmitOrder,
)
from autohedge.core.money import ZERO, subtract
from autohedge.journal.chain import JournalLine, read, torn_tail_bytes
from autohedge.journal.folder import RunFolder
from autohedge.journal.genesis import Genesis


@dataclass(frozen=True, slots=True)
class Verified:
    """The result of verifying an intact record."""

    lines: int
    head: str
    finished: bool
    torn_bytes: int


@dataclass(slots=True)
class ResultProjection:
    """The values that `results.json` must repeat from the journal: the figures, and every fill once."""

    result: dict[str, Any] = field(default_factory=dict)
    fills: dict[tuple[str, str | None], dict[str, Any]] = field(default_factory=dict)
    lines: int = 0
    _orders: dict[str, SubmitOrder] = field(default_factory=dict)
    _realized: Decimal = ZERO
    _last: dict[str, Any] = field(default_factory=dict)

    def apply(self, event: AnyEvent | None) -> None:
        """Updates the projection with the event of one line."""
        self.lines += 1
        match event:
            case RunResult():
                self.result = event.result
            case SubmitOrder():
                self._orders[event.order_id] = event
            case ExecutionReport(kind="fill"):
                # The venue may report a fill twice; the engine books it once.
                self._last = self.fills.setdefault((event.order_id, event.trade_id), self._fill(event))
            case FillBooked():  # follows the report of its fill, which is `_last`
                self._last["realized"] = subtract(event.realized, self._realized)
                self._realized = event.realized

    def _fill(self, report: ExecutionReport) -> dict[str, Any]:
        order = self._orders.get(report.order_id)
        fill: dict[str, Any] = {"order_id": report.order_id, "ts_ns": report.ts_ns}
        fill |= {"qty": report.quantity, "price": report.price, "fee": report.fee}
        if order is None:
            return fill
        return fill | {"symbol": order.symbol, "side": str(order.side), "reason": order.reason}

    def check(self, folder: RunFolder, results: dict[str, Any]) -> None:
        """Compares `results.json` with the journal. Raises Corrupt at the first contradiction."""
        self.require_end(folder)
        for key, value in (self.result | {"journal_lines": self.lines}).items():
            if results.get(key) != value:
                msg = f"{folder.results}: {key} is {results.get(key)!r}, but the journal has {value!r}"
                raise Corrupt(msg)
        if [_exact(fill) for fill in results["fills"]] != list(self.fills.values()):
            raise Corrupt(f"{folder.results}: its fills are not those of the journal")

    def require_end(self, folder: RunFolder) -> None:
        """Raises Corrupt if there are results but the journal has none."""
        if not self.result:
            raise Corrupt(f"{folder.results} is there, but the journal does not end with a run_result")


def _exact(fill: dict[str, Any]) -> dict[str, Any]:
    """Returns a listed fill with its money as Decimals; other values stay and will not compare equal."""
    try:
        money = {key: Decimal(fill[key]) for key in ("qty", "price", "fee", "realized")}
    except (KeyError, TypeError, ArithmeticError):
        return fill
    return fill | money


def verify(folder: RunFolder) -> Verified:
    """Checks a run's hash chain, the files that its journal names, and its results.

    Raises Corrupt at the first mismatch.
    """
    claims = ResultProjection()
    verified = verify_chain(folder, claims)
    results = folder.read_results()
    if results is not None:
        claims.check(folder, results)
        _check_settings(folder, results)
    return verified


def verify_chain(folder: RunFolder, claims: ResultProjection | None = None) -> Verified:
    """Checks every hash: of the lines, of the files, of the end; updates `claims` with every line.

    Raises Corrupt at the first mismatch.
    """
    lines, head = 0, ""
    claims = claims or ResultProjection()
    for line in verified_lines(folder):
        lines, head = lines + 1, line.hash
        claims.apply(line.event)
    results = folder.read_results()
    if results is not None:
        claims.require_end(folder)
    return Verified(lines, head, finished=results is not None, torn_bytes=torn_tail_bytes(folder.journal))


def verified_lines(folder: RunFolder) -> Iterator[JournalLine]:
    """Yields the lines of a journal, checking the chain, the files, and the end that `results.json` names.

    Raises Corrupt at the first mismatch; for the end, after the last line.
    """
    # Read before the lines: a run that finishes meanwhile must not make its own journal look damaged.
    promised, head = _expected_end(folder), ""
    for line in read(folder.journal):
        if not head:  # the first line
            _check_files(folder, Genesis.of(line))
        if isinstance(line.event, PromptsChanged):
            for name in line.event.prompts.values():
                folder.stored_file(name)
        head = line.hash
        yield line
    if promised and promised != (head, torn_tail_bytes(folder.journal)):
        msg = f"{folder.journal} does not end where {folder.results} requires: lines were cut off or added"
        raise Corrupt(msg)


def _expected_end(folder: RunFolder) -> tuple[Any, int] | None:
    """Returns the head and the torn bytes with which a finished run's journal must end."""
    results = folder.read_results()
    return None if results is None else (results.get("journal_head"), 0)


def _check_files(folder: RunFolder, genesis: Genesis) -> None:
    for name in (genesis.settings, genesis.strategy):
        if name:
            folder.stored_file(name)


def _check_settings(folder: RunFolder, results: dict[str, Any]) -> None:
    """Compares the settings and the tape in the results with the recorded ones."""
    genesis = Genesis.of(next(read(folder.journal)))
    settings = folder.settings(genesis.settings)
    recorded = {
        "mode": settings["trading"]["mode"],
        # In llm mode no strategy trades, whichever is named; see Settings.trader_name.
        "strategy": "agents" if settings["trading"]["mode"] == "llm" else settings["strategy"]["name"],
        "seed": settings["seed"],
        "symbols": [origin["symbol"] for origin in genesis.tape],
        "synthetic": any(origin["recipe"] for origin in genesis.tape),
    }
    for key, value in recorded.items():
        if results.get(key) != value:
            raise Corrupt(f"{folder.results}: {key} is {results.get(key)!r}, but {value!r} was recorded")
