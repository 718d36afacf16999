"""Run folders: published whole, with stored files checked by their names."""

import json
import os
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from autohedge.core.errors import Corrupt, Misconfigured, Unavailable
from autohedge.journal import Journal, RunFolder
from autohedge.journal.chain import BufferedStore
from autohedge.journal.folder import RunSummary, content_name, to_json
from autohedge.journal.genesis import FORMAT, Genesis, StudyMark


def _published(run_id: str) -> RunFolder:
    folder = RunFolder.create_draft(run_id)
    Journal.begin(BufferedStore(folder.journal), {"format": 1}).close()
    return folder.publish(run_id)


def test_a_folder_appears_in_runs_only_once_it_is_whole(workplace: Path) -> None:
    draft = RunFolder.create_draft("r1")
    name = draft.store_file(b"settings", ".json")
    Journal.begin(BufferedStore(draft.journal), {"format": 1}).close()
    assert not Path("runs").exists()
    folder = draft.publish("r1")
    assert folder.path == Path("runs/r1") and folder.id == "r1"
    assert [path.name for path in Path().iterdir()] == ["runs"]
    assert folder.journal.is_file() and folder.stored_file(name).read_bytes() == b"settings"


def test_discarded_draft_leaves_no_files(workplace: Path) -> None:
    draft = RunFolder.create_draft("r1")
    draft.store_file(b"settings", ".json")
    draft.discard()
    assert list(Path().iterdir()) == []


def test_draft_where_none_can_be_created_is_unavailable(workplace: Path) -> None:
    Path(".runs-r1").write_text("in the way")
    with pytest.raises(Unavailable, match="run where you may write"):
        RunFolder.create_draft("r1")


def test_two_runs_never_share_a_folder(workplace: Path) -> None:
    _published("r1")
    with pytest.raises(OSError, match="not empty"):
        _published("r1")
    assert RunFolder.find("r1").journal.is_file()


def test_stored_file_is_named_by_its_content(workplace: Path) -> None:
    folder = RunFolder.create_draft("r1")
    name = folder.store_file(b"abc", ".json")
    # BLAKE2b-256 of "abc", its first 32 hex digits.
    assert name == "bddd813c634239723171ef3fee98579b.json"
    assert folder.store_file(b"abc", ".json") == name
    assert folder.store_file(b"abd", ".json") != name
    assert len(list((folder.path / "files").iterdir())) == 2


def test_a_changed_file_is_found(workplace: Path) -> None:
    folder = RunFolder.create_draft("r1")
    name = folder.store_file(b"abc", ".json")
    (folder.path / "files" / name).write_bytes(b"abd")
    with pytest.raises(Corrupt, match=f"{name} was changed"):
        folder.stored_file(name)


def test_a_missing_file_is_found(workplace: Path) -> None:
    name = content_name(b"abc", ".json")
    with pytest.raises(Corrupt, match=f"{name} is missing"):
        RunFolder.create_draft("r1").stored_file(name)


def test_results_come_back_as_they_were_written(workplace: Path) -> None:
    folder = _published("r1")
    assert folder.read_results() is None
    folder.write_results({"cash": "10000.10", "symbols": ["Ä/USD"], "codes": {"entry": 2}})
    assert folder.read_results() == {"cash": "10000.10", "symbols": ["Ä/USD"], "codes": {"entry": 2}}
    folder.write_results({"cash": "1"})
    assert folder.read_results() == {"cash": "1"}
    assert {path.name for path in folder.path.iterdir()} == {"files", "journal.jsonl", "results.json"}


def test_results_that_cannot_be_written_leave_the_old_ones_whole(workplace: Path) -> None:
    folder = _published("r1")
    folder.write_results({"cash": "1"})
    with pytest.raises(TypeError):
        folder.write_results({"cash": object()})
    assert folder.read_results() == {"cash": "1"}


def test_results_replace_the_file_instead_of_writing_into_it(workplace: Path) -> None:
    folder = _published("r1")
    folder.write_results({"cash": "1"})
    Path("kept").hardlink_to(folder.results)
    folder.write_results({"cash": "2"})
    assert json.loads(Path("kept").read_text()) == {"cash": "1"}


def _results(**changes: object) -> dict[str, object]:
    figures = {"symbols": ["A"], "quotes": 9, "buys": 2, "sells": 1, "equity": "10000.10"}
    return figures | {"fills": [{"qty": "1"}] * 500} | changes


