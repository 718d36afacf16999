"""The verification of a whole record: each part is checked, and what is wrong in it is named."""

import json
import shutil
from collections.abc import Callable
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest

from autohedge.app import engine_for, finish_run, open_record, replay_engine, tape_for
from autohedge.app.records import RunRecord
from autohedge.app.trading_run import TradingRun
from autohedge.app.verification import check_as_dict, check_record, require_head
from autohedge.core.errors import Corrupt, Misconfigured
from autohedge.core.events import EndOfTape, ExecutionReport, OrderMassStatus, RunStarted, VenueOrderStatus
from autohedge.core.orders import BUY, GTC, LIMIT
from autohedge.core.results import ProcessFigures
from autohedge.journal import Journal, RunFolder
from autohedge.journal.chain import BufferedStore
from autohedge.runtime.observers import NullObserver
from autohedge.runtime.run_view import RunView
from tests.audit.run_factory import recorded
from tests.forged_record_factory import Lines, first, rewrite
from tests.made_once import recorded_once
from tests.run_harness import settings


@pytest.fixture
def folder(session_folder: Path, tmp_path: Path) -> RunFolder:
    """A copy of a finished run whose agents answered by rules."""
    run = recorded_once(session_folder / "verified", lambda: recorded("synthetic.hours=0.1"))
    return RunFolder(Path(shutil.copytree(run.path, tmp_path / run.id)))


def damaged_part(folder: RunFolder) -> tuple[str, str]:
    """Returns the name of the only damaged part, and what is wrong with it."""
    ((name, part),) = [each for each in check_record(folder).parts.items() if each[1].damage]
    return name, part.damage


def _kept_lines(folder: RunFolder) -> list[bytes]:
    return folder.transcript.read_bytes().splitlines(keepends=True)


def test_an_intact_record_has_every_part(folder: RunFolder) -> None:
    found = check_record(folder)
    assert not found.damage and set(found.parts) == {"journal", "files", "tape", "transcript", "results"}
    assert found.head == json.loads(folder.results.read_bytes())["journal_head"]
    counts = found.parts["transcript"].counts
    assert counts["lines"] == counts["named"] == len(_kept_lines(folder)) > 5
    assert check_as_dict(found)["transcript"]["damage"] is None


DAMAGES: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "that decision": lambda lines: [],
    "names is missing": lambda lines: lines[:-1],
    "line 3 is damaged": lambda lines: [*lines[:2], lines[2].replace(b'"tries":', b'"fries":'), *lines[3:]],
    "was added": lambda lines: [*lines, lines[0]],
    "line 1 is damaged: a text": lambda lines: [lines[0].replace(b"You watch", b"You witch"), *lines[1:]],
    "line 1 lacks the text": lambda lines: lines[1:],
    "ends with 9 bytes": lambda lines: [*lines, b'{"deliber'],
}


@pytest.mark.parametrize("named", DAMAGES)
def test_a_changed_transcript_is_named(folder: RunFolder, named: str) -> None:
    folder.transcript.write_bytes(b"".join(DAMAGES[named](_kept_lines(folder))))
    name, damage = damaged_part(folder)
    assert name == "transcript" and named in damage


def test_a_missing_transcript_is_named(folder: RunFolder) -> None:
    folder.transcript.unlink()
    name, damage = damaged_part(folder)
    assert name == "transcript" and "transcript.jsonl is missing, but decisions name" in damage


