"""Verification of a whole record: journal, transcript, results, stored files and tape."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autohedge.app.records import check_equity_series, origins_of
from autohedge.config import from_plain, opening_account
from autohedge.core.errors import Corrupt, Misconfigured
from autohedge.core.events import Decision, DeliberationRequested, Restarted
from autohedge.core.text import one_line
from autohedge.execution.equity_history import EquityPoint, RecordedBookings
from autohedge.journal import JournalLine, RunFolder
from autohedge.journal.chain import torn_tail_bytes
from autohedge.journal.folder import SUMMARY, content_name
from autohedge.journal.genesis import Genesis
from autohedge.journal.verification import ResultProjection, files_of, verify_lines
from autohedge.llm.transcript import read_hashes
from autohedge.llm.transcript_parts import exists
from autohedge.market import Origin, reopen, reopen_streams
from autohedge.runtime.recovery import reached_in
from autohedge.runtime.seals import require_seals

DIGEST_BYTES = 16  # of a hash, in memory: no two lines of a run share them
SHOWN_CHARS = 80


@dataclass(slots=True)
class RecordPart:
    """One part of a record: `summary` says what it has, `damage` what is wrong, empty where it is intact."""

    summary: str = ""
    damage: str = ""
    counts: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class RecordCheck:
    """The verification of a record, part by part; `head` is the hash of the journal's last line.

    After damage in the journal only the parts that do not depend on it are checked.
    """

    run: str
    lines: int = 0
    head: str = ""
    finished: bool = False
    torn_bytes: int = 0
    parts: dict[str, RecordPart] = field(default_factory=dict)

    @property
    def damage(self) -> list[str]:
        """What is wrong, a sentence for each damaged part."""
        return [part.damage for part in self.parts.values() if part.damage]


@dataclass(slots=True)
class _Answers:
    """What the journal says about the transcript: the lines that decisions name, by digest, and the rest."""

    named: dict[bytes, int] = field(default_factory=dict)
    asked: set[int] = field(default_factory=set)
    decided: set[int] = field(default_factory=set)
    lost: set[int] = field(default_factory=set)
    lost_to: int = 0

    def apply(self, line: JournalLine) -> None:
        match line.event:
            case DeliberationRequested(number=number):
                self.asked.add(number)
            case Decision(number=number, calls=calls):
                self.decided.add(number)
                self.named |= {_digest(call): number for call in calls}
            case Restarted(last_number=number, missing_answers=lost):
                self.lost_to = max(self.lost_to, number)
                self.lost.update(lost)

    def may_lack(self, number: int, *, finished: bool) -> bool:
        """Returns whether the transcript can have lines of this deliberation that no decision names.

        The run ended or died before their decision was journaled.
        """
        if number in self.decided:
            return number <= self.lost_to
        return number in self.asked or number <= self.lost_to or not finished


class _Account:
    """What the journal says about the account: the bookings, which give the equity series with the tape."""

    def __init__(self, genesis: Genesis) -> None:
        self.origins = origins = origins_of(genesis)
        self._settings = genesis.settings
        self._symbols = list(dict.fromkeys(origin.symbol for origin in origins))
        self._bookings = RecordedBookings(self._symbols)
        self._pos = 0
        self._reached: list[tuple[int, int]] = []

    def apply(self, line: JournalLine) -> None:
        self._reached += reached_in([line.event])
        self._bookings.apply(line.entry)
        self._pos = line.pos

    def equity_series(self, folder: RunFolder) -> list[EquityPoint] | None:
        """Returns the series; None if the tape is missing or is not the recorded one.

        Raises Corrupt if the journal counts more rows than the tape has.
        """
        try:
            rows = reopen(self.origins, folder.tape, self._reached).rows
        except (Misconfigured, Corrupt):
            return None
        if self._pos > len(rows):
            raise Corrupt(f"{folder.journal} counts {self._pos} rows, but the tape has {len(rows)}")
        settings = from_plain(folder.settings(self._settings))
        return self._bookings.history.series(rows, self._pos, opening_account(settings, self._symbols))


def check_record(folder: RunFolder) -> RecordCheck:
    """Verifies every part of a run's record; a strategy that is stored in it is not executed.

    Raises Misconfigured for a record of another format.
    """
    found, answers, claims = RecordCheck(folder.id), _Answers(), ResultProjection()
    account: list[_Account] = []
    names: set[str] = set()

    def take(line: JournalLine) -> None:
        if line.genesis is not None:
            account.append(_Account(Genesis.of(line)))
        else:
            account[0].apply(line)
        names.update(files_of(line))
        answers.apply(line)

    def journal() -> RecordPart:
        verified = verify_lines(folder, claims, take)
        found.lines, found.head = verified.lines, verified.head
        found.finished, found.torn_bytes = verified.finished, verified.torn_bytes
        return RecordPart(f"{found.lines} lines, chain unbroken")

    found.parts["journal"] = _checked(journal)
    found.parts["files"] = _checked(lambda: _files(folder, names))
    if account:
        found.parts["tape"] = _checked(lambda: _tape(folder, account[0].origins, claims))
    if not found.parts["journal"].damage:
        found.parts["transcript"] = _checked(lambda: _transcript(folder, answers, finished=found.finished))
        found.parts["results"] = _checked(lambda: _results(folder, claims, account[0]))
    return found


def _checked(check: Callable[[], RecordPart]) -> RecordPart:
    try:
        return check()
    except Corrupt as error:
        return RecordPart(damage=str(error))


def _files(folder: RunFolder, names: set[str]) -> RecordPart:
    for name in sorted(names):
        folder.stored_file(name)
    others = [path for path in folder.files() if path.name not in names]
    for path in others:
        if content_name(path.read_bytes(), path.suffix) != path.name:
            raise Corrupt(f"{path}: its content does not match its name, and the journal does not name it")
    further = f", {len(others)} that it does not name" if others else ""
    counts = {"named": len(names), "others": len(others)}
    return RecordPart(f"{len(names)} stored files as the journal names them{further}", counts=counts)


def _tape(folder: RunFolder, origins: list[Origin], claims: ResultProjection) -> RecordPart:
    """Compares the tape with its recorded hashes and its rows with their seals; one that is missing is no damage."""
    recorded = [origin for origin in origins if origin.derived is None]
    missing = [text for origin in recorded if (text := _missing(folder, origin))]
    there = len(recorded) - len(missing)
    counts = {"streams": len(recorded), "missing": len(missing)}
    first = f"; {one_line(missing[0], SHOWN_CHARS)}" if missing else ""
    if not missing:
        tape = reopen(origins, folder.tape, claims.reached)
        require_seals(claims.seals, claims.pos, tape.cursor, tape.name)
        counts["sealed_rows"] = claims.seals[-1].rows if claims.seals else 0
    return RecordPart(f"{there} of {len(recorded)} streams have the recorded content{first}", counts=counts)


def _missing(folder: RunFolder, origin: Origin) -> str:
    """Returns why a stream cannot be compared here, empty if it is as recorded. Raises Corrupt if it is not."""
    try:
        reopen_streams([origin], folder.tape)
    except Misconfigured as error:
        return str(error)
    except Corrupt as error:
        # Another version of numpy may generate other quotes from the same recipe.
        if origin.recipe and not origin.path:
            return str(error)
        raise
    return ""


def _transcript(folder: RunFolder, answers: _Answers, *, finished: bool) -> RecordPart:
    """Compares the transcript with the hashes that the journal's decisions name."""
    path, missing, ahead, lines = folder.transcript, dict(answers.named), 0, 0
    for number, digest in _digests(path, answers):
        lines += 1
        named_by = missing.pop(digest, None)
        if named_by is None:
            _require_possible(path, number, lines, answers, finished=finished)
            ahead += 1
        elif named_by != number:
            raise Corrupt(f"{path}: decision {named_by} names line {lines} of deliberation {number}")
    for digest, number in missing.items():
        if number in answers.lost:
            continue
        gone = f"the line {digest.decode()}… that decision {number} names is missing"
        raise Corrupt(f"{path}: {gone}; restore the file")
    torn_bytes = torn_tail_bytes(path) if path.is_file() else 0
    if torn_bytes and finished:
        raise Corrupt(f"{path}: it ends with {torn_bytes} bytes of a torn line; restore the file")
    if not lines and not torn_bytes and not missing:
        return RecordPart("none, and no decision names one")
    further = f", {ahead} of no decision in the journal" if ahead else ""
    torn = f", {torn_bytes} bytes of a torn last line left out" if torn_bytes else ""
    lost = f", {len(missing)} that a restart found missing" if missing else ""
    named = len(answers.named) - len(missing)
    counts = {
        "lines": lines,
        "named": named,
        "unnamed": ahead,
        "lost": len(missing),
        "torn_bytes": torn_bytes,
    }
    return RecordPart(f"{lines} lines, {named} named by decisions{further}{lost}{torn}", counts=counts)


