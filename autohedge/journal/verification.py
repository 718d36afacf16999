"""Verification: every hash must fit, and the results must say what the journal says."""

from dataclasses import dataclass, field
from typing import Any

from autohedge.core.errors import Corrupt
from autohedge.core.events import AnyEvent, Report, RunResult
from autohedge.journal.chain import read, torn_bytes
from autohedge.journal.folder import RunFolder

FILL_FACTS = ("order_id", "ts_ns", "qty", "price", "fee")


@dataclass(frozen=True, slots=True)
class Verified:
    """What verification found in a sound record."""

    lines: int
    head: str
    finished: bool
    torn_bytes: int


@dataclass(slots=True)
class Claims:
    """What the journal says that `results.json` must repeat: the figures, and every fill once."""

    result: dict[str, Any] = field(default_factory=dict)
    fills: dict[tuple[str, str | None], dict[str, Any]] = field(default_factory=dict)

    def take(self, event: AnyEvent | None) -> None:
        """Note an event of the journal."""
        if isinstance(event, RunResult):
            self.result = event.result
        elif isinstance(event, Report) and event.kind == "fill":
            fill = {"order_id": event.order_id, "ts_ns": event.ts_ns, "qty": str(event.quantity)}
            fill |= {"price": str(event.price), "fee": str(event.fee)}
            self.fills.setdefault((event.order_id, event.trade_id), fill)

    def check(self, folder: RunFolder, results: dict[str, Any]) -> None:
        """Hold `results.json` against the journal. Raises Corrupt at the first contradiction."""
        for key, value in self.result.items():
            if results.get(key) != value:
                msg = f"{folder.results}: {key} is {results.get(key)!r}, but the journal says {value!r}"
                raise Corrupt(msg)
        listed = [{key: fill.get(key) for key in FILL_FACTS} for fill in results.get("fills", [])]
        if listed != list(self.fills.values()):
            msg = f"{folder.results}: its fills are not those of the journal"
            raise Corrupt(msg)


def verify(folder: RunFolder) -> Verified:
    """Check a run's chain of hashes, the files that its genesis names, and its results.

    Raises Corrupt at the first thing that does not fit.
    """
    claims = Claims()
    verified = unbroken(folder, claims)
    results = folder.read_results()
    if results is not None:
        claims.check(folder, results)
    return verified


def unbroken(folder: RunFolder, claims: Claims | None = None) -> Verified:
    """Check every hash: of the lines, of the files, of the end; note what the journal claims.

    Raises Corrupt at the first that does not fit.
    """
    lines, head = 0, ""
    claims = claims or Claims()
    for line in read(folder.journal):
        lines, head = lines + 1, line.hash
        if line.genesis is not None:
            _check_files(folder, line.genesis)
        claims.take(line.event)
    results, torn = folder.read_results(), torn_bytes(folder.journal)
    if results is not None and (torn or results.get("journal_head") != head):
        msg = f"{folder.journal} does not end where {folder.results} says: lines were cut off or added"
        raise Corrupt(msg)
    return Verified(lines, head, finished=results is not None, torn_bytes=torn)


def _check_files(folder: RunFolder, genesis: dict[str, Any]) -> None:
    for name in (genesis["settings"], genesis["strategy"]):
        if name:
            folder.kept(name)