def test_lines_beyond_an_unfinished_record_are_counted(folder: RunFolder) -> None:
    folder.results.unlink()
    whole = folder.journal.read_bytes().splitlines(keepends=True)
    folder.journal.write_bytes(b"".join(whole[: len(whole) // 2]))
    found = check_record(folder)
    counts = found.parts["transcript"].counts
    assert not found.damage and not found.finished
    assert counts["unnamed"] == counts["lines"] - counts["named"] > 0


@pytest.mark.parametrize("last_number", [0, 900])
def test_lines_that_a_restart_lost_are_counted(folder: RunFolder, last_number: int) -> None:
    def lose(lines: Lines) -> None:
        decision = first(lines, type="decision")
        number = decision["event"]["number"]
        lost = [line for line in lines if line.get("event", {}).get("number") == number]
        at = lines.index(lost[0])
        event = {"type": "restarted", "at_ns": 1, "pos": 0, "nonce": "n", "last_number": last_number}
        lines[at] = lost[0] | {"io": "in", "event": event}
        for line in lost[1:]:
            lines.remove(line)
        results = json.loads(folder.results.read_bytes()) | {"journal_lines": len(lines)}
        folder.write_results(results)

    rewrite(folder, lose)
    if last_number:
        assert not check_record(folder).damage
        assert check_record(folder).parts["transcript"].counts["unnamed"] > 0
    else:
        assert "no decision names it" in damaged_part(folder)[1]


def test_keys_added_to_the_results_or_changed_are_named(folder: RunFolder) -> None:
    results = json.loads(folder.results.read_bytes())
    folder.write_results(results | {"sharpe": 9, "agents": results["agents"] | {"grade": "A"}, "equity": "1"})
    name, damage = damaged_part(folder)
    assert name == "results"
    assert "equity is '1', but the journal has" in damage
    assert "sharpe was added" in damage and "'agents.grade' was added" in damage
    with pytest.raises(Corrupt, match="sharpe was added"):
        replay_engine(folder)


@pytest.mark.parametrize("value", [False, 0.0])
def test_a_result_of_another_type_is_named(folder: RunFolder, value: object) -> None:
    results = json.loads(folder.results.read_bytes())
    folder.write_results(results | {"seed": value})
    assert f"seed is {value}, but the journal has 0" in damaged_part(folder)[1]


def test_a_key_that_is_there_twice_is_named(folder: RunFolder) -> None:
    folder.results.write_text(folder.results.read_text().replace("{", '{"equity": "900000",', 1))
    assert "equity is there twice" in damaged_part(folder)[1]


def test_results_without_a_key_or_fills_are_named(folder: RunFolder) -> None:
    results = json.loads(folder.results.read_bytes())
    del results["cash"], results["fills"]
    folder.write_results(results)
    assert "cash is missing" in damaged_part(folder)[1]


def test_a_summary_that_does_not_fit_is_named(folder: RunFolder) -> None:
    folder.read_summary()
    kept = folder.path / "summary.json"
    kept.write_text(kept.read_text().replace('"equity":"', '"equity":"9'))
    assert "summary.json does not fit results.json" in damaged_part(folder)[1]


@pytest.mark.parametrize("suffix", [".json", ".md"])
def test_a_changed_stored_file_is_named(folder: RunFolder, suffix: str) -> None:
    path = next(path for path in folder.files() if path.suffix == suffix)
    path.write_bytes(path.read_bytes() + b" ")
    assert any(path.name in damage for damage in check_record(folder).damage)


def test_a_missing_prompt_is_named(folder: RunFolder) -> None:
    path = next(path for path in folder.files() if path.suffix == ".md")
    path.unlink()
    assert damaged_part(folder) == ("files", f"{path} is missing, but the journal names it; restore the file")


def test_damage_to_the_journal_is_named_beside_that_of_files(folder: RunFolder) -> None:
    next(path for path in folder.files() if path.suffix == ".md").write_bytes(b"other")
    folder.journal.write_bytes(folder.journal.read_bytes().replace(b'"pos":', b'"qos":', 1))
    found = check_record(folder)
    assert [name for name, part in found.parts.items() if part.damage] == ["journal", "files"]


def test_a_kept_head_is_compared_whole_or_by_its_start(folder: RunFolder) -> None:
    found = check_record(folder)
    require_head(found, found.head)
    require_head(found, f" {found.head[:16].upper()}\n")
    with pytest.raises(Corrupt, match="the record is another, or was changed"):
        require_head(found, "0" * 64)
    for wrong in ("", found.head[:15], found.head + "0", "no hash at all, really"):
        with pytest.raises(Misconfigured, match="write the 64 hex digits"):
            require_head(found, wrong)


def test_a_missing_tape_is_counted_and_no_damage(folder: RunFolder) -> None:
    def point_to_a_file(lines: Lines) -> None:
        lines[0]["genesis"]["tape"][0] |= {"path": "/nowhere/quotes.parquet", "recipe": None}

    rewrite(folder, point_to_a_file)
    tape = check_record(folder).parts["tape"]
    assert not tape.damage and tape.counts["missing"] == 1 and "/nowhere/quotes.parquet" in tape.summary


def test_a_changed_tape_is_damage(folder: RunFolder, tmp_path: Path) -> None:
    path = tmp_path / "quotes.csv"
    path.write_text("ts,bid,ask\n1,2,3\n")

    def point_to_it(lines: Lines) -> None:
        lines[0]["genesis"]["tape"][0] |= {"path": str(path), "recipe": None}

    rewrite(folder, point_to_it)
    assert "differs from the recorded tape" in check_record(folder).parts["tape"].damage


def test_record_with_fills_from_before_the_adoption_of_their_order_is_intact(workplace: Path) -> None:
    wanted = settings(synthetic__hours=1 / 60, reconciliation__external="adopt")
    tape = tape_for(wanted, [])
    engine = engine_for(wanted, tape)
    engine.step(RunStarted("n"))
    engine.scan(tape.rows, 0, 100)  # every symbol has a price
    now_ns, zero, price = engine.now_ns, Decimal(0), Decimal(100)
    for trade in ("t1", "t2"):
        engine.step(ExecutionReport(now_ns, "theirs", "fill", now_ns, trade, Decimal("0.3"), price, zero))
    found = VenueOrderStatus("theirs", tape.symbols[0], BUY, LIMIT, GTC, price, Decimal(1), zero, "open")
    engine.step(OrderMassStatus(now_ns, now_ns, (found,)))
    engine.step(EndOfTape())
    folder, head = open_record(wanted, tape)
    with closing(Journal(BufferedStore(folder.journal), head, 1)) as journal:
        for entry in engine.log:
            journal.append(entry)
        journal.sync()
        observer = NullObserver(RunView(engine, tape.rows), folder.id)
        run = TradingRun(wanted, tape, engine, RunRecord(folder, journal), observer, None)
        results = finish_run(run, ProcessFigures())
    assert len(results.fills) == 2
    assert not check_record(folder).damage
