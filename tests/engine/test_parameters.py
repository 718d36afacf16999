"""Settings that change during a run: what takes effect at once, what with the next entry, and in replays."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st

from autohedge.app import engine_for
from autohedge.config import Settings, applies_at, changes_between, to_plain
from autohedge.config.settings import setting_names
from autohedge.config.tables import flat
from autohedge.core.clock import NEVER
from autohedge.core.errors import Misconfigured
from autohedge.core.events import (
    CooldownChanged,
    DeliberationRequested,
    ExecutionReport,
    LoopLag,
    ReplaceOrder,
    SettingsChanged,
    SubmitOrder,
    TradingStateChanged,
)
from autohedge.core.ids import nonce_from_seed
from autohedge.core.orders import SELL
from autohedge.core.units import NS_PER_S
from autohedge.engine.engine import Engine
from autohedge.exchanges.simulated import SimulatedVenue, VenueModel, lots_of
from autohedge.market import SyntheticSpec, Tape, synthesize
from autohedge.runtime.replay import replay
from autohedge.runtime.virtual import VirtualRuntime
from tests.engine.deliberations.proposal_harness import ProposalHarness, events_of
from tests.engine.harness import START_NS, EngineHarness
from tests.execution.trading_factory import EAGER, FLAT, cancelled, entered, submitted
from tests.run_harness import Recording, columns_tape, settings

GTC: dict[str, Any] = {"execution__time_in_force": "gtc"}
LONG = [(START_NS + i * NS_PER_S, 100.0, 100.1) for i in range(400)]


def _changed(harness: EngineHarness, changes: dict[str, Any]) -> list[Any]:
    return harness.step(SettingsChanged(harness.engine.now_ns, "old", "new", changes))


def _closed(harness: EngineHarness, entry: SubmitOrder) -> None:
    """Closes the position of an entry by the agents' exit, which needs no other price."""
    harness.engine.actions.exit_position(0, "time_stop", harness.engine.now_ns)
    (sell,) = submitted(harness.drain())
    harness.fill(sell)
    assert harness.engine.ledger.position("X").quantity == 0 < entry.quantity


def _expired(harness: EngineHarness, entry: SubmitOrder) -> None:
    now_ns = harness.engine.now_ns
    harness.step(ExecutionReport(now_ns, entry.order_id, "expired", now_ns, filled=Decimal(0)))


# every setting


KERNEL_FIELDS = {"max_spread_bps", "min_edge_bps", "evaluate_every_quotes"}
BASE: dict[str, Any] = {"execution__cancel_after_s": 1e7, "execution__limit_order_expiration_days": 115}
WITH: dict[str, dict[str, Any]] = {
    "execution.twap_slices": {"execution.twap_s": 60.0},
    "execution.twap_s": {"execution.twap_slices": 3},
    "exits.trailing_activation_bps": {"exits.trailing_distance_bps": 3.0},
}


def _another(name: str, value: Any) -> Any:
    """Another valid value of a setting."""
    match value:
        case "ioc":
            return "gtc"
        case None:
            return 1.5
        case str():  # a Decimal
            return str(Decimal(value) / 2 or 1)
        case int() | float():
            return value + 1 if isinstance(value, int) or value == 0 else value / 2
        case _:
            raise AssertionError(name)


def _changeable() -> list[str]:
    return sorted(
        name for name in set(setting_names().values()) if applies_at(name) != "restart" and "." in name
    )


def _derived(engine: Engine) -> dict[str, Any]:
    """What the parts of an engine have made of the settings."""
    deliberations, lane = engine.deliberations, engine.kernel_states[0]
    assert deliberations
    return {
        "limits": engine.instruments[0].limits,
        "terms": engine.instruments[0].next_terms,
        "order rate": engine.planner.order_rate.most,
        "errors": engine.execution.errors.most,
        "timeouts": engine.execution.tracker.timeouts,
        "feed": engine._watchdogs.feed_timeout_ns,
        "lag": engine.parameters.max_lag_ms,
        "cadence": deliberations.scheduler.cadence,
        "shown": deliberations.request_now("X", 0).limits,
        "kernel": [float(lane[field]) for field in KERNEL_FIELDS & set(lane.dtype.names)],
    }


