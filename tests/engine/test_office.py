"""Orders, books and the venue's word through the engine: doubts, differences, exits, entries in parts."""

from decimal import Decimal
from typing import Any

import pytest

from autohedge.app import engine_for
from autohedge.core.events import (
    Accepted,
    Account,
    Active,
    Adopted,
    Alarm,
    AnyInput,
    CancelOrder,
    External,
    Halted,
    Lag,
    Link,
    NotFound,
    OrderList,
    QueryAccount,
    QueryFills,
    QueryOpen,
    QueryOrder,
    Reconciled,
    Reducing,
    Rejected,
    Replaced,
    ReplaceOrder,
    Report,
    Restarted,
    SubmitOrder,
    Throttled,
    Timer,
    Unknown,
    VenueOrder,
)
from autohedge.core.ids import derive
from autohedge.core.orders import BUY, GTC, LIMIT, OrderState
from autohedge.engine.engine import Engine
from autohedge.market import Rows
from tests.support import begun, quotes_tape, settings

START_NS = 1_700_000_000_000_000_000
S = 1_000_000_000
D = Decimal
EAGER: dict[str, Any] = {
    "momentum__evaluate_every_quotes": 1,
    "momentum__lookback": 1,
    "momentum__warmup_count": 0,
    "momentum__min_edge_bps": 0,
    "exits__take_profit_bps": 1000,
    "exits__stop_loss_bps": 1000,
}
QUOTES = [(START_NS + i * S, 100.0, 100.1) for i in range(60)]


def _engine(quotes: Any = QUOTES, **changes: Any) -> tuple[Engine, Rows]:
    tape = quotes_tape(quotes)
    return begun(engine_for(settings(**EAGER | changes), tape)), tape.rows


def _ordered(engine: Engine, rows: Rows) -> SubmitOrder:
    """Scan to the next order."""
    while not engine.log:
        assert engine.pos < len(rows), "no order came"
        engine.scan(rows, engine.pos, len(rows))
    order = engine.log.popleft().event
    assert isinstance(order, SubmitOrder)
    engine.log.clear()
    return order


def _hear(engine: Engine, *inputs: AnyInput) -> list[Any]:
    """What the engine says to these inputs, its inputs left out."""
    engine.log.clear()
    for each in inputs:
        engine.step(each)
    said = [entry.event for entry in engine.log if entry.event not in inputs]
    engine.log.clear()
    return said


def _fill(order: SubmitOrder, at_ns: int, quantity: str | None = None, trade: str = "t1") -> Report:
    amount, price = D(quantity) if quantity else order.quantity, D("100.1")
    return Report(at_ns, order.order_id, "fill", at_ns, trade, amount, price, D(0))


def _held(**changes: Any) -> tuple[Engine, Rows, SubmitOrder]:
    engine, rows = _engine(**changes)
    order = _ordered(engine, rows)
    _hear(engine, _fill(order, engine.now_ns))
    return engine, rows, order


def _until(engine: Engine, at_ns: int) -> list[Any]:
    """Deliver the engine's timers up to a time."""
    said = []
    while engine.next_deadline_ns <= at_ns:
        said += _hear(engine, Timer(engine.next_deadline_ns))
    return said


def _kinds(said: list[Any], *kinds: type) -> list[Any]:
    return [event for event in said if isinstance(event, kinds)]


def _listed(order: SubmitOrder, order_id: str | None = None, **facts: Any) -> VenueOrder:
    told: dict[str, Any] = {"filled": D(0), "status": "open"} | facts
    return VenueOrder(
        order_id or order.order_id, order.symbol, order.side, LIMIT, GTC, order.limit, order.quantity, **told
    )


# doubts


