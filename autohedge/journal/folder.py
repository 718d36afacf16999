"""The folder of a run: settings and other files named by their hash, the journal, the results."""

import contextlib
import json
import os
import re
import shutil
from collections.abc import Callable, Mapping
from decimal import Decimal
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec

from autohedge.core.clock import compact_utc
from autohedge.core.errors import Corrupt, Misconfigured, Unavailable
from autohedge.core.results import RunReport
from autohedge.core.text import one_line
from autohedge.journal.chain import read
from autohedge.journal.genesis import Genesis, StudyMark

LAST = "last"
RUNS = Path("runs")
JOURNAL, RESULTS, FILES, TAPE, LAUNCH = "journal.jsonl", "results.json", "files", "tape", "launch.json"
TRANSCRIPT, SUMMARY = "transcript.jsonl", "summary.json"
REWRITTEN = "delete the file, and a restart of the run writes it again"

_BEGUN = re.compile(r"(?<!\d)\d{8}T\d{6}(?!\d)")  # as `compact_utc` writes it


class _RunId(msgspec.Struct):
    """The part of the results that names the run: its folder's name when it was finished."""

    run: str = ""


def content_name(content: bytes, suffix: str) -> str:
    """Returns the name of a file by its content: the first 32 hex digits of its BLAKE2b-256."""
    return blake2b(content, digest_size=32).hexdigest()[:32] + suffix


def to_json(value: Mapping[str, Any]) -> bytes:
    """Returns readable JSON with a stable order of keys."""
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False).encode() + b"\n"