@pytest.mark.parametrize("name", _changeable())
def test_every_changeable_setting_reaches_the_engine(name: str) -> None:
    mode = "llm" if name.startswith("llm.") else "hybrid"
    old = settings(trading__mode=mode, **BASE)
    values = {name: _another(name, flat(to_plain(old)).get(name))} | WITH.get(name, {})
    new = settings(
        trading__mode=mode, **BASE | {key.replace(".", "__"): each for key, each in values.items()}
    )
    tape = columns_tape({"X": {"ts": [1], "bid": [1.0], "ask": [1.1]}})
    made, changed = engine_for(new, tape), engine_for(old, tape)
    before = _derived(changed)
    changed.step(SettingsChanged(0, "old", "new", changes_between(old, new)))
    assert _derived(changed) == _derived(made) != before
    assert changed.parameters.settings == new


def test_change_of_a_setting_that_needs_a_restart_raises() -> None:
    harness = EngineHarness(EAGER, FLAT)
    with pytest.raises(Misconfigured, match=r"momentum\.lookback cannot change during a run"):
        _changed(harness, {"momentum.lookback": 5})
    with pytest.raises(Misconfigured, match=r"risk\.max_size cannot change during a run"):
        _changed(harness, {"risk.max_size": 5})


def test_change_of_one_symbol_leaves_the_others() -> None:
    quotes: dict[str, Any] = {"ts": [START_NS], "bid": [100.0], "ask": [100.1]}
    engine = engine_for(settings(**EAGER), columns_tape({"X": quotes, "BRK.B": quotes}))
    changes: dict[str, Any] = {
        "symbol_overrides.BRK.B.exits.stop_loss_bps": 7.0,
        "symbol_overrides.BRK.B.momentum.min_edge_bps": 3.0,
    }
    engine.step(SettingsChanged(START_NS, "old", "new", changes))
    assert [each.next_terms.stop_loss_bps for each in engine.instruments] == [1000, 7]
    assert engine.kernel_states["min_edge_bps"].tolist() == [0, 3]
    ended = dict.fromkeys(changes)
    engine.step(SettingsChanged(START_NS, "new", "old", ended))
    assert [each.next_terms.stop_loss_bps for each in engine.instruments] == [1000, 1000]
    assert engine.kernel_states["min_edge_bps"].tolist() == [0, 0]


# at once


def test_lowered_limit_refuses_the_next_entry_and_a_raised_one_admits_it() -> None:
    harness = EngineHarness(EAGER, FLAT)
    _changed(harness, {"risk.max_position_notional": "1"})
    assert submitted(harness.quotes(5)) == [] and harness.engine.codes()["max_position"] == 4
    _changed(harness, {"risk.max_position_notional": "1000000"})
    assert len(submitted(harness.quotes(1))) == 1


def test_raised_order_rate_lets_entries_go_on_at_once() -> None:
    harness, entry = entered(LONG, risk__max_orders_per_minute=1)
    _expired(harness, entry)
    assert submitted(harness.quotes(3)) == [] and harness.engine.state.name == "reducing"
    events = _changed(harness, {"risk.max_orders_per_minute": 5})
    assert [event.state for event in events_of(TradingStateChanged, events)] == ["active"]
    assert len(submitted(harness.quotes(1))) == 1


def test_lowered_order_rate_counts_the_orders_before_it() -> None:
    harness, entry = entered(LONG, risk__max_orders_per_minute=5)
    _expired(harness, entry)
    _changed(harness, {"risk.max_orders_per_minute": 1})
    assert submitted(harness.quotes(3)) == [] and harness.engine.codes()["order_rate"] > 0


