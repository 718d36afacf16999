"""Properties of every run, for any tape, latencies and fills."""

from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from autohedge import app
from autohedge.app import engine_for
from autohedge.config import Settings
from autohedge.core.events import (
    Alert,
    Decision,
    ExecutionReport,
    FillBooked,
    RunEnded,
    SubmitOrder,
)
from autohedge.core.ids import nonce_from_seed, seeded_random
from autohedge.core.money import add, subtract
from autohedge.core.orders import Purpose, Side
from autohedge.exchanges.simulated import SimulatedVenue, VenueModel, lots_of
from autohedge.faultsim.random_answers import random_answers
from autohedge.faultsim.scripted_decisions import ScriptedDecisions
from autohedge.faultsim.strikes import FaultSchedule
from autohedge.journal import RunFolder
from autohedge.market import SyntheticSpec, Tape, synthesize
from autohedge.runtime.replay import replay
from autohedge.runtime.virtual import VirtualRuntime
from tests.engine.batches import in_batches
from tests.engine.tape_factory import run_settings, tapes
from tests.run_harness import Played, Recording, play, settings

ZERO = Decimal(0)
OPPOSITE = {Side.BUY: Side.SELL, Side.SELL: Side.BUY}


@budget(max_examples=60, deadline=None)
@given(tapes(), run_settings(), st.lists(st.integers(1, 800), max_size=30))
def test_batch_boundaries_do_not_change_the_record(tape: Tape, wanted: Settings, cuts: list[int]) -> None:
    record = list(play(wanted, tape).record)
    assert in_batches(wanted, tape, record, cuts) == record


@budget(max_examples=25, deadline=None)
@given(tapes(rows_max=150), run_settings())
def test_quotes_fed_one_by_one_give_what_one_batch_gives(tape: Tape, wanted: Settings) -> None:
    record = list(play(wanted, tape).record)
    assert in_batches(wanted, tape, record, list(range(len(tape) + 1))) == record


def _deliberated(wanted: Settings, tape: Tape) -> Recording:
    """A run whose agents answer after a script; a question has the hash of what they were shown."""
    nonce, engine, record = nonce_from_seed(wanted.seed), engine_for(wanted, tape), Recording()
    answers = random_answers(seeded_random(nonce, "answers"), wanted, tape.symbols)
    decisions = ScriptedDecisions(wanted, tape.symbols, answers, FaultSchedule([], Counter()))
    venue = SimulatedVenue(VenueModel.of(wanted), lots_of(wanted, tape.symbols), tape.rows, nonce=nonce)
    VirtualRuntime(engine, venue, tape.rows, record, decisions, clock=venue).run(nonce)
    return record


@pytest.mark.parametrize("mode", ["hybrid", "llm"])
@budget(max_examples=15, deadline=None)
@given(tape=tapes(rows_max=200), wanted=run_settings(), cuts=st.lists(st.integers(1, 400), max_size=30))
def test_batch_boundaries_do_not_change_a_run_with_agents(
    mode: str, tape: Tape, wanted: Settings, cuts: list[int]
) -> None:
    asked_often = {"gate_refresh_quotes": 5, "min_refresh_s": 0, "deadline_s": 0.2}
    wanted = wanted.model_copy(
        update={
            "trading": wanted.trading.model_copy(update={"mode": mode}),
            "hybrid": wanted.hybrid.model_copy(update=asked_often),
            "llm": wanted.llm.model_copy(update={"min_interval_s": 0}),
        }
    )
    record = _deliberated(wanted, tape)
    assert any(isinstance(entry.event, Decision) for entry in record)
    for each in (cuts, list(range(len(tape) + 1))):
        assert in_batches(wanted, tape, record, each) == record