def test_a_summary_is_kept_beside_the_results_and_small(workplace: Path) -> None:
    folder = _published("r1")
    assert folder.read_summary() is None
    folder.write_results(_results())
    kept = folder.path / "summary.json"
    assert kept.stat().st_size < 200
    assert folder.read_summary() == RunSummary(["A"], 9, 2, 1, Decimal("10000.10"))


def test_a_summary_of_an_older_run_is_made_once(workplace: Path) -> None:
    folder = _published("r1")
    folder.results.write_text(json.dumps(_results()))
    first = folder.read_summary()
    made = (folder.path / "summary.json").stat()
    assert first and folder.read_summary() == first == folder.kept_summary()
    assert (folder.path / "summary.json").stat() == made


def test_a_summary_of_other_results_is_made_again(workplace: Path) -> None:
    folder = _published("r1")
    folder.write_results(_results())
    folder.write_results(_results(buys=1000))
    folder.results.write_text(json.dumps(_results(buys=77)))
    summary = folder.read_summary()
    assert summary and summary.buys == 77


@pytest.mark.parametrize("content", ["", "[]", '{"of": [1, 2], "summary": 3}'])
def test_an_invalid_summary_is_made_again(workplace: Path, content: str) -> None:
    folder = _published("r1")
    folder.write_results(_results())
    (folder.path / "summary.json").write_text(content)
    summary = folder.read_summary()
    assert summary and summary.quotes == 9


def test_a_summary_of_damaged_results_is_corrupt(workplace: Path) -> None:
    folder = _published("r1")
    folder.write_results(_results(equity="much"))
    with pytest.raises(Corrupt, match=r"results\.json is damaged"):
        folder.read_summary()


def test_damaged_results_are_corrupt(workplace: Path) -> None:
    folder = _published("r1")
    folder.results.write_text('{"cash": ')
    with pytest.raises(Corrupt, match=r"results\.json is damaged"):
        folder.read_results()


def test_json_is_written_the_same_way_every_time() -> None:
    assert (
        to_json({"b": 1, "a": "é"}) == to_json({"a": "é", "b": 1}) == '{\n  "a": "é",\n  "b": 1\n}\n'.encode()
    )


def test_a_run_is_found_by_its_id_and_by_its_path(workplace: Path) -> None:
    folder = _published("20240101T000000-momentum-abc")
    assert RunFolder.find(folder.id).path == folder.path
    assert RunFolder.find(f"runs/{folder.id}").journal == folder.journal
    assert RunFolder.find(str(folder.path.resolve())).id == folder.id


def test_a_run_that_is_not_there_names_the_newest(workplace: Path) -> None:
    with pytest.raises(Misconfigured, match="there is no run r9; there are no runs here yet"):
        RunFolder.find("r9")
    for run_id in ("20240102T000000-b", "20240101T000000-a"):
        _published(run_id)
    with pytest.raises(Misconfigured, match="there is no run r9; the newest is 20240102T000000-b"):
        RunFolder.find("r9")
    assert RunFolder.find("last").id == "20240102T000000-b"


def _studied(run_id: str, of: str) -> RunFolder:
    """Publishes a run that a what-if simulated."""
    genesis = Genesis(FORMAT, "0.2", "c", "3", "2", "0", "p", "s", None, [], study=StudyMark(of, "variant"))
    draft = RunFolder.create_draft(run_id)
    Journal.begin(BufferedStore(draft.journal), msgspec.structs.asdict(genesis)).close()
    return draft.publish(run_id)


def _stored_at(folder: RunFolder, ts_s: int) -> RunFolder:
    """Stores the settings of a run, as if at this time."""
    path = folder.path / "files" / folder.store_file(b"{}", ".json")
    os.utime(path, (ts_s, ts_s))
    return folder


def test_runs_are_in_the_order_of_their_start_whatever_their_names(workplace: Path) -> None:
    by_results = _published("zz")
    by_results.write_results({"fills": [], "run": "20240102T000000-x-1"})
    by_file = _stored_at(_published("a"), 1_704_240_000)  # 2024-01-03
    by_name = _published("mine-20240104T000000")
    oldest = _published("20240101T000000-x-1")
    assert [folder.id for folder in RunFolder.all()] == [oldest.id, by_results.id, by_file.id, by_name.id]
    by_name.path.rename("moved")
    assert RunFolder.find("last").id == by_file.id