def test_raised_daily_loss_lets_entries_go_on_at_once() -> None:
    large = {"sizing__target_balance_pct": 90, "sizing__max_order_amount": 9_000}
    fallen = [*LONG[:3], *((ts, 50.0, 50.1) for ts, _, _ in LONG[3:])]
    harness, entry = entered(fallen, risk__max_daily_loss_pct=1, **large)
    harness.fill(entry)
    (sell,) = submitted(harness.quotes(2))
    harness.fill(sell)
    harness.quotes(3)
    assert harness.engine.state.causes == {"daily_loss"}
    _changed(harness, {"risk.max_daily_loss_pct": "99"})
    assert len(submitted(harness.quotes(3))) == 1


def test_watch_for_a_silent_feed_begins_and_ends_with_its_setting() -> None:
    harness, entry = entered(risk__silent_feed_s=0)
    harness.fill(entry)
    _changed(harness, {"risk.silent_feed_s": 30.0})
    harness.fire_timers_until(harness.engine.now_ns + 30 * NS_PER_S)
    assert harness.engine.state.causes == {"silent"}
    harness.quotes(1)
    _changed(harness, {"risk.silent_feed_s": 0.0})
    harness.fire_timers_until(harness.engine.now_ns + 60 * NS_PER_S)
    assert harness.engine.state.name == "active"


def test_lag_limit_counts_for_the_next_report() -> None:
    harness = EngineHarness(EAGER, FLAT)
    _changed(harness, {"risk.max_lag_ms": 10.0})
    harness.step(LoopLag(harness.engine.now_ns, 11.0))
    assert harness.engine.state.causes == {"lag"}


def test_momentum_threshold_counts_for_the_next_quote() -> None:
    harness = EngineHarness(EAGER, FLAT)
    _changed(harness, {"momentum.min_edge_bps": 5.0})
    assert submitted(harness.quotes(5)) == [] and harness.engine.codes()["no_edge"] == 4


def test_shorter_pause_asks_the_question_that_waits() -> None:
    harness = ProposalHarness(LONG, llm__min_interval_s=200)
    harness.decide("keep")
    assert not events_of(DeliberationRequested, harness.quotes(5))
    (asked,) = _changed(harness, {"llm.min_interval_s": 1.0})
    assert isinstance(asked, DeliberationRequested)


def test_longer_pause_delays_the_question_that_waits() -> None:
    harness = ProposalHarness(LONG, llm__min_interval_s=10)
    question = harness.next_question()
    harness.decide("keep", question)
    harness.quotes(2)
    _changed(harness, {"llm.min_interval_s": 100.0})
    assert harness.fire_timers_until(question.at_ns + 99 * NS_PER_S) == []
    assert len(harness.fire_timers_until(question.at_ns + 100 * NS_PER_S)) == 1


def test_cooldown_and_limits_of_agents_count_from_the_next_question_on() -> None:
    harness = ProposalHarness(LONG)
    changes = {"llm.no_trade_cooldown_quotes": 7, "risk.max_position_notional": "123"}
    _changed(harness, changes)
    question = harness.next_question()
    assert harness.engine.questions[-1].snapshot.limits.max_position_notional == 123
    (cooled, *_) = events_of(CooldownChanged, harness.decide("no_trade", question))
    assert cooled.quotes == 7


# with the next entry


EXITS = {"exits.take_profit_bps": 10.0, "exits.stop_loss_bps": 20.0}


def test_open_position_keeps_its_exits_and_the_next_entry_has_the_new_ones() -> None:
    harness, entry = entered(LONG)
    harness.fill(entry)
    state = harness.engine.instruments[0]
    before = (state.take_profit, state.stop_loss)
    _changed(harness, EXITS)
    harness.quotes(5)
    assert (state.take_profit, state.stop_loss) == before
    _closed(harness, entry)
    (second,) = submitted(harness.quotes(1))
    harness.fill(second)
    assert second.take_profit == pytest.approx(100.05 * 1.001)
    assert second.stop_loss == pytest.approx(100.05 * 0.998)
    assert (state.take_profit, state.stop_loss) == (second.take_profit, second.stop_loss)