@budget(max_examples=60, deadline=None)
@given(tapes(), run_settings())
def test_the_books_add_up_to_the_last_decimal(tape: Tape, wanted: Settings) -> None:
    played = play(wanted, tape)
    fills, ledger = played.engine.stats.fills, played.engine.ledger
    cash = ledger.initial_cash
    held: Counter[str] = Counter()
    for fill in fills:
        sign = 1 if fill.side is Side.BUY else -1
        held[fill.symbol] += sign * fill.qty  # type: ignore[assignment]
        cash -= sign * fill.qty * fill.price + fill.fee
    assert ledger.cash == cash
    for symbol in tape.symbols:
        assert ledger.position(symbol).quantity == held[symbol]
        assert held[symbol] == 0 or (Side.BUY if held[symbol] > 0 else Side.SELL) in wanted.entry_sides
    result = played.result
    gains = add(result.realized_pnl, result.unrealized_pnl)
    assert result.equity == subtract(add(ledger.initial_cash, gains), ledger.fees)


@budget(max_examples=60, deadline=None)
@given(tapes(), run_settings())
def test_every_row_ends_in_exactly_one_code(tape: Tape, wanted: Settings) -> None:
    played = play(wanted, tape)
    assert sum(played.result.codes.values()) == len(tape)
    assert played.result.codes["entry"] == _sent(played, Purpose.ENTER)


def _sent(played: Played, purpose: Purpose) -> int:
    return sum(order.purpose is purpose for order in played.events(SubmitOrder))


@budget(max_examples=40, deadline=None)
@given(tapes(), run_settings())
def test_orders_have_the_sides_that_the_account_allows(tape: Tape, wanted: Settings) -> None:
    played = play(wanted, tape)
    for order in played.events(SubmitOrder):
        entry_side = order.side if order.purpose is Purpose.ENTER else OPPOSITE[order.side]
        assert entry_side in wanted.entry_sides
    refused = played.result.codes["no_short"]
    assert not refused or Side.SELL not in wanted.entry_sides
    assert not played.events(Alert)


@budget(max_examples=60, deadline=None)
@given(tapes(), run_settings())
def test_no_order_fills_beyond_its_quantity_and_no_limit_is_broken(tape: Tape, wanted: Settings) -> None:
    played = play(wanted, tape)
    orders = {order.order_id: order for order in played.events(SubmitOrder)}
    filled: Counter[str] = Counter()
    for report in [r for r in played.events(ExecutionReport) if r.kind == "fill"]:
        order = orders[report.order_id]
        filled[report.order_id] += report.quantity
        if order.limit is not None:
            assert report.price <= order.limit if order.side is Side.BUY else report.price >= order.limit
    assert all(filled[order_id] <= order.quantity for order_id, order in orders.items())
    assert all(booked.cash > ZERO for booked in played.events(FillBooked))


@budget(max_examples=40, deadline=None)
@given(tapes(), run_settings())
def test_a_run_replays_and_the_same_seed_repeats_it(tape: Tape, wanted: Settings) -> None:
    record = list(play(wanted, tape).record)
    assert record == list(play(wanted, tape).record)
    assert replay(engine_for(wanted, tape), tape.rows, record) is None


@budget(max_examples=40, deadline=None)
@given(tapes(), run_settings())
def test_seq_counts_rows_and_events_without_a_gap(tape: Tape, wanted: Settings) -> None:
    record = play(wanted, tape).record
    for number, entry in enumerate(record, start=1):
        assert entry.seq == number + entry.pos
    assert record[-1].pos == len(tape)
    assert isinstance(record[-1].event, RunEnded)


def test_the_same_seed_gives_the_same_journal_bytes(workplace: Path) -> None:
    tape = synthesize(SyntheticSpec(hours=1.0, seed=5))
    wanted = settings(seed=5, momentum__min_edge_bps=3)
    runs = [RunFolder.find(app.run(wanted, tape).run) for _ in range(2)]
    first, second = (folder.journal.read_bytes() for folder in runs)
    assert first == second
    assert first.count(b"submit_order") > 2
    other = app.run(settings(seed=6, momentum__min_edge_bps=3), tape)
    assert RunFolder.find(other.run).journal.read_bytes() != first
