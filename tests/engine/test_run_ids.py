"""The names of venue, account and strategy in every event of a run that has names of its own."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from autohedge.config import Settings
from autohedge.core.events import (
    AccountState,
    CooldownChanged,
    Event,
    ExecutionReport,
    ExternalChange,
    FillBooked,
    GateChanged,
    OrderAdopted,
    OrderMassStatus,
    ProposalResolved,
    SubmitOrder,
)
from autohedge.core.ids import DEFAULT_IDS, AccountId, RunIds, StrategyId, VenueId, nonce_from_seed
from autohedge.core.money import ZERO, add
from autohedge.core.orders import BUY
from autohedge.core.units import NS_PER_S
from autohedge.engine.engine import Engine
from autohedge.exchanges.simulated import SimulatedVenue, VenueModel, lots_of
from autohedge.journal import JournalLine, encode_line
from autohedge.journal.verification import ResultProjection
from autohedge.market import Tape
from autohedge.runtime.virtual import VirtualRuntime
from autohedge.strategies import build
from tests.engine.deliberations import proposal_harness
from tests.engine.harness import START_NS, EngineHarness
from tests.execution.trading_factory import EAGER, FLAT, listed
from tests.run_harness import Played, Recording, begun, quotes_tape, settings

ONE = Decimal(1)
IDS = RunIds(VenueId("kraken"), AccountId("hedge"), StrategyId("trend"))
HYBRID: dict[str, Any] = proposal_harness.OVERRIDES | {
    "trading__mode": "hybrid",
    "hybrid__gate_refresh_quotes": 5,
    "hybrid__min_refresh_s": 0,
}
BUSY: dict[str, Any] = EAGER | {
    "exits__take_profit_bps": 50,
    "exits__stop_loss_bps": 50,
    "simulated__order_latency_ms": 1500,
}
RISES = [0, 1, 1, 1, 1, 0, 0, 0, 1, 2, 3, 4, 2, 0, 0] * 6
QUOTES = [(START_NS + i * NS_PER_S, 100.0 + rise, 100.1 + rise) for i, rise in enumerate(RISES)]


def _engine(wanted: Settings, tape: Tape, ids: RunIds) -> Engine:
    return Engine(wanted, tape.symbols, build(wanted, tape.streams), ids)


def _run(ids: RunIds) -> tuple[Played, SimulatedVenue]:
    """A run at the simulated venue in which orders fill, and one expires."""
    wanted, tape, record = settings(**BUSY), quotes_tape(QUOTES), Recording()
    model = replace(VenueModel.of(wanted), ids=ids)
    venue, engine = (
        SimulatedVenue(model, lots_of(wanted, tape.symbols), tape.rows),
        _engine(wanted, tape, ids),
    )
    VirtualRuntime(engine, venue, tape.rows, record, clock=venue).run(nonce_from_seed(wanted.seed))
    return Played(engine, record), venue


def _played(ids: RunIds) -> Played:
    return _run(ids)[0]


def _harness(overrides: dict[str, Any], quotes: Any) -> EngineHarness:
    """An engine with `IDS` that is fed by hand."""
    harness = EngineHarness(overrides, quotes)
    harness.engine = begun(_engine(settings(**overrides), quotes_tape(quotes), IDS))
    return harness


def _ids_of(event: object) -> dict[str, str]:
    return {name: getattr(event, name) for name in RunIds._fields if hasattr(event, name)}


def _require(event: object, *names: str) -> None:
    """Checks that an event has these names, those of `IDS`."""
    assert _ids_of(event) == {name: getattr(IDS, name) for name in names or RunIds._fields}, event


def test_orders_reports_and_fills_of_a_run_have_its_ids() -> None:
    played, venue = _run(IDS)
    for order in venue.orders:
        _require(order, "venue", "account")
    for kind in (SubmitOrder, ExecutionReport, FillBooked):
        assert len(played.events(kind)) > 2
        for event in played.events(kind):
            _require(event)
    statements = played.events(OrderMassStatus) + played.events(AccountState)
    assert len(statements) > 1
    for statement in statements:
        _require(statement, "venue", "account")
    assert len(played.engine.stats.fills) > 2
    for fill in played.engine.stats.fills:
        _require(fill)


def test_lines_of_a_default_run_have_no_ids_and_are_else_the_same() -> None:
    lines, named = (
        [encode_line(entry, "")[0] for entry in _played(ids).record] for ids in (DEFAULT_IDS, IDS)
    )
    assert not [line for line in lines if b'"venue"' in line or b'"account"' in line or b'"strategy"' in line]
    assert sum(b'"venue":"kraken","account":"hedge","strategy":"trend"' in line for line in named) > 10
    plain = [msgspec.json.decode(line) for line in named]
    for line in plain:
        line["event"] = {key: value for key, value in line["event"].items() if key not in RunIds._fields}
        del line["hash"]
    assert plain == [{k: v for k, v in msgspec.json.decode(line).items() if k != "hash"} for line in lines]


@pytest.mark.parametrize("ids", [DEFAULT_IDS, IDS])
def test_fills_of_the_results_are_those_of_the_record(ids: RunIds) -> None:
    played, projection = _played(ids), ResultProjection()
    for entry in played.record:
        projection.apply(JournalLine("", entry.seq, entry.pos, entry.event))
    fills = [msgspec.to_builtins(fill, builtin_types=(type(fill.qty),)) for fill in played.engine.stats.fills]
    assert projection.fills == fills


def test_question_snapshot_and_gate_have_the_ids_of_the_engine() -> None:
    harness = _harness(HYBRID, proposal_harness.FLAT)
    question = harness.next_question()
    _require(question)
    snapshot = harness.engine.questions[-1].snapshot
    _require(snapshot)
    (opened,) = [event for event in harness.decide("trade", question) if isinstance(event, GateChanged)]
    _require(opened)


def test_resolution_and_cooldown_of_a_proposal_have_the_ids() -> None:
    harness = _harness(proposal_harness.OVERRIDES, proposal_harness.FLAT)
    events = harness.decide("no_trade") + harness.quotes(proposal_harness.COOLDOWN)
    resolved = [event for event in events if isinstance(event, ProposalResolved)]
    cooldowns = [event for event in events if isinstance(event, CooldownChanged)]
    assert (len(resolved), len(cooldowns)) == (1, 2)
    for event in (*resolved, *cooldowns):
        _require(event)


def test_adopted_order_and_external_change_have_the_ids() -> None:
    harness = _harness(EAGER | {"reconciliation__external": '"adopt"'}, FLAT)
    harness.quotes(1)
    now_ns, place = harness.engine.now_ns, (IDS.venue, IDS.account)
    found = msgspec.structs.replace(listed("theirs", BUY, ONE), venue=IDS.venue, account=IDS.account)
    events = harness.step(OrderMassStatus(now_ns, now_ns, (found,), *place))
    (adopted,) = [event for event in events if isinstance(event, OrderAdopted)]
    _require(adopted, "strategy")
    _require(adopted.order, "venue", "account")
    report = ExecutionReport(now_ns, "theirs", "fill", now_ns, "t1", ONE, ONE, ZERO)
    (booked,) = [event for event in harness.step(report) if isinstance(event, FillBooked)]
    _require(booked)
    changes: list[Event] = []
    for seconds in (30, 60, 90):
        at_ns = now_ns + seconds * NS_PER_S
        harness.fire_timers_until(at_ns)
        cash = add(harness.engine.ledger.cash, ONE)
        changes += harness.step(AccountState(at_ns, at_ns, cash, {"X": ONE}, {}, *place))
    (change,) = [event for event in changes if isinstance(event, ExternalChange)]
    _require(change, "venue", "account")


def test_ids_that_equal_the_defaults_are_left_out_whatever_made_them() -> None:
    made = RunIds(*("".join(name) for name in DEFAULT_IDS))  # type: ignore[arg-type]
    assert b"venue" not in msgspec.json.encode(GateChanged(1, "X", "open", "rules", 9, *made))