def _digests(path: Path, answers: _Answers) -> Iterator[tuple[int, bytes]]:
    if exists(path):
        return ((number, _digest(text)) for number, text in read_hashes(path))
    if not answers.lost.issuperset(answers.named.values()):
        raise Corrupt(f"{path} is missing, but decisions name {len(answers.named)} lines of it; restore it")
    return iter(())


def _digest(text: str) -> bytes:
    return text[: 2 * DIGEST_BYTES].encode()


def _require_possible(path: Path, number: int, line: int, answers: _Answers, *, finished: bool) -> None:
    if not answers.may_lack(number, finished=finished):
        raise Corrupt(f"{path}: line {line} of deliberation {number} was added, no decision names it")


def _results(folder: RunFolder, claims: ResultProjection, account: _Account) -> RecordPart:
    claims.check(folder)
    if (kept := folder.kept_summary()) and kept != folder.summarize():
        raise Corrupt(f"{folder.path / SUMMARY} does not fit {folder.results.name}; delete it")
    if claims.result is None or not folder.results.is_file():
        return RecordPart("no results.json yet")
    series = account.equity_series(folder)
    if series is None:
        return RecordPart(
            "results.json fits the journal; its equity series needs the tape and is not checked"
        )
    check_equity_series(folder, series)
    return RecordPart("results.json fits the journal")


def require_head(found: RecordCheck, head: str) -> None:
    """Compares the head of a record with one that was kept elsewhere, or its first 16 digits or more.

    Raises Misconfigured for a text that is no hash, Corrupt if it is another.
    """
    wanted = head.strip().lower()
    if not 16 <= len(wanted) <= 64 or set(wanted) - set("0123456789abcdef"):
        raise Misconfigured(
            f"--head {one_line(head, SHOWN_CHARS)}: write the 64 hex digits that verify prints"
        )
    if not found.head.startswith(wanted):
        raise Corrupt(
            f"the head of {found.run} is {found.head}, not {wanted}: "
            "the record is another, or was changed or continued since"
        )


def check_as_dict(found: RecordCheck) -> dict[str, Any]:
    """Returns the verification as JSON values; `damage` of a part is null where it is intact."""
    parts = {
        name: {"summary": part.summary, "damage": part.damage or None} | part.counts
        for name, part in found.parts.items()
    }
    return {
        "run": found.run,
        "intact": not found.damage,
        "lines": found.lines,
        "head": found.head,
        "finished": found.finished,
        "torn_bytes": found.torn_bytes,
    } | parts
