"""A killed run whose files a power failure has cut, emptied or deleted, one by one and in pairs.

A restart either goes on, and the whole record is sound at the end, or it is refused with one line that names the
file and the cure, and has changed nothing.

| file | damage | run in virtual time | run on a clock |
|---|---|---|---|
| `journal.jsonl` | cut, torn last line | goes on | goes on |
| `journal.jsonl` | emptied, deleted | refused | refused |
| `transcript.jsonl` | cut, emptied, deleted | refused, unless no decision needs what is missing | goes on |
| `transcript.jsonl` | torn last line | goes on | goes on |
| `launch.json` | cut, emptied | - | refused |
| stored settings and prompts | any | refused | refused |
| `reserve`, `summary.json` | any | goes on | goes on |
"""

import json
import shutil
import socket
from collections.abc import Callable
from itertools import combinations, product
from pathlib import Path
from typing import Any

import pytest

from autohedge import app
from autohedge.app import wall_run
from autohedge.app.restart import restart
from autohedge.app.verification import check_record
from autohedge.app.wall_run import LaunchOptions
from autohedge.audit.audit import audit
from autohedge.audit.conversations import AuditFilter
from autohedge.config import Settings
from autohedge.core.errors import AutoHedgeError, Corrupt
from autohedge.core.events import Decision, Restarted
from autohedge.journal import RunFolder, read
from autohedge.journal.genesis import Genesis
from tests.forged_record_factory import Lines, rewrite
from tests.graph.record_factory import ANSWER, TIGHT
from tests.made_once import recorded_once
from tests.process_harness import ProcessHarness
from tests.run_harness import settings

MODES = ("hft", "hybrid", "llm")
Damage = Callable[[Path], object]


def _cut(part: float) -> Damage:
    def cut(path: Path) -> None:
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * part)])

    return cut


