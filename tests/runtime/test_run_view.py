"""The view of a run: its figures are those of the engine, and looking at them changes nothing."""

import math

import pytest

from autohedge.app import engine_for
from autohedge.core.reasons import Reason
from autohedge.runtime.run_view import RunView
from tests.run_harness import begun, play, quotes_tape, settings

S = 10**9
EAGER = {
    "momentum__evaluate_every_quotes": 1,
    "momentum__lookback": 1,
    "momentum__warmup_count": 0,
    "momentum__min_edge_bps": 0,
}
RISE = [(S * n, 100.0 + n / 100, 100.02 + n / 100) for n in range(1, 6)]


def test_quote_and_momentum_of_an_instrument_are_those_of_the_last_row() -> None:
    tape = quotes_tape(RISE)
    engine = begun(engine_for(settings(**EAGER | {"momentum__min_edge_bps": 50}), tape))
    view = RunView(engine, tape.rows)
    engine.scan(tape.rows, 0, 3)
    x = view.instrument_of_row(2)
    assert x is view.instrument("X") is view.instruments[0]
    assert (view.pos, view.row_count, x.bid, x.ask) == (3, 5, RISE[2][1], RISE[2][2])
    assert x.spread_bps == (x.ask - x.bid) / x.mid * 10_000
    assert x.edge_bps and 0.9 < x.edge_bps < 1.1 and x.min_edge_bps == 50
    assert x.reason_counts[Reason.NO_EDGE] == view.result().codes["no_edge"] > 0


def test_quote_before_the_first_one_is_nan() -> None:
    tape = quotes_tape(RISE)
    x = RunView(engine_for(settings(**EAGER), tape), tape.rows).instrument("X")
    assert all(map(math.isnan, (x.bid, x.ask, x.mid, x.spread_bps, x.edge_bps or 0.0)))


def test_position_of_an_instrument_is_that_of_the_ledger() -> None:
    tape = quotes_tape(RISE)
    played = play(settings(**EAGER), tape)
    x = RunView(played.engine, tape.rows).instrument("X")
    (fill,) = played.engine.stats.fills
    assert x.entry_price == pytest.approx(float(fill.price))
    assert 0 < x.stop_loss < x.entry_price < x.take_profit


def test_what_a_strategy_does_not_measure_is_none() -> None:
    tape = quotes_tape(RISE)
    x = RunView(engine_for(settings(strategy__name="crossover"), tape), tape.rows).instrument("X")
    assert (x.edge_bps, x.min_edge_bps, x.debounce, x.entry_price) == (None, None, None, 0.0)


def test_looking_at_positions_makes_none() -> None:
    tape = quotes_tape(RISE)
    engine = engine_for(settings(), tape)
    assert [each.entry_price for each in RunView(engine, tape.rows).instruments] == [0.0]
    assert engine.ledger.positions == {}