def test_entry_that_fills_after_the_change_keeps_the_exits_it_was_sent_with() -> None:
    harness, entry = entered(LONG, **GTC)
    harness.accept(entry)
    _changed(harness, EXITS | {"exits.max_hold_s": 5.0})
    harness.fill(entry)
    assert harness.engine.instruments[0].take_profit == entry.take_profit
    assert submitted(harness.fire_timers_until(harness.engine.now_ns + 60 * NS_PER_S)) == []


def test_position_with_a_time_limit_keeps_it() -> None:
    harness, entry = entered(LONG, exits__max_hold_s=20)
    harness.fill(entry)
    _changed(harness, {"exits.max_hold_s": 0.0})
    (sell,) = submitted(harness.fire_timers_until(harness.engine.now_ns + 20 * NS_PER_S))
    assert (sell.side, sell.reason) == (SELL, "time_stop")


def test_trailing_stop_of_a_position_keeps_its_distance() -> None:
    """A distance of 100 bps sells at 119.79 below the highest bid of 121; one of 1000 bps would not."""
    prices = [100.0, 100.0, 121.0, 119.0]
    quotes = [(START_NS + i * NS_PER_S, price, price + 0.1) for i, price in enumerate(prices)]
    trail = {"exits__trailing_activation_bps": 50, "exits__trailing_distance_bps": 100}
    harness, entry = entered(quotes, **trail | {"exits__take_profit_bps": 9_000})
    harness.fill(entry)
    _changed(harness, {"exits.trailing_distance_bps": 1_000.0})
    assert [order.reason for order in submitted(harness.quotes(2))] == ["trailing_stop"]


def test_resting_entry_keeps_its_time_and_its_pricing() -> None:
    rising = [(ts, 100.0 + i / 10, 100.1 + i / 10) for i, (ts, _, _) in enumerate(LONG)]
    harness, entry = entered(rising, **GTC, execution__cancel_after_s=30, execution__reprice_after_s=3)
    harness.accept(entry)
    changes = {"execution.cancel_after_s": 100.0, "execution.reprice_after_s": 0.0}
    _changed(harness, changes | {"execution.aggression_bps": 0.0})
    harness.quotes(3)
    (moved,) = harness.fire_timers_until(harness.engine.now_ns)
    assert isinstance(moved, ReplaceOrder) and moved.limit == Decimal(
        "100.5"
    )  # the ask: a limit at the mid would be lower
    assert cancelled(harness.fire_timers_until(harness.engine.now_ns + 30 * NS_PER_S)) == [entry.order_id]


def test_entry_in_slices_keeps_its_slices() -> None:
    harness, first = entered(LONG, execution__twap_slices=4, execution__twap_s=12)
    harness.fill(first)
    _changed(harness, {"execution.twap_slices": 1, "execution.twap_s": 0.0, "sizing.max_order_amount": "20"})
    harness.quotes(5)
    (second,) = submitted(harness.fire_timers_until(harness.engine.now_ns))
    assert second.quantity == first.quantity


def test_refused_entry_does_not_change_the_terms_of_slices_that_are_left() -> None:
    slices = {"execution__twap_slices": 4, "execution__twap_s": 12}
    harness, first = entered(LONG, **slices, execution__min_order_interval_ms=100_000)
    _expired(harness, first)
    _changed(harness, {"exits.take_profit_bps": 10.0, "execution.min_order_interval_ms": 100_000.0})
    harness.quotes(1)
    assert harness.engine.codes()["rate_limited"] > 0
    assert harness.engine.instruments[0].terms.take_profit_bps == 1000


def test_entry_that_replaces_slices_left_is_sized_by_the_settings_now() -> None:
    harness, first = entered(LONG, execution__twap_slices=2, execution__twap_s=100)
    _expired(harness, first)
    _changed(harness, {"sizing.max_order_amount": "20"})
    (second,) = submitted(harness.quotes(1))
    assert second.quantity * Decimal("100.1") <= 10 < first.quantity * 100