def _cut_between_lines(path: Path) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[: len(lines) * 2 // 3]))


def _tear(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b'{"seq":')


CUTS: dict[str, Damage] = {
    "near its end": _cut(0.95),
    "between lines": _cut_between_lines,
    "in the middle": _cut(0.5),
}
DAMAGES: dict[str, Damage] = CUTS | {
    "torn": _tear,
    "emptied": lambda path: path.write_bytes(b""),
    "deleted": lambda path: path.unlink(missing_ok=True),
}


def _wanted(mode: str) -> Settings:
    Path("script.jsonl").write_text(f"{json.dumps(ANSWER)}\n" * 400)
    small: dict[str, Any] = TIGHT | {
        "trading__mode": f'"{mode}"',
        "synthetic__hours": 0.04,
        "synthetic__symbols": '["BTC/USD"]',
        "hybrid__gate_refresh_quotes": 40,
        "hybrid__min_refresh_s": 0,
        "hybrid__learn_every_trades": 1,
        "llm__min_interval_s": 8,
        "llm__provider": '"rules"',
        "agents__director__min_confidence_pct": 0,
    }
    scripted = {"llm__provider": '"scripted"', "llm__script": '"script.jsonl"'}
    return settings(**small | (scripted if mode == "hybrid" else {}))


def _record(mode: str, *, on_clock: bool) -> None:
    wanted = _wanted(mode)
    tape = app.tape_for(wanted, [])
    if on_clock:
        wall_run.start(wanted, tape, LaunchOptions(), seeded=True)
    else:
        app.run(wanted, tape)


Kill = Callable[..., RunFolder]


@pytest.fixture
def kill(session_folder: Path, workplace: Path) -> Kill:
    """Makes copies of a run as the death of its process leaves it, in the middle of the run."""
    numbers = iter(range(1000))

    def copy(mode: str, *, on_clock: bool) -> RunFolder:
        place = session_folder / f"damaged-{mode}-{on_clock}"
        whole = recorded_once(place, lambda: _record(mode, on_clock=on_clock))
        shutil.copy(place / "script.jsonl", "script.jsonl")
        left = RunFolder(Path(shutil.copytree(whole.path, Path("runs") / f"{whole.id}-{next(numbers)}")))
        left.results.unlink()
        lines = left.journal.read_bytes().splitlines(keepends=True)
        left.journal.write_bytes(b"".join(lines[: len(lines) * 3 // 4]))
        if left.transcript.is_file():
            decided = sum(isinstance(line.event, Decision) for line in read(left.journal))
            whole_lines = left.transcript.read_bytes().splitlines(keepends=True)
            kept = [raw for raw in whole_lines if json.loads(raw)["deliberation"] <= decided + 1]
            left.transcript.write_bytes(b"".join(kept))
        (left.path / "reserve").write_bytes(b"0")
        return left

    return copy


def _files(folder: RunFolder) -> dict[str, Path]:
    """Returns the files to damage by what they are."""
    genesis = Genesis.of(next(read(folder.journal)))
    files = {"journal": folder.journal, "settings": folder.stored_file(genesis.settings)}
    if genesis.agents_manifest.prompts:
        prompt = folder.stored_file(genesis.agents_manifest.prompts["director"])
        files |= {"transcript": folder.transcript, "prompt": prompt}
    else:
        files |= {name: folder.path / name for name in ("reserve", "summary.json")}
    return files | ({"launch": folder.path / "launch.json"} if folder.read_launch() else {})


def _content(folder: RunFolder) -> dict[str, bytes]:
    paths = (path for path in folder.path.rglob("*") if path.is_file() and path.name != "reserve")
    return {str(path): path.read_bytes() for path in paths}


def _events(folder: RunFolder, kind: type) -> list[Any]:
    return [line.event for line in read(folder.journal) if isinstance(line.event, kind)]


def _require_sound(folder: RunFolder) -> None:
    found = check_record(folder)
    assert found.finished and found.damage == []
    assert app.replay_engine(folder) == (None, True)
    replay = app.replay_deliberations(folder)
    assert replay is None or replay.difference is None
    audit(folder, AuditFilter())


def _goes_on(folder: RunFolder, damaged: list[Path]) -> bool:
    """Restarts a run; returns whether that went on. A refusal must name a damaged file and change nothing."""
    before = _content(folder)
    try:
        restart(RunFolder.find(folder.id))
    except AutoHedgeError as error:
        text = str(error)
        assert any(str(path) in text for path in damaged), text
        assert "\n" not in text and any(cure in text for cure in ("restore", "delete")), text
        assert _content(folder) == before
        return False
    _require_sound(folder)
    return True


def _expected(file: str, damage: str, *, on_clock: bool) -> bool | None:
    """Returns whether a restart must go on; None where it depends on what was lost."""
    match file:
        case "journal":
            return damage in CUTS or damage == "torn"
        case "transcript":
            return True if on_clock or damage == "torn" else None
        case "launch":
            return None if damage == "deleted" else False
        case "settings" | "prompt":
            return False
    return True


@pytest.mark.parametrize("on_clock", [False, True])
@pytest.mark.parametrize("mode", MODES)
def test_restart_with_one_damaged_file_goes_on_or_names_it(mode: str, on_clock: bool, kill: Kill) -> None:
    for file, damage in product(_files(kill(mode, on_clock=on_clock)), DAMAGES):
        folder = kill(mode, on_clock=on_clock)
        path = _files(folder)[file]
        DAMAGES[damage](path)
        went_on, expected = _goes_on(folder, [path]), _expected(file, damage, on_clock=on_clock)
        assert expected in (None, went_on), (file, damage)


def test_restart_with_two_damaged_files_goes_on_or_names_one(kill: Kill) -> None:
    files = _files(kill("hybrid", on_clock=True))
    for one, two in combinations(files, 2):
        for damages in product(("in the middle", "emptied", "deleted"), repeat=2):
            folder = kill("hybrid", on_clock=True)
            paths = [_files(folder)[file] for file in (one, two)]
            for path, damage in zip(paths, damages, strict=True):
                DAMAGES[damage](path)
            went_on = _goes_on(folder, paths)
            expected = {
                _expected(file, each, on_clock=True) for file, each in zip((one, two), damages, strict=True)
            }
            assert went_on is (False not in expected) or None in expected, (one, two, damages)


def test_answers_found_missing_are_named_by_one_restart_only(kill: Kill) -> None:
    folder = kill("hybrid", on_clock=True)
    decided = _events(folder, Decision)
    folder.transcript.unlink()
    restart(folder)
    (first,) = _events(folder, Restarted)
    assert first.missing_answers == tuple(decision.number for decision in decided)
    folder.results.unlink()
    lines = folder.journal.read_bytes().splitlines(keepends=True)
    folder.journal.write_bytes(b"".join(lines[:-4]))
    after = [decision for decision in _events(folder, Decision) if decision not in decided]
    folder.transcript.unlink()
    restart(folder)
    assert _events(folder, Restarted)[1].missing_answers == tuple(decision.number for decision in after)
    _require_sound(folder)


def test_missing_answers_are_shown_and_every_other_loss_is_damage(kill: Kill) -> None:
    folder = kill("hybrid", on_clock=True)
    lost = len(_events(folder, Decision))
    folder.transcript.unlink()
    restart(folder)
    shown = audit(folder, AuditFilter(whole=100, last=100))
    assert shown.call_stats.lost == lost
    assert [each.number for each in shown.conversations if each.lost] == list(range(1, lost + 1))
    assert check_record(folder).parts["transcript"].counts["lost"] == lost
    replay = app.replay_deliberations(folder)
    assert replay and replay.lost == lost
    lines = folder.transcript.read_bytes().splitlines(keepends=True)
    folder.transcript.write_bytes(b"".join(lines[:-1]))
    assert "is missing; restore the file" in check_record(folder).parts["transcript"].damage
    with pytest.raises(Corrupt, match="is missing; restore the file"):
        audit(folder, AuditFilter())


def test_damaged_line_of_the_transcript_is_named_and_it_can_be_moved_away(kill: Kill) -> None:
    folder = kill("llm", on_clock=True)
    content = folder.transcript.read_bytes()
    folder.transcript.write_bytes(content.replace(b'"outcome"', b'"outc\0me"', 1))
    with pytest.raises(
        Corrupt, match="line 1 is damaged.*move transcript.jsonl and the folder transcript away"
    ):
        restart(folder)
    folder.transcript.rename("kept.jsonl")
    assert _goes_on(folder, [])


def test_journal_without_events_but_with_answers_is_refused(kill: Kill) -> None:
    folder = kill("hybrid", on_clock=True)
    folder.journal.write_bytes(folder.journal.read_bytes().splitlines(keepends=True)[0])
    assert not _goes_on(folder, [folder.journal])


def test_results_cut_by_a_power_failure_are_written_again_once_deleted(kill: Kill) -> None:
    folder = kill("hft", on_clock=True)
    restart(folder)
    whole = folder.results.read_bytes()
    folder.results.write_bytes(whole[:50])
    assert not _goes_on(folder, [folder.results])
    folder.results.unlink()
    assert _goes_on(folder, [])
    figures = [json.loads(each) for each in (whole, folder.results.read_bytes())]
    assert (
        figures[0]["fills"] == figures[1]["fills"]
        and figures[0]["journal_head"] == figures[1]["journal_head"]
    )


@pytest.mark.parametrize("launch", [None, b"{}", b"[]", b'{"speed": "fast"}'])
def test_run_on_a_clock_without_its_launch_is_refused(launch: bytes | None, workplace: Path) -> None:
    wanted = _wanted("hft")
    results = wall_run.start(wanted, app.tape_for(wanted, []), LaunchOptions(), seeded=False)
    folder = RunFolder.find(results.run)
    folder.results.unlink()
    path = folder.path / "launch.json"
    path.unlink() if launch is None else path.write_bytes(launch)
    with pytest.raises(Corrupt, match="is missing" if launch is None else "is damaged"):
        restart(folder)
    assert not _goes_on(folder, [path])


def test_seeded_run_with_a_command_but_without_its_launch_is_refused(workplace: Path) -> None:
    wanted = _wanted("hft")
    folder = RunFolder.find(app.run(wanted, app.tape_for(wanted, [])).run)

    def halt(lines: Lines) -> None:
        event = {"type": "operator_command", "at_ns": 0, "command": "halt", "reason": "lunch"}
        lines[10:] = [{**lines[9], "seq": lines[9]["seq"] + 1, "io": "in", "event": event}]

    rewrite(folder, halt)
    folder.results.unlink()
    with pytest.raises(Corrupt, match=r"launch\.json is missing"):
        restart(folder)


@pytest.mark.parametrize("file", ["journal", "settings", "prompt", "launch"])
def test_refused_restart_makes_no_connection_to_the_venue(file: str, kill: Kill, workplace: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as venue:
        venue.setblocking(False)
        folder = kill("llm", on_clock=True)
        folder.write_launch({"venue_port": venue.getsockname()[1], "venue_id": "a"})
        DAMAGES["emptied"](_files(folder)[file])
        done = ProcessHarness(workplace, {}).call("restart", folder.id)
        (line,) = done.stderr.splitlines()
        assert done.returncode == 1 and "restore the file" in line and done.stdout == ""
        with pytest.raises(BlockingIOError):
            venue.accept()
