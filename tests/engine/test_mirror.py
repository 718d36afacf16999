"""The mirror law: on the reflection of a tape, mirrored signals give mirrored fills and the same profit."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from autohedge.config import Settings
from autohedge.core.ids import Randomness, nonce_from_seed, seeded_random
from autohedge.core.orders import BUY, SELL, Purpose, Side
from autohedge.core.results import Fill
from autohedge.core.units import NS_PER_S
from autohedge.engine.engine import Engine
from autohedge.exchanges.simulated import SimulatedVenue, VenueModel, lots_of
from autohedge.kernels.state import BOTH
from autohedge.market import Tape
from autohedge.runtime.virtual import VirtualRuntime
from autohedge.strategies import Quote, Signal, Strategy
from autohedge.strategies.python import PythonStrategyRunner
from autohedge.strategies.user_code import StrategyModuleFinder
from tests.run_harness import Played, Recording, columns_tape, settings

START_NS = 1_700_000_000 * NS_PER_S
# Prices are multiples of a quarter around 100, so that reflected ones are exact. An order of 950 or 475 is then 9 or
# 4 units at any of them, so that the quantities of a long and its reflection are equal.
SUM = 200.0
STEP = 0.25
OPPOSITE = {BUY: SELL, SELL: BUY}


@dataclass(frozen=True)
class Row:
    """One quote, and what the strategy signals at it."""

    mid: float
    half_spread: float
    bid_size: float
    ask_size: float
    signal: Signal | None

    def reflected(self) -> "Row":
        signal = self.signal and _reflected(self.signal)
        return Row(SUM - self.mid, self.half_spread, self.ask_size, self.bid_size, signal)


def _reflected(signal: Signal) -> Signal:
    prices = {name: getattr(signal, name) for name in ("limit", "stop", "target")}
    return msgspec.structs.replace(
        signal,
        side=signal.side and OPPOSITE[signal.side],
        **{name: SUM - price for name, price in prices.items() if price is not None},
    )


def _signal(rng: Randomness, mid: float) -> Signal | None:
    side, kind = rng.choice([BUY, SELL]), rng.random()
    if kind < 0.25:
        return Signal(Purpose.LEAVE, rng.choice([side, None]))
    if kind < 0.6:
        return None
    up = 1.0 if side is BUY else -1.0
    return Signal(
        Purpose.ENTER,
        side,
        size_hint=rng.choice([None, 0.5]),
        limit=rng.choice([None, mid - up * _distance(rng)]),
        stop=mid - up * _distance(rng),
        target=mid + up * _distance(rng),
        horizon=rng.choice([None, 2, 30]),
    )


def _distance(rng: Randomness) -> float:
    return rng.randint(1, 4) * STEP


def _market(seed: int) -> list[Row]:
    # One number instead of a draw for each value, which would take most of the time.
    rng, steps, rows = seeded_random(str(seed), "mirror"), 0, []
    for _ in range(rng.randint(5, 60)):
        steps = max(-6, min(6, steps + rng.randint(-3, 3)))
        mid, bid_size, ask_size = 100.0 + steps * STEP, *rng.choices([0.0, 2.0, 50.0], k=2)
        rows.append(Row(mid, rng.randint(0, 2) * STEP, bid_size, ask_size, _signal(rng, mid)))
    return rows


def _wanted(**changes: Any) -> Settings:
    return settings(
        trading__direction="both",
        account__kind="covered",
        account__maker_bps=0,
        account__taker_bps=0,
        instruments='{"X"={lot=1}}',
        sizing__target_balance_pct=100,
        sizing__min_order_amount=100,
        sizing__max_order_amount=950,
        risk__max_order_notional=10_000,
        risk__max_position_notional=10_000,
        risk__max_exposure_notional=10_000,
        risk__price_band_bps=5_000,
        execution__cooldown_ms=0,
        execution__min_order_interval_ms=0,
        **changes,
    )


def _strategy(rows: list[Row]) -> type[Strategy]:
    class Scripted(Strategy):
        def on_quote(self, quote: Quote) -> Signal | None:
            return rows[(quote.ts_ns - START_NS) // NS_PER_S].signal

    return Scripted


def _tape(rows: list[Row]) -> Tape:
    columns: dict[str, Any] = {
        "ts": [START_NS + n * NS_PER_S for n in range(len(rows))],
        "bid": [row.mid - row.half_spread for row in rows],
        "ask": [row.mid + row.half_spread for row in rows],
        "bid_size": [row.bid_size for row in rows],
        "ask_size": [row.ask_size for row in rows],
    }
    return columns_tape({"X": columns})


def _played(rows: list[Row], wanted: Settings) -> Played:
    tape, nonce, record = _tape(rows), nonce_from_seed(0), Recording()
    runner = PythonStrategyRunner(_strategy(rows), wanted, tape.streams, StrategyModuleFinder(None))
    runner.lanes["direction"] = BOTH
    engine = Engine(wanted, tape.symbols, runner)
    venue = SimulatedVenue(VenueModel.of(wanted), lots_of(wanted, tape.symbols), tape.rows, nonce=nonce)
    VirtualRuntime(engine, venue, tape.rows, record, clock=venue).run(nonce)
    return Played(engine, record)


def _key(fill: Fill, price: Callable[[Decimal], Decimal], side: Callable[[Side], Side]) -> tuple[Any, ...]:
    return fill.ts_ns, side(fill.side), fill.qty, price(fill.price), fill.reason, fill.realized


SETTINGS = st.builds(
    _wanted,
    execution__time_in_force=st.sampled_from(["ioc", "gtc"]),
    execution__cancel_after_s=st.sampled_from([3, 60]),
    execution__twap_slices=st.just(1),
    simulated__partial_fills=st.booleans(),
    simulated__order_latency_ms=st.sampled_from([0, 1500]),
    simulated__response_latency_ms=st.sampled_from([0, 700]),
    exits__max_hold_s=st.sampled_from([0, 7]),
)


@budget(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), SETTINGS)
def test_a_reflected_tape_gives_reflected_fills(seed: int, wanted: Settings) -> None:
    rows = _market(seed)
    there, here = _played(rows, wanted), _played([row.reflected() for row in rows], wanted)
    fills = [_key(fill, lambda price: price, lambda side: side) for fill in there.engine.stats.fills]
    mirrored = [
        _key(fill, lambda price: Decimal(int(SUM)) - price, OPPOSITE.__getitem__)
        for fill in here.engine.stats.fills
    ]
    assert mirrored == fills
    first, second = there.result, here.result
    assert first.codes == second.codes
    assert (first.buys, first.longs) == (second.sells, second.shorts)
    assert first.realized_pnl == second.realized_pnl
    assert first.unrealized_pnl == second.unrealized_pnl
    assert first.equity == second.equity
    assert first.open_position == -second.open_position
    assert first.winning_exits == second.winning_exits


def test_long_and_reflected_short_end_in_every_way() -> None:
    enter, leave = Signal(Purpose.ENTER, BUY, stop=99.0, target=101.0), Signal(Purpose.LEAVE)
    moves = [(0, enter), (5, None), (0, enter), (-5, None), (0, enter), (0, leave), (0, enter)]
    moves += [(0, None)] * 9
    rows = [Row(100.0 + steps * STEP, STEP, 50.0, 50.0, signal) for steps, signal in moves]
    for market, side in ((rows, BUY), ([row.reflected() for row in rows], SELL)):
        fills = _played(market, _wanted(exits__max_hold_s=4)).engine.stats.fills
        assert [fill.reason for fill in fills[1::2]] == [
            "take_profit",
            "stop_loss",
            "exit_signal",
            "time_stop",
        ]
        assert {fill.side for fill in fills[::2]} == {side} and {fill.side for fill in fills[1::2]} == {
            OPPOSITE[side]
        }
        assert [fill.realized for fill in fills[1::2]] == [
            Decimal(each) * 9 for each in ("0.75", "-1.75", "-0.5", "-0.5")
        ]
