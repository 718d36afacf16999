"""Short positions from the entry to the exit, with prices, P&L and fees computed by hand."""

from decimal import ROUND_DOWN, Decimal
from typing import Any

import numpy as np
import pytest

from autohedge.core.events import (
    AccountState,
    Alert,
    Event,
    ExecutionReport,
    OperatorCommand,
    OrderAdopted,
    OrderMassStatus,
    ReplaceOrder,
    SubmitOrder,
    VenueOrderStatus,
)
from autohedge.core.orders import BUY, ENTER, GTC, LEAVE, LIMIT, MARKET, SELL, Side
from autohedge.core.units import NS_PER_S
from autohedge.market import tape_of
from tests.engine.harness import START_NS, EngineHarness
from tests.execution.trading_factory import EAGER, FLAT, cancelled, entered, submitted
from tests.run_harness import Played, Quotes, play, quotes_tape, settings

D = Decimal
COVERED: dict[str, Any] = {"trading__direction": "both", "account__kind": "covered"}
ADOPT: dict[str, Any] = {"reconciliation__external": "adopt"}
SHORT_ONLY: dict[str, Any] = COVERED | {"trading__direction": "short"}
# A fall of 1 % sells short 1.010101 at 99.0, for 99.999999; the mid is then 99.1.
FALLING = [(100.0, 100.2), (99.0, 99.2)]
BY_HAND: dict[str, Any] = COVERED | {
    "momentum__evaluate_every_quotes": 1,
    "momentum__lookback": 1,
    "momentum__warmup_count": 2,
    "momentum__min_edge_bps": 50,
    "momentum__max_spread_bps": 100,
    "exits__take_profit_bps": 100,
    "exits__stop_loss_bps": 100,
    "account__taker_bps": 10,
    "account__initial_cash": 10000,
    "sizing__min_order_amount": 100,
    "sizing__max_order_amount": 100,
}


def _played(prices: list[tuple[float, float]], **changes: Any) -> Played:
    quotes: Quotes = [(START_NS + n * NS_PER_S, bid, ask) for n, (bid, ask) in enumerate(prices)]
    return play(settings(**BY_HAND | changes), quotes_tape(quotes))


def _fills(played: Played) -> list[tuple[Side, Decimal, Decimal, str]]:
    return [(fill.side, fill.qty, fill.price, fill.reason) for fill in played.engine.stats.fills]


ENTRY = (SELL, D("1.010101"), D("99.0"), "entry")


@pytest.mark.parametrize(
    ("later", "reason", "price", "realized", "fees"),
    [
        # 99.1 less 1 % is 98.109: an ask of 98.11 is above it. 99.999999 - 1.010101 * 98.1
        ([(97.0, 98.11), (97.0, 98.1)], "take_profit", "98.1", "0.9090909", "0.1990909071"),
        # 99.1 plus 1 % is 100.091: an ask of 100.09 is below it. 99.999999 - 1.010101 * 100.1
        ([(99.9, 100.09), (99.0, 100.1)], "stop_loss", "100.1", "-1.1111111", "0.2011111091"),
        # The trail begins at an ask of 99.1 less 0.5 %, 98.6045, and ends 0.3 % above the lowest ask of 98.5.
        (
            [(98.0, 98.61), (98.0, 98.5), (98.0, 98.79), (98.0, 98.8)],
            "trailing_stop",
            "98.8",
            "0.2020202",
            "0.1997979778",
        ),
    ],
)
def test_a_short_ends_at_the_ask_that_meets_its_level(
    later: list[tuple[float, float]], reason: str, price: str, realized: str, fees: str
) -> None:
    trail = {"exits__trailing_activation_bps": 50, "exits__trailing_distance_bps": 30}
    played = _played([*FALLING, *later], **trail if reason == "trailing_stop" else {})
    assert _fills(played) == [ENTRY, (BUY, D("1.010101"), D(price), reason)]
    result = played.result
    assert (result.realized_pnl, result.fees) == (D(realized), D(fees))
    assert result.cash == result.equity == D(10000) + D(realized) - D(fees)
    assert result.winning_exits == (D(realized) > 0)
    assert (result.longs, result.shorts, result.buys, result.sells) == (0, 1, 1, 1)
    assert getattr(result, {"stop_loss": "stop_losses"}.get(reason, reason + "s")) == 1


