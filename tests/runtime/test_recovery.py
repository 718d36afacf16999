"""Rerunning a hybrid run from any part of its record, for any decisions and commands."""

from collections import Counter

import pytest

from autohedge.app import engine_for
from autohedge.config import Settings
from autohedge.core.clock import NEVER
from autohedge.core.errors import Corrupt
from autohedge.core.events import (
    AnyInput,
    Continued,
    Decision,
    DeliberationRequested,
    EndOfTape,
    JournalEntry,
    LoopLag,
    OperatorCommand,
    PromptsChanged,
    Restarted,
    RunStarted,
    SettingsChanged,
    SystemFault,
)
from autohedge.core.ids import nonce_from_seed, seeded_random
from autohedge.core.ports import DecisionSource
from autohedge.core.units import NS_PER_S
from autohedge.exchanges.simulated import SimulatedVenue, VenueModel, lots_of
from autohedge.faultsim.random_answers import random_answers
from autohedge.faultsim.scripted_decisions import DecisionFault, ScriptedDecisions
from autohedge.faultsim.strikes import FaultSchedule, Strike
from autohedge.market import Tape
from autohedge.market.rows import Rows
from autohedge.runtime.recovery import VerifyingRecorder, has_outside_inputs, last_ns, rerun
from autohedge.runtime.virtual import NoDecisions, VirtualRuntime
from tests.run_harness import Recording, quotes_tape, settings

START_NS = 1_700_000_000 * NS_PER_S
LATENCY_MS = 20_000


def _tape(seed: int) -> Tape:
    walk = seeded_random(str(seed), "walk")
    mid, quotes = 100.0, []
    for second in range(400):
        mid *= 1.0 + walk.gauss(0.0, 5e-4)
        quotes.append((START_NS + second * NS_PER_S, round(mid - 0.01, 2), round(mid + 0.01, 2)))
    return quotes_tape(quotes)


def _settings() -> Settings:
    return settings(
        trading__mode="hybrid",
        hybrid__gate_refresh_quotes=5,
        hybrid__min_refresh_s=0,
        hybrid__no_trade_cooldown_quotes=3,
        hybrid__verdict_ttl_s=30,
        hybrid__deadline_s=9,
        hybrid__learn_every_trades=1,
        momentum__warmup_count=2,
        momentum__evaluate_every_quotes=1,
        momentum__lookback=1,
        momentum__min_edge_bps=-5,
        exits__take_profit_bps=5,
        exits__stop_loss_bps=5,
        simulated__order_latency_ms=LATENCY_MS,
        simulated__response_latency_ms=LATENCY_MS,
    )


CHANGE = SettingsChanged(
    START_NS + 140 * NS_PER_S,
    "old",
    "new",
    {"exits.take_profit_bps": 9.0, "risk.max_orders_per_minute": 20, "hybrid.min_refresh_s": 1.0},
)


def _runtime(
    seed: int, tape: Tape, recorder: Recording | VerifyingRecorder, decisions: DecisionSource | None = None
) -> VirtualRuntime:
    wanted = _settings()
    venue = SimulatedVenue(
        VenueModel.of(wanted), lots_of(wanted, tape.symbols), tape.rows, nonce=nonce_from_seed(seed)
    )
    return VirtualRuntime(engine_for(wanted, tape), venue, tape.rows, recorder, decisions, clock=venue)


def _played(seed: int, tape: Tape, stop_s: int | None, *, halted_last: bool = False) -> Recording:
    """A run that gets every command and a change of its settings, and is perhaps stopped and then halted."""
    record, draw = Recording(), seeded_random(str(seed), "answers")
    answers = random_answers(draw, _settings(), tape.symbols)
    strikes = [
        Strike(fault, START_NS + draw.randrange(200) * NS_PER_S, values=(draw.random(), draw.random()))
        for fault in DecisionFault
        for _ in range(6)
    ]
    decisions = ScriptedDecisions(_settings(), tape.symbols, answers, FaultSchedule(strikes, Counter()))
    runtime = _runtime(seed, tape, record, decisions)
    runtime.begin(nonce_from_seed(seed))
    commands = [(30, "pause"), (45, "resume"), (60, "cancel_all"), (75, "sync")]
    commands += [(90, "halt"), (120, "resume"), (140, "change")] + ([(stop_s, "stop")] if stop_s else [])
    commands += [(stop_s, "halt")] if stop_s and halted_last else []
    for second, command in commands:
        at_ns = START_NS + second * NS_PER_S
        runtime.advance(at_ns)
        runtime.inject(CHANGE if command == "change" else OperatorCommand(at_ns, command, "a person"))  # type: ignore[arg-type]
    if stop_s is None:
        runtime.advance(NEVER)
    runtime.finish()
    return record