def test_an_order_without_an_answer_is_asked_for_ever_more_seldom_and_halts_entries_in_the_end() -> None:
    engine, rows = _engine(risk__unknown_halt_s=20)
    order = _ordered(engine, rows)
    said = _until(engine, engine.now_ns + 40 * S)
    assert engine.orders.working[order.order_id].state is OrderState.UNKNOWN
    asked = [event.at_ns - order.at_ns for event in _kinds(said, QueryOrder)]
    assert asked[:3] == [5 * S, 5 * S + S // 2, 6 * S + S // 2]
    (halted,) = _kinds(said, Halted)
    assert order.order_id in halted.reason and engine.halt_id == halted.halt_id


def test_absence_takes_a_second_denial_beyond_the_visibility_lag_and_a_list_without_the_order() -> None:
    engine, rows = _engine()
    order = _ordered(engine, rows)
    at_ns = engine.now_ns
    _hear(engine, Unknown(at_ns, order.order_id, "timeout"))
    early = NotFound(at_ns + S, order.order_id, at_ns + S)
    assert _hear(engine, early, NotFound(at_ns + 2 * S, order.order_id, at_ns + 2 * S)) == []
    assert _hear(engine, OrderList(at_ns + 3 * S, at_ns + 3 * S, ())) == []
    late = NotFound(at_ns + 6 * S, order.order_id, at_ns + 6 * S)
    assert _hear(engine, late) == [QueryOpen(at_ns + 6 * S)]
    _hear(engine, OrderList(at_ns + 7 * S, at_ns + 5 * S, ()))
    assert order.order_id in engine.orders.working
    _hear(engine, OrderList(at_ns + 8 * S, at_ns + 6 * S, ()))
    assert not engine.orders.working and engine.orders.reserved == 0


def test_an_end_that_counts_more_than_came_keeps_the_order_in_doubt_until_the_fill_is_here() -> None:
    engine, rows, _ = _held(exits__take_profit_bps=1, exits__stop_loss_bps=1)
    engine.scan(rows, engine.pos, engine.pos + 1)
    sell = engine.log.popleft().event
    assert isinstance(sell, SubmitOrder)
    at_ns = engine.now_ns
    _hear(engine, Report(at_ns, sell.order_id, "expired", at_ns, filled=D("0.3")))
    assert engine.orders.exit(0) is not None
    _hear(engine, _fill(sell, at_ns, "0.3"))
    assert engine.orders.exit(0) is None
    assert engine.ledger.position("X").quantity == sell.quantity - D("0.3")


# exits


def test_a_throttled_exit_is_sent_again_under_its_id_when_the_venue_listens_and_only_then() -> None:
    engine, rows, _ = _held(exits__stop_loss_bps=1)
    engine.scan(rows, engine.pos, engine.pos + 1)
    sell = engine.log.popleft().event
    assert isinstance(sell, SubmitOrder)
    until_ns = engine.now_ns + 3 * S
    assert _kinds(_hear(engine, Throttled(engine.now_ns, sell.order_id, until_ns)), Reducing)
    assert _kinds(_until(engine, until_ns - 1), SubmitOrder) == []
    said = _until(engine, until_ns)
    assert _kinds(said, SubmitOrder) == [sell]
    assert _kinds(said, Active) == [Active()]


def test_a_throttled_entry_is_not_sent_again() -> None:
    engine, rows = _engine()
    order = _ordered(engine, rows)
    _hear(engine, Throttled(engine.now_ns, order.order_id, engine.now_ns + S))
    assert not engine.orders.working
    assert _kinds(_until(engine, engine.now_ns + 2 * S), SubmitOrder) == []


def test_a_position_is_sold_after_its_time() -> None:
    engine, _, order = _held(exits__max_hold_s=10)
    said = _until(engine, order.at_ns + 10 * S)
    (sell,) = _kinds(said, SubmitOrder)
    assert (sell.reason, sell.at_ns, sell.quantity) == ("time_stop", order.at_ns + 10 * S, order.quantity)
    assert engine.desks[0].leaving == "time_stop"


def test_what_is_too_small_to_be_sold_alone_is_kept_for_the_next_exit() -> None:
    rules = {"instruments": '{"X" = {min_notional = 20}}'}
    engine, rows = _engine(exits__stop_loss_bps=1, **rules)
    order = _ordered(engine, rows)
    at_ns = engine.now_ns
    _hear(
        engine, _fill(order, at_ns, "0.1"), Report(at_ns, order.order_id, "expired", at_ns, filled=D("0.1"))
    )
    again = _ordered(engine, rows)
    assert again.side is BUY and engine.tally.exit_refusals == {"dust": 1}
    _hear(engine, _fill(again, engine.now_ns, trade="t2"))
    assert _ordered(engine, rows).quantity == again.quantity + D("0.1")


# entries in parts, and new limits


def test_an_entry_goes_out_in_parts_each_through_the_checks() -> None:
    quotes = QUOTES[:5]
    engine, rows = _engine(quotes, execution__twap_slices=3, execution__twap_s=30)
    first = _ordered(engine, rows)
    at_ns = engine.now_ns
    _hear(engine, Report(at_ns, first.order_id, "expired", at_ns, filled=D(0)))
    said = _until(engine, first.at_ns + 10 * S)
    assert _kinds(said, SubmitOrder) == [], "the last quote is older than risk.stale_after_ms"
    assert engine.tally.slice_refusals == {"stale": 1}
    assert engine.result()["slice_refusals"] == {"stale": 1}


def test_the_parts_of_an_entry_are_equal_and_come_at_equal_times() -> None:
    engine, rows = _engine(execution__twap_slices=4, execution__twap_s=8)
    orders = [_ordered(engine, rows)]
    whole = D("0.999000")
    for _ in range(3):
        at_ns = engine.now_ns
        _hear(engine, _fill(orders[-1], at_ns, trade=f"t{len(orders)}"))
        engine.scan(rows, engine.pos, engine.pos + 2)
        engine.log.clear()
        orders += _kinds(_until(engine, orders[-1].at_ns + 2 * S), SubmitOrder)
    assert [order.at_ns - orders[0].at_ns for order in orders] == [0, 2 * S, 4 * S, 6 * S]
    assert sum(order.quantity for order in orders) == whole
    assert len({order.quantity for order in orders[:-1]}) == 1


def test_a_resting_entry_gets_todays_limit() -> None:
    quotes = [*QUOTES[:3], *((START_NS + i * S, 99.0, 99.1) for i in range(3, 20))]
    engine, rows = _engine(quotes, execution__time_in_force='"gtc"', execution__reprice_after_s=3)
    order = _ordered(engine, rows)
    _hear(engine, Accepted(engine.now_ns, order.order_id, "v"))
    engine.scan(rows, engine.pos, 5)
    engine.log.clear()
    (replace,) = _kinds(_until(engine, order.at_ns + 3 * S), ReplaceOrder)
    assert (replace.order_id, replace.limit, replace.quantity) == (order.order_id, D("99.1"), order.quantity)
    reserved = engine.orders.reserved
    _hear(engine, Replaced(engine.now_ns, order.order_id, replace.limit, replace.quantity))
    assert engine.orders.reserved < reserved
    assert engine.orders.working[order.order_id].state is OrderState.OPEN


# the venue's books


def _pass(engine: Engine, at_ns: int, cash: Decimal, held: dict[str, Decimal]) -> list[Any]:
    asked = _kinds(_until(engine, at_ns), QueryAccount)[-1].at_ns
    return _hear(engine, OrderList(asked, asked, ()), Account(asked, asked, cash, held))


@pytest.mark.parametrize("policy", ["adopt", "alert", "halt"])
def test_what_no_order_explains_counts_when_seen_twice_and_is_dealt_with_as_told(policy: str) -> None:
    engine, _, order = _held(reconciliation__external=f'"{policy}"', reconciliation__every_s=20)
    there = {"X": order.quantity + 1}
    at_ns = engine.now_ns
    assert _pass(engine, at_ns + 21 * S, engine.ledger.cash, there) == [Reconciled(at_ns + 20 * S, 0)]
    said = _pass(engine, at_ns + 26 * S, engine.ledger.cash, there)
    assert _kinds(said, External) == [External("position", "X", D(1), policy)]  # type: ignore[arg-type]
    assert engine.ledger.position("X").quantity == order.quantity + (policy == "adopt")
    assert engine.halted is (policy == "halt")
    assert _kinds(_pass(engine, at_ns + 90 * S, engine.ledger.cash, there), External, Halted) == []


def test_an_order_that_the_record_lost_is_known_by_its_id_and_adopted_with_its_fills() -> None:
    engine, rows = _engine()
    engine.scan(rows, 0, 1)
    lost_id = derive("n", engine.seq + 40)
    wish = _ordered(_engine()[0], rows)
    engine.log.clear()
    _hear(engine, Restarted(engine.now_ns, engine.pos, "fresh"))
    at_ns = engine.now_ns
    fill = Report(at_ns, lost_id, "fill", at_ns, "t9", D("0.4"), D(100), D(0))
    assert [alarm.code for alarm in _kinds(_hear(engine, fill), Alarm)] == ["unknown_order"]
    said = _hear(engine, OrderList(at_ns, at_ns, (_listed(wish, lost_id, filled=D("0.4")),)))
    assert [adopted.why for adopted in _kinds(said, Adopted)] == ["lost_intent"]
    assert engine.ledger.position("X").quantity == D("0.4")
    assert engine.orders.working[lost_id].state is OrderState.PARTIAL


def test_an_order_of_someone_else_halts_once_and_is_left_alone() -> None:
    engine, rows = _engine()
    wish = _ordered(_engine()[0], rows)
    told = OrderList(START_NS, START_NS, (_listed(wish, "theirs"),))
    said = _hear(engine, told)
    assert [type(event) for event in said] == [Alarm, Halted]
    assert _hear(engine, told) == []


# the account's state


def test_too_many_errors_halt() -> None:
    engine, rows = _engine(risk__max_errors_per_minute=2)
    for _ in range(3):
        order = _ordered(engine, rows)
        said = _hear(engine, Rejected(engine.now_ns, order.order_id, "no"))
    assert _kinds(said, Halted) and engine.halt_id


@pytest.mark.parametrize("cut", [1, 7])
def test_a_silent_feed_reduces_and_the_next_row_ends_that_however_rows_are_cut(cut: int) -> None:
    quotes = [*QUOTES[:3], *((START_NS + (100 + i) * S, 100.0, 100.1) for i in range(9))]
    engine, rows = _engine(quotes, risk__silent_feed_s=30)
    order = _ordered(engine, rows)
    _hear(engine, _fill(order, engine.now_ns))
    engine.scan(rows, engine.pos, 3)
    said = _until(engine, START_NS + 99 * S)
    assert _kinds(said, Reducing) == [Reducing(("silent",))]
    while engine.pos < len(rows):
        engine.scan(rows, engine.pos, min(engine.pos + cut, len(rows)))
    (active,) = [entry for entry in engine.log if isinstance(entry.event, Active)]
    assert active.pos == 4


def test_a_link_that_was_down_is_followed_by_questions_before_entries() -> None:
    engine, rows = _engine()
    order = _ordered(engine, rows)
    at_ns = engine.now_ns
    assert _hear(engine, Link(at_ns, "down")) == [Reducing(("link",))]
    said = _hear(engine, Link(at_ns + S, "up"))
    assert {type(event) for event in said} >= {QueryOpen, QueryFills, QueryAccount, QueryOrder}
    assert engine.state.name == "reducing"
    listed = OrderList(at_ns + S, at_ns + S, (_listed(order),))
    said = _hear(engine, listed, Account(at_ns + S, at_ns + S, engine.ledger.cash, {}))
    assert said[-1] == Active()


def test_a_late_loop_takes_resting_entries_back() -> None:
    engine, rows = _engine(execution__time_in_force='"gtc"')
    order = _ordered(engine, rows)
    _hear(engine, Accepted(engine.now_ns, order.order_id, "v"))
    said = _hear(engine, Lag(engine.now_ns, 5_000.0))
    assert [type(event) for event in said] == [Reducing, CancelOrder]
    assert _hear(engine, Lag(engine.now_ns, 1.0)) == [Active()]