def test_an_open_short_is_worth_what_it_costs_to_cover() -> None:
    played = _played([*FALLING, (98.7, 98.9)])
    result = played.result
    assert result.open_positions == {"X": D("-1.010101")} and result.open_position == D("-1.010101")
    # 99.999999 - 1.010101 * 98.9
    assert result.unrealized_pnl == D("0.1010101")
    assert result.cash == D(10000) + D("99.999999") - D("0.099999999")
    assert result.equity == D(10000) + D("0.1010101") - D("0.099999999")


def test_the_journal_has_the_natural_levels_of_a_short() -> None:
    (order,) = _played(FALLING).events(SubmitOrder)
    assert (order.side, order.purpose, order.limit) == (SELL, ENTER, D("99.0"))
    assert (order.take_profit, order.stop_loss) == (99.1 * (1.0 - 0.01), 99.1 * (1.0 + 0.01))


def test_a_cash_account_ends_a_short_signal_in_no_short() -> None:
    result = _played(FALLING, account__kind="cash").result
    assert (result.codes["no_short"], result.codes["entry"], result.open_positions) == (1, 0, {})
    assert (result.longs, result.shorts) == (0, 0)  # they are shown where the direction is not long


def test_a_run_that_may_only_be_long_shows_no_directions() -> None:
    rising = [(99.0, 99.2), (100.0, 100.2)]
    result = _played(rising, trading__direction="long", account__kind="cash").result
    assert (result.buys, result.longs, result.shorts) == (1, None, None)


def test_longs_and_shorts_together_are_worth_at_most_the_equity() -> None:
    sizes = {"sizing__target_balance_pct": 60, "sizing__max_order_amount": 10**6}
    wide = {f"risk__max_{each}_notional": 10**6 for each in ("order", "position", "exposure")}
    quotes: Quotes = [(START_NS + n * NS_PER_S, bid, ask) for n, (bid, ask) in enumerate(FALLING)]
    tape = tape_of([quotes_tape(quotes, symbol).streams[0] for symbol in ("A", "B")])
    first, second = play(settings(**BY_HAND | sizes | wide), tape).engine.stats.fills
    assert (first.qty, first.price) == (D("60.606060"), D("99.0"))
    # Equity is 10 000 less a spread of 12.1212 and a fee of 5.9999; 6 012.1211 of it is what the first one costs to cover.
    power = D(10_000) - first.qty * (D("99.2") - D("99.0")) - first.fee - first.qty * D("99.2")
    assert second.qty == (power * D("0.6") / D("99.0")).quantize(D("0.000001"), ROUND_DOWN)


def _short(quotes: Quotes = FLAT, **changes: Any) -> tuple[EngineHarness, SubmitOrder]:
    """An engine whose short entry is filled."""
    harness, entry = entered(quotes, **SHORT_ONLY | changes)
    harness.fill(entry)
    return harness, entry


def test_a_time_stop_covers_a_short() -> None:
    harness, entry = _short(exits__max_hold_s=5)
    (cover,) = submitted(harness.fire_timers_until(harness.engine.now_ns + 5 * NS_PER_S))
    assert (cover.side, cover.purpose, cover.order_type) == (BUY, LEAVE, MARKET)
    assert (cover.quantity, cover.reason) == (entry.quantity, "time_stop")