def _rerun(seed: int, tape: Tape, record: Recording, rows: Rows) -> bool:
    recorder = VerifyingRecorder(record, Recording())
    over, _ = rerun(_runtime(seed, tape, recorder), record, rows)
    recorder.require_end()
    return over


@pytest.mark.parametrize("stop_s", [None, 200, 333])
@pytest.mark.parametrize("seed", range(3))
def test_any_prefix_of_a_hybrid_record_can_be_rerun(seed: int, stop_s: int | None) -> None:
    tape = _tape(seed)
    record = _played(seed, tape, stop_s)
    assert sum(isinstance(entry.event, Decision) for entry in record) > 20
    for length in [*range(1, len(record), 23), *range(len(record) - 12, len(record) + 1)]:
        part = Recording(record[:length])
        whole = any(isinstance(entry.event, EndOfTape) for entry in part)
        assert _rerun(seed, tape, part, tape.rows) >= whole


def test_run_that_was_stopped_and_then_halted_is_rerun_to_its_end() -> None:
    tape = _tape(0)
    record = _played(0, tape, 200, halted_last=True)
    assert _rerun(0, tape, record, tape.rows)


def test_record_with_events_that_a_rerun_does_not_produce_is_corrupt() -> None:
    entries = [JournalEntry(1, 0, RunStarted("n")), JournalEntry(2, 0, EndOfTape())]
    recorder = VerifyingRecorder(entries, Recording())
    recorder.append(entries[0])
    with pytest.raises(Corrupt, match="does not reproduce its record at seq 2"):
        recorder.require_end()
    recorder.append(entries[1])
    recorder.require_end()


def test_event_that_differs_from_the_recorded_one_is_corrupt() -> None:
    halted = OperatorCommand(START_NS, "halt", "a person")
    recorder = VerifyingRecorder([JournalEntry(4, 3, halted)], Recording())
    with pytest.raises(Corrupt, match="does not reproduce its record at seq 4"):
        recorder.append(JournalEntry(4, 3, OperatorCommand(START_NS, "flatten", "a person")))


def test_record_ends_at_its_last_row_or_at_a_later_event() -> None:
    rows = _tape(0).rows
    begun = JournalEntry(1, 0, RunStarted("n"))
    halted_ns = START_NS + NS_PER_S // 2
    halted = JournalEntry(3, 1, OperatorCommand(halted_ns, "halt", "a person"))
    assert last_ns([begun], rows) == START_NS - 1
    assert last_ns([begun, JournalEntry(4, 3, EndOfTape())], rows) == START_NS + 2 * NS_PER_S
    assert last_ns([begun, halted], rows) == halted_ns
    assert last_ns([begun, halted, JournalEntry(4, 3, EndOfTape())], rows) == START_NS + 2 * NS_PER_S


def test_record_missing_a_decision_cannot_be_rerun() -> None:
    tape = _tape(0)
    record = _played(0, tape, None)
    (at, *_) = (n for n, entry in enumerate(record) if isinstance(entry.event, Decision))
    del record[at]
    with pytest.raises(Corrupt, match="does not reproduce its record"):
        _rerun(0, tape, record, tape.rows)


def test_question_cancelled_in_its_own_step_is_not_forwarded() -> None:
    tape = _tape(0)
    forwarded: list[int] = []

    class RecordingDecisions(NoDecisions):
        def request(self, question: DeliberationRequested, snapshot: object) -> None:
            forwarded.append(question.number)

    record = Recording()
    runtime = _runtime(0, tape, record, RecordingDecisions())
    runtime.begin("n")
    engine = runtime._engine
    while not engine.questions:
        engine.scan(tape.rows, engine.pos, engine.pos + 1)
    engine.step(OperatorCommand(engine.now_ns, "halt", "at that moment"))
    runtime.drain()
    assert [entry.event.number for entry in record if isinstance(entry.event, DeliberationRequested)] == [1]
    assert forwarded == []


@pytest.mark.parametrize(
    "outside",
    [
        OperatorCommand(1, "halt", "a person"),
        SystemFault(1, "the disk is full"),
        LoopLag(1, 1.0),
        Restarted(1, 0, "m"),
        PromptsChanged(1, {}),
        SettingsChanged(1, "old", "new", {}),
    ],
)
def test_record_with_an_input_from_outside_cannot_be_repeated(outside: AnyInput) -> None:
    begun, ended = JournalEntry(1, 0, RunStarted("n")), JournalEntry(3, 0, EndOfTape())
    assert not has_outside_inputs([begun, JournalEntry(2, 0, Continued(1, "m")), ended])
    assert has_outside_inputs([begun, JournalEntry(2, 0, outside), ended])