def sync_names(folder: Path) -> None:
    """Makes the names in a folder survive a power failure."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_synced(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


class RunSummary(msgspec.Struct, frozen=True):
    """What a list of runs shows of one: figures of its results, without its fills."""

    symbols: list[str]
    quotes: int
    buys: int
    sells: int
    equity: Decimal


class _KeptSummary(msgspec.Struct, frozen=True):
    """A summary as it is kept, with size and time of the results that it was made of."""

    of: tuple[int, int]
    summary: RunSummary


class RunFolder:
    """The folder of one run; `docs/record.md` lists its content."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.journal = path / JOURNAL
        self.results = path / RESULTS
        self.tape = path / TAPE
        self.transcript = path / TRANSCRIPT

    @property
    def id(self) -> str:
        """The run's id: the folder's name."""
        return self.path.name

    @property
    def argument(self) -> str:
        """What names the run on the command line: its id if it is in `./runs`, else its path."""
        if self.path.parent == RUNS:
            return self.id
        return str(self.path) if os.sep in str(self.path) else f".{os.sep}{self.path}"

    @property
    def begun(self) -> tuple[str, int]:
        """When the run began, to sort by: its second in UTC, and the time in ns of its oldest file.

        The genesis has no wall time, so that runs of one seed have the same journal. The second is in the
        run's id, and in its results if the folder was renamed. A renamed run without results has that of its
        oldest file: stored files are never written again, and moving a folder keeps their times.
        """
        oldest_ns = min(path.stat().st_mtime_ns for path in [*self.path.glob(f"{FILES}/*"), self.journal])
        second = _BEGUN.search(self.id) or _BEGUN.search(self._recorded_id())
        return second[0] if second else compact_utc(oldest_ns), oldest_ns

    def _recorded_id(self) -> str:
        try:
            return msgspec.json.decode(self.results.read_bytes(), type=_RunId).run
        except (OSError, msgspec.MsgspecError):
            return ""

    @property
    def study(self) -> StudyMark | None:
        """The mark of a run that a what-if simulated; None for others and for an unreadable genesis."""
        try:
            genesis = next(read(self.journal)).genesis or {}
            return msgspec.convert(genesis.get("study"), StudyMark | None)
        except (Corrupt, msgspec.ValidationError, OSError):
            return None

    @classmethod
    def find(
        cls, run: str, preferred: "Callable[[RunFolder], bool]" = lambda _: False, root: Path = RUNS
    ) -> "RunFolder":
        """Returns the folder of a run by its id in the folder of runs `root`, or by its path.

        `last` is the newest in `root` that no what-if simulated, and among several the newest that is
        `preferred`. Raises Misconfigured if there is none, or if this version cannot read its format;
        Corrupt for a run without its journal.
        """
        folder = cls._find(run, preferred, root)
        with contextlib.suppress(Corrupt):  # a damaged genesis is found where the record is read
            Genesis.of(next(read(folder.journal)))
        return folder

    @classmethod
    def _find(cls, run: str, preferred: "Callable[[RunFolder], bool]", root: Path) -> "RunFolder":
        for path in (root / run, Path(run)):
            if (path / JOURNAL).is_file():
                return cls(path)
            if (path / FILES).is_dir():
                raise Corrupt(f"{path / JOURNAL} is missing; restore the file")
        known = cls.all(root)
        own = (folder for folder in reversed(known) if folder.study is None)
        last = next(own, None)
        if run == LAST and last:
            return next((folder for folder in (last, *own) if preferred(folder)), last)
        newest = last or (known[-1] if known else None)
        hint = f"the newest is {newest.id}" if newest else "there are no runs here yet"
        msg = f"there is no run {run}; {hint}"
        raise Misconfigured(msg)

    @classmethod
    def all(cls, root: Path = RUNS) -> list["RunFolder"]:
        """Returns all runs in the folder of runs, oldest first."""
        paths = root.iterdir() if root.is_dir() else ()
        return sorted(
            (cls(path) for path in paths if (path / JOURNAL).is_file()), key=lambda each: each.begun
        )

    @classmethod
    def create_draft(cls, run_id: str, root: Path = RUNS) -> "RunFolder":
        """Creates an unfinished folder beside the folder of runs, whither `publish` moves it with its genesis.

        Raises Unavailable if the folder above that of runs cannot be written.
        """
        path = root.parent / f".{root.name}-{run_id}"
        try:
            (path / FILES).mkdir(parents=True)
        except OSError as error:
            place = root.parent.absolute()
            msg = f"cannot make a run folder in {place}: {error.strerror}; run where you may write"
            raise Unavailable(msg) from None
        return cls(path)

    def publish(self, run_id: str, root: Path = RUNS) -> "RunFolder":
        """Moves the draft to its place in one step, which survives a power failure wholly or not at all."""
        sync_names(self.path / FILES)
        sync_names(self.path)
        root.mkdir(exist_ok=True)
        published = RunFolder(self.path.rename(root / run_id))
        sync_names(root)
        sync_names(root.parent)
        return published

    def discard(self) -> None:
        """Deletes a draft that will not be published."""
        shutil.rmtree(self.path, ignore_errors=True)

    def store_file(self, content: bytes, suffix: str) -> str:
        """Stores a file under the hash of its content, whole or not at all; returns its name.

        A file that exists already is not written again. Raises Unavailable if it cannot be written.
        """
        name = content_name(content, suffix)
        path, draft = self.path / FILES / name, self.path / FILES / f"{name}.tmp"
        try:
            # Sync, rename, sync the folder: after a power failure the name never leads to partial content.
            if not path.is_file():
                _write_synced(draft, content)
                draft.replace(path)
                sync_names(path.parent)
        except OSError as error:
            raise Unavailable(f"cannot write {path}: {error.strerror}; make room") from None
        return name

    def stored_file(self, name: str) -> Path:
        """Returns the path of a stored file after checking its content against its name.

        Raises Corrupt if it is missing or was changed.
        """
        path = self.path / FILES / name
        if not path.is_file():
            msg = f"{path} is missing, but the journal names it; restore the file"
            raise Corrupt(msg)
        if content_name(path.read_bytes(), path.suffix) != name:
            msg = f"{path} was changed: its content does not match its name; restore the file"
            raise Corrupt(msg)
        return path

    def files(self) -> list[Path]:
        """Returns the paths of all stored files."""
        paths = sorted((self.path / FILES).iterdir()) if (self.path / FILES).is_dir() else []
        return [path for path in paths if path.is_file() and path.suffix != ".tmp"]

    def settings(self, name: str) -> dict[str, Any]:
        """Returns the settings that the run recorded under this name.

        Raises Corrupt if they are not a table.
        """
        try:
            values = json.loads(self.stored_file(name).read_bytes())
        except ValueError as error:
            raise Corrupt(f"{self.path / FILES / name} is damaged: {error}") from None
        if not isinstance(values, dict):
            raise Corrupt(f"{self.path / FILES / name} is damaged: it is not a table of settings")
        return values

    def write_launch(self, launch: Mapping[str, Any]) -> None:
        """Stores how the run was started: not part of the record, but repeated by a restart."""
        draft = (self.path / LAUNCH).with_suffix(".tmp")
        _write_synced(draft, to_json(launch))
        draft.replace(self.path / LAUNCH)
        # Before the first order: without it a restart could take another venue for that of the run.
        sync_names(self.path)

    def read_launch(self) -> dict[str, Any]:
        """Returns how the run was started; empty for a run in virtual time.

        Raises Corrupt if the file is damaged.
        """
        path = self.path / LAUNCH
        if not path.is_file():
            return {}
        try:
            launch = json.loads(path.read_bytes())
        except ValueError as error:
            raise Corrupt(f"{path} is damaged: {error}; restore the file") from None
        if not isinstance(launch, dict) or not launch:
            raise Corrupt(f"{path} is damaged: it does not have how the run was started; restore the file")
        return launch

    def write_results(self, results: RunReport | Mapping[str, Any]) -> None:
        """Writes `results.json`, whole or not at all."""
        draft = self.results.with_suffix(".tmp")
        content = msgspec.json.format(msgspec.json.encode(results, order="sorted"), indent=2)
        _write_synced(draft, content + b"\n")
        draft.replace(self.results)
        sync_names(self.path)
        # A list of runs can do without the summary, so that neither a full disk nor odd results matter here.
        with contextlib.suppress(OSError, Corrupt):
            self._write_summary(self.summarize())

    def read_summary(self) -> RunSummary | None:
        """Returns the summary of the results, and keeps it if it is not there; None for an unfinished run.

        Raises Corrupt if the results are damaged.
        """
        if not self.results.is_file():
            return None
        if kept := self.kept_summary():
            return kept
        summary = self.summarize()
        with contextlib.suppress(OSError):  # somebody else's folder may not be writable
            self._write_summary(summary)
        return summary

    def kept_summary(self) -> RunSummary | None:
        """Returns the kept summary; None if there is none, or if the results were written since."""
        try:
            kept = msgspec.json.decode((self.path / SUMMARY).read_bytes(), type=_KeptSummary)
            return kept.summary if kept.of == self._results_stamp() else None
        except (OSError, msgspec.MsgspecError):
            return None

    def summarize(self) -> RunSummary:
        """Returns the summary of the results, whose fills are passed over. Raises Corrupt if they are damaged."""
        try:
            return msgspec.json.decode(self.results.read_bytes(), type=RunSummary)
        except msgspec.MsgspecError as error:
            raise Corrupt(f"{self.results} is damaged: {error}") from None

    def _write_summary(self, summary: RunSummary) -> None:
        draft = (self.path / SUMMARY).with_suffix(".tmp")
        draft.write_bytes(msgspec.json.encode(_KeptSummary(self._results_stamp(), summary)) + b"\n")
        draft.replace(self.path / SUMMARY)

    def _results_stamp(self) -> tuple[int, int]:
        found = self.results.stat()
        return found.st_size, found.st_mtime_ns

    def read_results(self) -> dict[str, Any] | None:
        """Returns the results, or None for a run that did not finish.

        Raises Corrupt if the file is not a JSON object of results.
        """
        if not self.results.is_file():
            return None
        try:
            results: dict[str, Any] = json.loads(self.results.read_bytes())
        except ValueError as error:
            raise Corrupt(f"{self.results} is damaged: {error}; {REWRITTEN}") from None
        if not isinstance(results, dict) or not isinstance(results.get("fills", []), list):
            raise Corrupt(f"{self.results} is damaged: it does not have the results of a run; {REWRITTEN}")
        return results

    def read_report(self) -> RunReport | None:
        """Returns the results as values, or None for a run that did not finish; keys of others are ignored.

        Raises Corrupt if a value is missing or of another type.
        """
        if not self.results.is_file():
            return None
        try:
            return msgspec.json.decode(self.results.read_bytes(), type=RunReport)
        except msgspec.MsgspecError as error:
            raise Corrupt(f"{self.results} is damaged: {error}; {REWRITTEN}") from None

    def require_single_keys(self) -> None:
        """Raises Corrupt if the results name a key twice, which readers take differently."""
        json.loads(self.results.read_bytes(), object_pairs_hook=self._single)

    def _single(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        single = dict(pairs)
        if len(single) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise Corrupt(f"{self.results}: {one_line(twice, 80)} is there twice")
        return single
