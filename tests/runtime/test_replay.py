"""A record replays to the same outputs; a forged one is reported at its first difference."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from autohedge import app
from autohedge.app.verification import check_record
from autohedge.core.errors import Corrupt, Misconfigured
from autohedge.journal import RunFolder, verify, versions
from autohedge.market import Stream, SyntheticSpec, open_tape, parse_source, synthesize, write_parquet
from tests.forged_record_factory import Lines, content_hash, first, rewrite, rewrite_settings
from tests.run_harness import settings

TIGHT = {
    "momentum__min_edge_bps": 0.5,
    "exits__take_profit_bps": 3,
    "exits__stop_loss_bps": 2,
    "account__maker_bps": 2,
    "account__taker_bps": 2,
}


@pytest.fixture
def tape_file(workplace: Path) -> Path:
    """An hour of one synthetic symbol in a Parquet file of its own."""
    path = workplace / "BTC_quotes.parquet"
    write_parquet(_hour(), path)
    return path


def _hour() -> Stream:
    return synthesize(SyntheticSpec(symbols=("BTC",), hours=1.0, seed=3)).streams[0]


@pytest.fixture
def folder(tape_file: Path) -> RunFolder:
    """A finished run on that file."""
    results = app.run(settings(**TIGHT), open_tape([parse_source(str(tape_file))]))
    assert results.buys > 5
    return RunFolder.find(results.run)


def _lines(folder: RunFolder) -> Lines:
    return [json.loads(line) for line in folder.journal.read_text().splitlines()]


def test_every_output_of_a_run_is_reproduced(folder: RunFolder) -> None:
    assert app.replay_engine(folder) == (None, True)


def test_a_record_that_ends_early_is_a_prefix_of_its_replay(folder: RunFolder) -> None:
    whole = folder.journal.read_bytes().splitlines(keepends=True)
    folder.results.unlink()
    folder.journal.write_bytes(b"".join(whole[: len(whole) // 2]))
    assert app.replay_engine(folder) == (None, False)
    assert not verify(folder).finished


def test_a_torn_last_line_of_a_killed_run_is_left_out_and_reported(folder: RunFolder) -> None:
    whole = folder.journal.read_bytes()
    folder.results.unlink()
    folder.journal.write_bytes(whole[: len(whole) // 2])
    verified = verify(folder)
    assert not verified.finished
    assert 0 < verified.torn_bytes < 1000
    assert app.replay_engine(folder) == (None, False)


def test_damage_before_a_torn_tail_is_refused(folder: RunFolder) -> None:
    whole = folder.journal.read_bytes()
    folder.results.unlink()
    folder.journal.write_bytes(whole[: len(whole) // 2].replace(b'"pos":', b'"qos":', 1))
    with pytest.raises(Corrupt, match="damaged"):
        verify(folder)


def test_a_torn_last_line_of_a_finished_run_is_damage(folder: RunFolder) -> None:
    folder.journal.write_bytes(folder.journal.read_bytes()[:-1])
    with pytest.raises(Corrupt, match="does not end where"):
        verify(folder)


def _raise_one_ask(tape_file: Path, row: int) -> None:
    frame = pl.read_parquet(tape_file)
    raised = frame["ask"].scatter([row], [frame["ask"][row] + 0.01])
    frame.with_columns(raised.alias("ask")).write_parquet(tape_file)


def test_one_changed_quote_is_named_by_the_seal_of_its_rows(folder: RunFolder, tape_file: Path) -> None:
    _raise_one_ask(tape_file, 7)

    def point_to_it(lines: Lines) -> None:
        lines[0]["genesis"]["tape"][0]["content_hash"] = content_hash(tape_file)

    rewrite(folder, point_to_it)
    named = "the tape: rows 0 to 14,399 are not those that the run traded"
    with pytest.raises(Corrupt, match=named):
        app.replay_engine(folder)
    assert check_record(folder).parts["tape"].damage.startswith(named)


def test_one_changed_quote_is_named_by_the_order_it_changes(folder: RunFolder, tape_file: Path) -> None:
    order = first(_lines(folder), type="submit_order", side="buy")
    _raise_one_ask(tape_file, order["pos"] - 1)

    def point_to_it(lines: Lines) -> None:
        lines[0]["genesis"]["tape"][0]["content_hash"] = content_hash(tape_file)
        rows = open_tape([parse_source(str(tape_file))]).rows
        first(lines, type="tape_sealed")["event"]["hash"] = rows.block_hash(0, len(rows))

    rewrite(folder, point_to_it)
    difference, _ = app.replay_engine(folder)
    assert difference is not None
    assert (difference.seq, difference.field) == (order["seq"], "submit_order.limit")
    assert difference.recorded == order["event"]["limit"]
    assert Decimal(difference.replayed) == Decimal(order["event"]["limit"]) + Decimal("0.01")


def test_one_changed_venue_report_is_named_by_the_books_it_changes(folder: RunFolder) -> None:
    def pay_more(lines: Lines) -> None:
        report = first(lines, type="execution_report", kind="fill")
        report["event"]["fee"] = str(Decimal(report["event"]["fee"]) + 1)

    booked = first(_lines(folder), type="fill_booked")
    rewrite(folder, pay_more)
    difference, _ = app.replay_engine(folder)
    assert difference is not None
    assert (difference.seq, difference.field) == (booked["seq"], "fill_booked.cash")
    assert difference.recorded == booked["event"]["cash"]
    assert Decimal(difference.replayed) == Decimal(booked["event"]["cash"]) - 1


def test_one_changed_risk_limit_is_named_by_the_order_it_forbids(folder: RunFolder) -> None:
    def forbid(values: dict[str, Any]) -> None:
        values["risk"]["max_order_notional"] = "50"

    order = first(_lines(folder), type="submit_order")
    rewrite_settings(folder, forbid)
    difference, _ = app.replay_engine(folder)
    assert difference is not None
    assert difference.seq == order["seq"]
    assert difference.recorded.startswith("submit_order buy")
    assert difference.replayed == "nothing"


def test_an_order_that_the_record_lacks_is_named(folder: RunFolder) -> None:
    orders = [line for line in _lines(folder) if line.get("event", {}).get("type") == "submit_order"]

    def drop_the_last_order_and_all_after(lines: Lines) -> None:
        at = next(i for i, line in enumerate(lines) if line.get("seq") == orders[-1]["seq"])
        end = lines[-2:]
        del lines[at:]
        lines.extend(end)

    rewrite(folder, drop_the_last_order_and_all_after)
    difference, _ = app.replay_engine(folder)
    assert difference is not None
    assert (difference.seq, difference.recorded) == (orders[-1]["seq"], "nothing")
    assert difference.replayed.startswith("submit_order")


@pytest.mark.parametrize("place", [0, 0.5, 1])
def test_one_changed_byte_is_found_by_verify_and_refused_by_replay(folder: RunFolder, place: float) -> None:
    damaged = bytearray(folder.journal.read_bytes())
    damaged[int(place * (len(damaged) - 2))] ^= 1
    folder.journal.write_bytes(damaged)
    with pytest.raises(Corrupt, match="damaged"):
        verify(folder)
    with pytest.raises(Corrupt, match="damaged"):
        app.replay_engine(folder)


def test_journal_with_cut_tail_is_found_by_head_in_the_results(folder: RunFolder) -> None:
    whole = folder.journal.read_bytes().splitlines(keepends=True)
    folder.journal.write_bytes(b"".join(whole[:-1]))
    with pytest.raises(Corrupt, match="does not end where"):
        verify(folder)


def test_results_that_disagree_with_the_journal_are_found(folder: RunFolder) -> None:
    text = folder.results.read_text().replace('"buys": ', '"buys": 1')
    folder.results.write_text(text)
    with pytest.raises(Corrupt, match="buys"):
        verify(folder)


@pytest.mark.parametrize(
    "key", ["symbol", "side", "qty", "price", "fee", "reason", "order_id", "realized", "ts_ns"]
)
def test_a_fill_that_only_the_results_know_is_found(folder: RunFolder, key: str) -> None:
    results = json.loads(folder.results.read_text())
    results["fills"][1][key] = "1"
    folder.write_results(results)
    with pytest.raises(Corrupt, match="fills are not those of the journal"):
        verify(folder)


@pytest.mark.parametrize(
    "key", ["mode", "strategy", "seed", "symbols", "synthetic", "journal_lines", "equity"]
)
def test_results_that_repeat_the_record_wrongly_are_found(folder: RunFolder, key: str) -> None:
    results = json.loads(folder.results.read_text())
    folder.write_results(results | {key: "other"})
    with pytest.raises(Corrupt, match=key):
        verify(folder)


@pytest.mark.parametrize("cut_at", [-1, 1])
def test_journal_without_run_result_is_refused(folder: RunFolder, cut_at: int) -> None:
    def drop(lines: Lines) -> None:
        del lines[cut_at:]

    rewrite(folder, drop)
    for judge in (verify, app.replay_engine):
        with pytest.raises(Corrupt, match="does not end with run_ended"):
            judge(folder)


def test_an_impossible_venue_report_is_named_by_replay(folder: RunFolder) -> None:
    def forge(lines: Lines) -> None:
        first(lines, type="execution_report", kind="fill")["event"]["quantity"] = "-1"

    seq = first(_lines(folder), type="execution_report", kind="fill")["seq"]
    rewrite(folder, forge)
    difference, _ = app.replay_engine(folder)
    assert difference is not None
    assert difference.seq == seq
    assert "refused" in difference.replayed and "impossible fill" in difference.replayed


def test_a_record_of_another_format_is_refused_with_its_version(folder: RunFolder) -> None:
    def age(lines: Lines) -> None:
        lines[0]["genesis"]["format"] = 99

    rewrite(folder, age)
    for judge in (verify, app.replay_engine):
        with pytest.raises(Misconfigured, match="record format 99"):
            judge(folder)


@pytest.mark.parametrize("content", ["[]", "3", '"x"', '{"fills": 3}', "{"])
def test_results_with_invalid_content_are_corrupt(folder: RunFolder, content: str) -> None:
    folder.results.write_text(content)
    for judge in (verify, app.replay_engine):
        with pytest.raises(Corrupt, match=r"results\.json"):
            judge(folder)


def test_changed_settings_without_a_new_name_are_found(folder: RunFolder) -> None:
    stored_file = folder.stored_file(_lines(folder)[0]["genesis"]["settings"])
    stored_file.write_text(stored_file.read_text().replace('"seed": 0', '"seed": 1'))
    with pytest.raises(Corrupt, match="content does not match its name"):
        verify(folder)


def test_a_tape_whose_content_changed_is_refused(folder: RunFolder, tape_file: Path) -> None:
    pl.read_parquet(tape_file).head(100).write_parquet(tape_file)
    with pytest.raises(Corrupt):
        app.replay_engine(folder)


@pytest.fixture
def run_with_cancels(tape_file: Path) -> RunFolder:
    """A finished run in which entries rested until they were cancelled."""
    resting = {"execution__time_in_force": '"gtc"', "execution__cancel_after_s": 1}
    late = {"simulated__order_latency_ms": 500}
    results = app.run(settings(**TIGHT, **resting, **late), open_tape([parse_source(str(tape_file))]))
    return RunFolder.find(results.run)


@pytest.fixture
def new_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A table of changes in which version 0.2 reworded texts."""
    monkeypatch.setattr(versions, "CHANGED", {(0, 2): ("texts",)})


@pytest.mark.usefixtures("new_texts")
@pytest.mark.parametrize(
    ("version", "same"), [("0.1.0", True), ("0.1.9", True), ("0.2.0", False), ("1.0.0", False)]
)
def test_cancel_reason_of_an_older_version_is_not_compared(
    run_with_cancels: RunFolder, version: str, same: bool
) -> None:
    def reword(lines: Lines) -> None:
        lines[0]["genesis"]["autohedge"] = version
        first(lines, type="cancel_order")["event"]["reason"] = "it rested too long"

    rewrite(run_with_cancels, reword)
    difference, _ = app.replay_engine(run_with_cancels)
    assert (difference is None) is same
    assert same or (difference and difference.field == "cancel_order.reason")


@pytest.mark.usefixtures("new_texts")
def test_older_texts_do_not_hide_another_difference(run_with_cancels: RunFolder) -> None:
    def forge(lines: Lines) -> None:
        lines[0]["genesis"]["autohedge"] = "0.1.0"
        first(lines, type="cancel_order")["event"]["order_id"] = "0" * 32

    rewrite(run_with_cancels, forge)
    difference, _ = app.replay_engine(run_with_cancels)
    assert difference and difference.field == "cancel_order.order_id"
