"""A run over a market that grows while it is traded has the record of the whole tape."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from autohedge.app import engine_for
from autohedge.config import Settings
from autohedge.core.clock import NEVER
from autohedge.core.events import ExecutionReport, JournalEntry, OperatorCommand, RunStarted, SubmitOrder
from autohedge.core.ids import nonce_from_seed, seeded_random
from autohedge.exchanges.simulated import SimulatedVenue, VenueModel, lots_of
from autohedge.faultsim.random_answers import random_answers
from autohedge.faultsim.scripted_decisions import ScriptedDecisions
from autohedge.faultsim.strikes import FaultSchedule
from autohedge.market import Tape
from autohedge.market.cursor import MarketCursor
from autohedge.runtime.recovery import VerifyingRecorder, rerun
from autohedge.runtime.virtual import NoDecisions, VirtualRuntime
from autohedge.runtime.wall import WallRuntime
from tests.engine.tape_factory import run_settings, tapes
from tests.run_harness import Recording, quotes_tape, settings
from tests.runtime.growing_market import GrowingMarket

S = 10**9
CUTS = st.lists(st.integers(0, 60), max_size=30)


@pytest.fixture(scope="module", autouse=True)
def short_blocks() -> Iterator[None]:
    """Seals so often that each of these runs has several seals."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("autohedge.runtime.virtual.SEAL_ROWS", 16)
        yield


def _runtime(
    wanted: Settings, tape: Tape, market: MarketCursor, recorder: Recording | VerifyingRecorder
) -> VirtualRuntime:
    nonce = nonce_from_seed(wanted.seed)
    answers = random_answers(seeded_random(nonce, "answers"), wanted, tape.symbols)
    decisions = ScriptedDecisions(wanted, tape.symbols, answers, FaultSchedule([], Counter()))
    venue = SimulatedVenue(VenueModel.of(wanted), lots_of(wanted, tape.symbols), market, nonce=nonce)
    return VirtualRuntime(engine_for(wanted, tape), venue, market, recorder, decisions, clock=venue)


def _whole(wanted: Settings, tape: Tape) -> Recording:
    record = Recording()
    _runtime(wanted, tape, tape.rows, record).run(nonce_from_seed(wanted.seed))
    return record


def _asked_often(wanted: Settings, mode: str) -> Settings:
    often = {"gate_refresh_quotes": 5, "min_refresh_s": 0, "deadline_s": 0.2}
    return wanted.model_copy(
        update={
            "trading": wanted.trading.model_copy(update={"mode": mode}),
            "hybrid": wanted.hybrid.model_copy(update=often),
            "llm": wanted.llm.model_copy(update={"min_interval_s": 0}),
        }
    )


@pytest.mark.parametrize("mode", ["hft", "hybrid", "llm"])
@budget(max_examples=15, deadline=None)
@given(tape=tapes(rows_max=200), drawn=run_settings(), cuts=CUTS)
def test_rows_that_come_bit_by_bit_give_the_record_of_the_tape(
    mode: str, tape: Tape, drawn: Settings, cuts: list[int]
) -> None:
    wanted = _asked_often(drawn, mode)
    market, record = GrowingMarket(tape.rows), Recording()
    runtime = _runtime(wanted, tape, market, record)
    runtime.begin(nonce_from_seed(wanted.seed))
    for count in cuts:
        market.grow(count)
        runtime.refresh()
        runtime.advance(NEVER)
        assert not runtime.ended
    market.close()
    runtime.refresh()
    runtime.advance(NEVER)
    assert runtime.ended
    runtime.finish()
    assert record == _whole(wanted, tape)


@pytest.mark.parametrize("mode", ["hft", "hybrid"])
@budget(max_examples=15, deadline=None)
@given(
    tape=tapes(rows_max=120),
    drawn=run_settings(),
    steps=st.lists(st.tuples(st.integers(0, 30), st.sampled_from(["", "halt", "resume"])), max_size=20),
    length=st.integers(2, 10_000),
)
def test_run_with_commands_between_rows_can_be_rerun(
    mode: str, tape: Tape, drawn: Settings, steps: list[tuple[int, Any]], length: int
) -> None:
    wanted = _asked_often(drawn, mode)
    market, record = GrowingMarket(tape.rows), Recording()
    runtime, reached_ns = _runtime(wanted, tape, market, record), 0
    runtime.begin(nonce_from_seed(wanted.seed))
    for count, command in steps:
        market.grow(count)
        runtime.refresh()
        reached_ns = max(reached_ns, runtime.time_after(7))
        runtime.advance(reached_ns)
        if command:
            runtime.interrupt(OperatorCommand(reached_ns, command, "a person"))
    market.close()
    runtime.refresh()
    runtime.advance(NEVER)
    runtime.finish()
    part: list[JournalEntry] = record[:length]
    recorder = VerifyingRecorder(part, Recording())
    again = _runtime(wanted, tape, tape.rows, recorder)
    again.decisions = NoDecisions()
    rerun(again, part, tape.rows)
    recorder.require_end()


class SoundDisk:
    """A disk that has no fault."""

    fault: str | None = None

    def reserve(self) -> bool:
        return True


def test_idle_market_does_not_end_a_run_on_a_clock() -> None:
    tape = quotes_tape([(n * S, 100.0, 100.1) for n in range(1, 9)])
    wanted, record, market = settings(), Recording(), GrowingMarket(tape.rows, 2)
    runtime = _runtime(wanted, tape, market, record)
    engine, idle = runtime._engine, Counter[int]()

    def watch() -> None:
        idle[engine.pos] += 1
        if idle[engine.pos] == 3 and engine.pos < len(tape):
            market.grow(3)
        elif idle[engine.pos] == 6:
            market.close()

    wall = WallRuntime(engine, runtime, None, 0, SoundDisk(), watch)
    asyncio.run(wall.run(RunStarted(nonce_from_seed(wanted.seed))))
    assert sorted(idle) == [2, 5, 8]
    assert record == _whole(wanted, tape)
    assert wall.reached_ns == 8 * S


def test_what_is_due_waits_until_a_later_row_has_come() -> None:
    tape = quotes_tape([(n * 10 * S, 100.0, 100.1) for n in range(1, 5)])
    eager: dict[str, Any] = {"evaluate_every_quotes": 1, "lookback": 1, "warmup_count": 0, "min_edge_bps": 0}
    momentum = {f"momentum__{name}": value for name, value in eager.items()}
    market, record = GrowingMarket(tape.rows, 2), Recording()
    runtime = _runtime(settings(simulated__order_latency_ms=5_000, **momentum), tape, market, record)
    runtime.begin("n")
    runtime.refresh()
    runtime.advance(NEVER)
    assert isinstance(record[-1].event, SubmitOrder)
    market.grow(1)
    runtime.refresh()
    runtime.advance(NEVER)
    (fill,) = (entry for entry in record if isinstance(entry.event, ExecutionReport))
    assert (fill.pos, fill.event.at_ns) == (2, 25 * S)  # type: ignore[union-attr]
