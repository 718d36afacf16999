"""Verification: every hash must fit, and the results must say what the journal says."""

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
    """What verification found in a sound record."""

    lines: int
    head: str
    finished: bool
    torn_bytes: int


@dataclass(slots=True)
class ResultProjection:
    """What the journal says that `results.json` must repeat: the figures, and every fill once."""

    result: dict[str, Any] = field(default_factory=dict)
    fills: dict[tuple[str, str | None], dict[str, Any]] = field(default_factory=dict)
    lines: int = 0
    _orders: dict[str, SubmitOrder] = field(default_factory=dict)
    _realized: Decimal = ZERO
    _last: dict[str, Any] = field(default_factory=dict)

    def apply(self, event: AnyEvent | None) -> None:
        """Note a line of the journal."""
        self.lines += 1
        match event:
            case RunResult():
                self.result = event.result
            case SubmitOrder():
                self._orders[event.order_id] = event
            case ExecutionReport(kind="fill"):
                self._last = self.fills.setdefault((event.order_id, event.trade_id), self._fill(event))
            case FillBooked():
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
        """Hold `results.json` against the journal. Raises Corrupt at the first contradiction."""
        self.require_end(folder)
        for key, value in (self.result | {"journal_lines": self.lines}).items():
            if results.get(key) != value:
                msg = f"{folder.results}: {key} is {results.get(key)!r}, but the journal says {value!r}"
                raise Corrupt(msg)
        if [_exact(fill) for fill in results["fills"]] != list(self.fills.values()):
            raise Corrupt(f"{folder.results}: its fills are not those of the journal")

    def require_end(self, folder: RunFolder) -> None:
        """Raises Corrupt for results of a run whose journal has none."""
        if not self.result:
            raise Corrupt(f"{folder.results} is there, but the journal does not end with a run_result")


def _exact(fill: dict[str, Any]) -> dict[str, Any]:
    """A listed fill with its money as numbers; anything else stays, and will not compare equal."""
    try:
        money = {key: Decimal(fill[key]) for key in ("qty", "price", "fee", "realized")}
    except (KeyError, TypeError, ArithmeticError):
        return fill
    return fill | money


def verify(folder: RunFolder) -> Verified:
    """Check a run's chain of hashes, the files that its genesis and its changes of prompts name, and its results.

    Raises Corrupt at the first thing that does not fit.
    """
    claims = ResultProjection()
    verified = verify_chain(folder, claims)
    results = folder.read_results()
    if results is not None:
        claims.check(folder, results)
        _check_settings(folder, results)
    return verified


def verify_chain(folder: RunFolder, claims: ResultProjection | None = None) -> Verified:
    """Check every hash: of the lines, of the files, of the end; note what the journal claims.

    Raises Corrupt at the first that does not fit.
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
    """The lines of a journal, one by one: chain, files and the end that `results.json` names are checked.

    Raises Corrupt at the first that does not fit, the end's when all lines were taken.
    """
    promised, head = _expected_end(folder), ""
    for line in read(folder.journal):
        if not head:
            _check_files(folder, Genesis.of(line))
        if isinstance(line.event, PromptsChanged):
            for name in line.event.prompts.values():
                folder.stored_file(name)
        head = line.hash
        yield line
    if promised and promised != (head, torn_tail_bytes(folder.journal)):
        msg = f"{folder.journal} does not end where {folder.results} says: lines were cut off or added"
        raise Corrupt(msg)


def _expected_end(folder: RunFolder) -> tuple[Any, int] | None:
    """The head, and the torn bytes after it, that a finished run's journal must end with."""
    results = folder.read_results()
    return None if results is None else (results.get("journal_head"), 0)


def _check_files(folder: RunFolder, genesis: Genesis) -> None:
    for name in (genesis.settings, genesis.strategy):
        if name:
            folder.stored_file(name)


def _check_settings(folder: RunFolder, results: dict[str, Any]) -> None:
    """What the results repeat of the settings and the tape must be what was recorded."""
    genesis = Genesis.of(next(read(folder.journal)))
    settings = folder.settings(genesis.settings)
    recorded = {
        "mode": settings["trading"]["mode"],
        # In llm mode no strategy trades, whichever is named; see Settings.trader.
        "strategy": "agents" if settings["trading"]["mode"] == "llm" else settings["strategy"]["name"],
        "seed": settings["seed"],
        "symbols": [origin["symbol"] for origin in genesis.tape],
        "synthetic": any(origin["recipe"] for origin in genesis.tape),
    }
    for key, value in recorded.items():
        if results.get(key) != value:
            raise Corrupt(f"{folder.results}: {key} is {results.get(key)!r}, but {value!r} was recorded")