def test_flatten_covers_a_short_and_carries_on_what_is_left() -> None:
    harness, entry = _short()
    (cover,) = submitted(harness.step(OperatorCommand(harness.engine.now_ns, "flatten", "home")))
    assert (cover.side, cover.quantity, cover.reason) == (BUY, entry.quantity, "flatten")
    half = D("0.5")
    harness.fill(cover, half)
    harness.step(ExecutionReport(harness.engine.now_ns, cover.order_id, "expired", 1, filled=half))
    (rest,) = submitted(harness.quotes(1))
    assert (rest.side, rest.quantity) == (BUY, entry.quantity - half)
    harness.fill(rest)
    assert harness.engine.portfolio.holding == 0 and submitted(harness.quotes(2)) == []


def test_a_resting_short_reserves_its_limit_and_follows_the_mid_down() -> None:
    quotes: Quotes = [
        (START_NS, 100.0, 100.2),
        (START_NS + NS_PER_S, 99.8, 100.0),
        (START_NS + 6 * NS_PER_S, 99.0, 99.2),
    ]
    harness, entry = entered(
        quotes,
        **SHORT_ONLY,
        execution__time_in_force="gtc",
        execution__aggression_bps=0,
        execution__reprice_after_s=3,
        account__taker_bps=10,
    )
    assert (entry.limit, entry.time_in_force) == (D("99.9"), GTC)  # the mid
    assert harness.engine.orders.reserved == entry.quantity * D("99.9") * D("1.001")
    harness.accept(entry)
    harness.quotes(1)
    replaced = [e for e in harness.fire_timers_until(START_NS + 7 * NS_PER_S) if isinstance(e, ReplaceOrder)]
    assert [each.limit for each in replaced] == [D("99.1")]
    assert cancelled(harness.step(OperatorCommand(harness.engine.now_ns, "halt", "stop"))) == [entry.order_id]


def test_slices_of_a_short_are_sold_at_the_bid_until_someone_buys() -> None:
    harness, first = entered(
        **SHORT_ONLY, execution__twap_slices=3, execution__twap_s=30, risk__stale_after_ms=60_000
    )
    harness.fill(first)
    (second,) = submitted(harness.fire_timers_until(harness.engine.now_ns + 10 * NS_PER_S))
    assert (second.side, second.purpose, second.limit) == (SELL, ENTER, D("100.0"))
    assert second.quantity == first.quantity
    harness.engine.execution.adopt_position(0, D(-1), D(100), harness.engine.now_ns)
    assert harness.engine.instruments[0].slices is not None
    harness.engine.execution.adopt_position(0, D("0.1"), D(100), harness.engine.now_ns)
    assert harness.engine.instruments[0].slices is None


def test_a_cover_beyond_the_position_halts() -> None:
    harness, entry = _short()
    (cover,) = submitted(harness.step(OperatorCommand(harness.engine.now_ns, "flatten", "home")))
    harness.step(OperatorCommand(harness.engine.now_ns, "resume", "again"))
    events = harness.fill(cover, entry.quantity + 1)
    alerts = [event for event in events if isinstance(event, Alert)]
    assert [(alert.code, alert.subject) for alert in alerts] == [("long", "X")]
    assert alerts[0].text.endswith("position 1.000000, more bought than sold short")
    assert harness.engine.halted


def test_a_short_halts_entries_in_a_cash_account_only() -> None:
    for kind, halted in (("covered", False), ("cash", True)):
        harness = EngineHarness(EAGER | ADOPT | {"account__kind": kind}, FLAT)
        harness.quotes(1)
        _external(harness, D(-2))
        assert harness.engine.halted is halted


def _external(harness: EngineHarness, quantity: Decimal) -> list[Event]:
    """Lets two states of the account show a position that no order explains."""
    engine, events = harness.engine, []
    for wait_s in (0, 60):
        now_ns = engine.now_ns + wait_s * NS_PER_S
        events += harness.step(AccountState(now_ns, now_ns, engine.ledger.cash, {"X": quantity}))
    return events