def test_next_entry_is_sized_and_sent_as_the_settings_are_now() -> None:
    harness, first = entered(LONG)
    harness.fill(first)
    _changed(harness, {"execution.time_in_force": "gtc", "sizing.max_order_amount": "50"})
    _closed(harness, first)
    (second,) = submitted(harness.quotes(1))
    assert second.time_in_force == "gtc" and second.quantity * Decimal("100.1") <= 50 < first.quantity * 100


# replay


TRADING: dict[str, Any] = {
    "momentum__min_edge_bps": 0,
    "momentum__warmup_count": 0,
    "momentum__evaluate_every_quotes": 1,
    "exits__take_profit_bps": 3,
    "exits__stop_loss_bps": 3,
}
CHOICES: dict[str, list[Any]] = {
    "exits.take_profit_bps": [2.0, 8.0],
    "exits.max_hold_s": [0.0, 3.0],
    "execution.aggression_bps": [0.0, 9.0],
    "execution.cooldown_ms": [0.0, 5_000.0],
    "sizing.max_order_amount": ["60", "900"],
    "momentum.min_edge_bps": [-1.0, 0.4],
    "risk.max_orders_per_minute": [6, 600],
    "risk.max_position_notional": ["80", "100000"],
}
CHANGES = st.fixed_dictionaries({}, optional={key: st.sampled_from(each) for key, each in CHOICES.items()})
TAPE = synthesize(SyntheticSpec(hours=1 / 180, quotes_per_s=10, seed=4))


def _run(wanted: Settings, changes: dict[int, dict[str, Any]], tape: Tape = TAPE) -> tuple[Engine, Recording]:
    """Runs a tape; the settings change after these numbers of seconds."""
    record, nonce = Recording(), nonce_from_seed(1)
    engine = engine_for(wanted, tape)
    venue = SimulatedVenue(VenueModel.of(wanted), lots_of(wanted, tape.symbols), tape.rows, nonce=nonce)
    runtime, first_ns = VirtualRuntime(engine, venue, tape.rows, record, clock=venue), int(tape.rows.ts[0])
    runtime.begin(nonce)
    for second, change in sorted(changes.items()):
        at_ns = first_ns + second * NS_PER_S - 1
        runtime.advance(at_ns)
        runtime.inject(SettingsChanged(at_ns, "old", "new", change))
    runtime.advance(NEVER)
    runtime.finish()
    return engine, record


@limits(max_examples=15, deadline=None)
@given(CHANGES)
def test_run_changed_before_its_first_row_is_one_with_those_settings(changes: dict[str, Any]) -> None:
    changed, _ = _run(settings(**TRADING), {0: changes})
    wanted = {key.replace(".", "__"): value for key, value in changes.items()}
    made, _ = _run(settings(**TRADING | wanted), {})
    assert changed.result() == made.result()


@limits(max_examples=15, deadline=None)
@given(st.dictionaries(st.integers(0, 20), CHANGES, max_size=3))
def test_run_with_changes_replays_from_its_record(changes: dict[int, dict[str, Any]]) -> None:
    wanted = settings(**TRADING)
    engine, record = _run(wanted, changes)
    decoded = msgspec.json.decode(msgspec.json.encode(record), type=list[type(record[0])])  # type: ignore[misc]
    again = engine_for(wanted, TAPE)
    assert replay(again, TAPE.rows, decoded) is None
    assert again.result() == engine.result() and again.parameters.settings == engine.parameters.settings


def test_changes_during_a_run_change_what_it_does() -> None:
    plain, _ = _run(settings(**TRADING), {})
    for name, (one, other) in CHOICES.items():
        results = [_run(settings(**TRADING), {1: {name: value}})[0].result() for value in (one, other)]
        assert results[0] != results[1], name
    assert plain.result().buys > 10