def test_runs_of_one_second_are_in_the_order_of_their_files(workplace: Path) -> None:
    later = _stored_at(_published("20240101T000000-a"), 1_704_067_202)
    first = _stored_at(_published("20240101T000000-b"), 1_704_067_201)
    assert [folder.id for folder in RunFolder.all()] == [first.id, later.id]


def test_renamed_run_keeps_its_place(workplace: Path) -> None:
    _stored_at(_published("20240101T000000-a"), 1_704_067_200)
    newest = _stored_at(_published("20240102T000000-a"), 1_704_153_600)
    (workplace / "runs/20240101T000000-a").rename("runs/kept")
    newest.results.write_text("{")  # damaged results say nothing about the start
    newest.path.rename("runs/best")
    assert [folder.id for folder in RunFolder.all()] == ["kept", "best"]


def test_last_is_a_preferred_run_where_there_is_one(workplace: Path) -> None:
    first, _, newest = map(_published, ("20240101T000000-a", "20240102T000000-a", "20240103T000000-a"))
    assert RunFolder.find("last", lambda folder: folder.id == first.id).id == first.id
    assert RunFolder.find("last", lambda _: False).id == newest.id
    assert RunFolder.find(newest.id, lambda folder: folder.id == first.id).id == newest.id


def test_a_run_outside_runs_is_named_by_its_path(workplace: Path) -> None:
    folder = _published("r1")
    assert folder.argument == RunFolder.find("runs/r1").argument == "r1"
    folder.path.rename("kept")
    assert RunFolder.find("kept").argument == "./kept"
    assert RunFolder.find(str(workplace / "kept")).argument == str(workplace / "kept")


def test_last_passes_over_the_runs_of_a_what_if(workplace: Path) -> None:
    own = _published("20240101T000000-a")
    variant = _studied("20240102T000000-a", own.id)
    assert variant.study == StudyMark(own.id, "variant") and own.study is None
    assert RunFolder.find("last").id == own.id
    assert RunFolder.find(variant.id).path == variant.path
    assert [folder.id for folder in RunFolder.all()] == [own.id, variant.id]
    with pytest.raises(Misconfigured, match=f"there is no run r9; the newest is {own.id}"):
        RunFolder.find("r9")


def test_last_without_a_run_of_the_user_names_the_newest(workplace: Path) -> None:
    variant = _studied("20240102T000000-a", "20240101T000000-a")
    with pytest.raises(Misconfigured, match=f"there is no run last; the newest is {variant.id}"):
        RunFolder.find("last")


def test_a_run_with_a_damaged_genesis_is_still_the_last(workplace: Path) -> None:
    _published("20240101T000000-a")
    damaged = _published("20240102T000000-a")
    damaged.journal.write_bytes(b'{"genesis": \n')
    assert RunFolder.find("last").id == damaged.id


def test_a_folder_without_a_journal_is_no_run(workplace: Path) -> None:
    Path("runs/r1").mkdir(parents=True)
    with pytest.raises(Misconfigured, match="there is no run r1"):
        RunFolder.find("r1")


def test_file_stored_during_the_run_is_never_written_twice(workplace: Path) -> None:
    folder = RunFolder.create_draft("r1").publish("r1")
    name = folder.store_file(b"text", ".md")
    path = folder.stored_file(name)
    before = path.stat()
    assert folder.store_file(b"text", ".md") == name
    assert path.stat().st_mtime_ns == before.st_mtime_ns and path.stat().st_ino == before.st_ino
    assert [each.name for each in path.parent.iterdir()] == [name]
    path.unlink()
    path.parent.rmdir()
    with pytest.raises(Unavailable, match="make room"):
        folder.store_file(b"other", ".md")


def test_launch_options_are_read_back(workplace: Path) -> None:
    folder = _published("r1")
    assert folder.read_launch() == {}
    folder.write_launch({"speed": 5.0, "venue_id": "v"})
    assert folder.read_launch() == {"speed": 5.0, "venue_id": "v"}


def test_damaged_launch_options_are_corrupt(workplace: Path) -> None:
    folder = _published("r1")
    (folder.path / "launch.json").write_text("{")
    with pytest.raises(Corrupt, match=r"launch\.json is damaged"):
        folder.read_launch()