def test_an_adopted_short_has_the_exits_of_a_short_from_the_ask() -> None:
    harness = EngineHarness(
        EAGER
        | ADOPT
        | SHORT_ONLY
        | {"momentum__min_edge_bps": 10**6, "exits__take_profit_bps": 100, "exits__stop_loss_bps": 200},
        FLAT,
    )
    harness.quotes(1)
    _external(harness, D(-2))
    state, kernel = harness.engine.instruments[0], harness.engine.kernel_states[0]
    assert harness.engine.ledger.position("X").cost == D(-2) * D("100.1")
    assert (state.take_profit, state.stop_loss) == pytest.approx((99.099, 102.102))
    assert (kernel["take_profit"], kernel["stop_loss"]) == (-state.take_profit, -state.stop_loss)
    assert kernel["short"] == 1


@pytest.mark.parametrize(
    ("direction", "held", "side", "purpose"),
    [
        ("long", "0", SELL, LEAVE),
        ("long", "0", BUY, ENTER),
        ("short", "0", BUY, LEAVE),
        ("short", "-1", SELL, ENTER),
        ("both", "1", SELL, LEAVE),
        ("both", "-1", BUY, LEAVE),
        ("both", "0", SELL, ENTER),
        ("both", "-1", SELL, ENTER),
    ],
)
def test_an_order_found_at_the_venue_leaves_if_it_is_against_the_position(
    direction: str, held: str, side: Side, purpose: object
) -> None:
    harness = EngineHarness(EAGER | ADOPT | COVERED | {"trading__direction": direction}, FLAT)
    harness.quotes(1)
    if D(held):
        harness.engine.execution.adopt_position(0, D(held), D(100), harness.engine.now_ns)
    found = VenueOrderStatus("x", "X", side, LIMIT, GTC, D(100), D(1), D(0), "open")
    now_ns = harness.engine.now_ns
    events = harness.step(OrderMassStatus(now_ns, now_ns, (found,)))
    assert [event.purpose for event in events if isinstance(event, OrderAdopted)] == [purpose]


def test_a_position_that_turns_leaves_no_trail_of_its_former_side() -> None:
    trail = {"exits__trailing_activation_bps": 10, "exits__trailing_distance_bps": 50}
    rising: Quotes = [(START_NS + n * NS_PER_S, 100.0 + n / 10, 100.1 + n / 10) for n in range(9)]
    harness = EngineHarness(EAGER | ADOPT | COVERED | trail | {"momentum__min_edge_bps": 10**6}, rising)
    harness.quotes(1)
    engine, kernel = harness.engine, harness.engine.kernel_states[0]
    _external(harness, D(2))
    harness.quotes(4)
    assert kernel["trail_from"] == -np.inf and kernel["trail_keep"] == 1.0 - 0.005
    _external(harness, D(-1))
    assert kernel["trail_from"] == -engine.instruments[0].trail_from > -np.inf
    assert (kernel["short"], kernel["trail_keep"]) == (1, 1.0 + 0.005)


def test_dust_of_a_short_is_left_alone_until_it_grows() -> None:
    harness, entry = _short(instruments='{"X"={min_notional=10}}', exits__max_hold_s=5)
    harness.engine.execution.adopt_position(0, entry.quantity - D("0.01"), D(100), harness.engine.now_ns)
    assert submitted(harness.fire_timers_until(harness.engine.now_ns + 5 * NS_PER_S)) == []
    assert harness.engine.instruments[0].dust


def test_a_throttled_cover_is_sent_again_for_no_more_than_is_short() -> None:
    harness, _ = _short()
    (cover,) = submitted(harness.step(OperatorCommand(harness.engine.now_ns, "flatten", "home")))
    engine = harness.engine
    engine.execution.resubmit(cover.order_id, engine.now_ns)
    assert submitted(harness.drain()) == [cover]
    engine.execution.adopt_position(0, D("0.5"), D(100), engine.now_ns)
    engine.execution.resubmit(cover.order_id, engine.now_ns)
    assert submitted(harness.drain()) == []  # more than is short now: the venue must tell what became of it
