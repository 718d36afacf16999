"""The simulated venue: prices, quantities, fees, and the time at which the engine learns of them."""

from decimal import Decimal

import pytest

from autohedge.core.accounts import OpeningAccount
from autohedge.core.clock import NEVER
from autohedge.core.events import (
    CancelOrder,
    ExecutionReport,
    OrderAccepted,
    QueryFills,
    QueryOrder,
    SubmitOrder,
)
from autohedge.core.orders import Side, TimeInForce
from autohedge.exchanges.simulated import VenueModel
from tests.exchanges.harness import MS, NAN, fills, kinds, market_sell, order, resting, venue_harness
from tests.run_harness import settings

D = Decimal
BOOK = [(1, 100.0, 100.5)]


@pytest.mark.parametrize(
    ("limit", "outcome"),
    [("101", [("1", "100.5")]), ("100.5", [("1", "100.5")]), ("100.499999", []), ("99", [])],
)
def test_buy_within_its_limit_fills_whole_at_ask_else_expires(
    limit: str, outcome: list[tuple[str, str]]
) -> None:
    harness = venue_harness(BOOK)
    harness.venue.send(order(limit=D(limit)), MS)
    answers = harness.drain()
    assert fills(answers) == outcome
    assert kinds(answers) == ["fill" if outcome else "expired"]


@pytest.mark.parametrize(("limit", "filled"), [("100", True), ("99", True), ("100.01", False)])
def test_a_limit_sell_fills_at_the_bid_if_that_is_no_less(limit: str, filled: bool) -> None:
    harness = venue_harness(BOOK)
    harness.venue.send(order(side=Side.SELL, limit=D(limit)), MS)
    assert fills(harness.drain()) == ([("1", "100.0")] if filled else [])


def test_a_market_sell_takes_the_bid_whatever_it_is() -> None:
    harness = venue_harness([(1, 100.0, 100.5), (2, 3.0, 250.0)])
    harness.advance_to(1)
    harness.venue.send(market_sell(), 2 * MS)
    assert fills(harness.drain()) == [("1", "3.0")]


def test_the_book_is_the_last_valid_quote() -> None:
    harness = venue_harness(
        [(1, 100.0, 100.5), (2, 99.0, NAN), (3, 99.0, 98.0), (4, 0.0, 98.0), (5, 90.0, 91.0)]
    )
    harness.advance_to(3)
    harness.venue.send(order(), 4 * MS)
    assert fills(harness.drain()) == [("1", "100.5")]


@pytest.mark.parametrize("command", [order(), market_sell()])
def test_without_a_book_an_order_expires(command: SubmitOrder) -> None:
    harness = venue_harness([(1, NAN, NAN)])
    harness.venue.send(command, MS)
    assert kinds(harness.drain()) == ["expired"]


def test_a_fee_is_exact_and_every_fill_has_an_id_of_its_own() -> None:
    harness = venue_harness([(1, 61800.1, 61800.2)], taker_bps=D("12.5"))
    harness.venue.send(order(limit=D(70000), quantity=D("0.001618")), MS)
    harness.venue.send(order(order_id="b", limit=D(70000), quantity=D("0.001618")), MS)
    first, second = (a for a in harness.drain() if isinstance(a, ExecutionReport))
    assert first == ExecutionReport(
        MS, "a", "fill", MS, first.trade_id, D("0.001618"), D("61800.2"), D("0.12499090450")
    )
    assert second.order_id == "b" and second.trade_id != first.trade_id


def test_orders_that_stay_are_accepted_under_venue_ids_of_their_own() -> None:
    harness = venue_harness(BOOK)
    for name in "abc":
        harness.venue.send(resting(order_id=name, limit=D(99)), MS)
    accepted = [a for a in harness.drain() if isinstance(a, OrderAccepted)]
    assert [a.order_id for a in accepted] == ["a", "b", "c"]
    assert len({a.venue_order_id for a in accepted}) == 3


# What is due at d meets the last quote with ts <= d.
QUOTES = [(10, 99.0, 100.0), (11, 99.0, 100.1), (12, 99.0, 100.2), (12, 99.0, 100.3), (13, 99.0, 100.4)]


@pytest.mark.parametrize(
    ("latency", "response", "row", "price"),
    [(0, 0, 0, "100.0"), (0, 5, 0, "100.0"), (2, 0, 3, "100.3"), (2, 7, 3, "100.3")],
)
def test_an_order_is_due_after_its_latency_and_known_after_the_response(
    latency: int, response: int, row: int, price: str
) -> None:
    harness = venue_harness(QUOTES, order_latency_ns=latency * MS, response_latency_ns=response * MS)
    harness.venue.send(order(), 10 * MS)
    if latency:
        assert harness.venue.next_due_ns == (10 + latency) * MS
        harness.advance_to(row)
        harness.venue.advance()
    if latency or response:
        assert harness.drain() == []
        assert harness.venue.next_due_ns == (10 + latency + response) * MS
    (report,) = harness.drain_all()
    assert isinstance(report, ExecutionReport)
    assert (report.ts_ns, report.at_ns) == ((10 + latency) * MS, (10 + latency + response) * MS)
    assert str(report.price) == price


def test_fill_without_latency_is_known_at_once() -> None:
    harness = venue_harness(QUOTES)
    harness.venue.send(order(), 10 * MS)
    assert harness.venue.next_due_ns == NEVER
    assert kinds(harness.drain()) == ["fill"]


def test_order_arrival_precedes_answer_delivery_at_equal_time() -> None:
    harness = venue_harness(QUOTES, order_latency_ns=2 * MS, response_latency_ns=2 * MS)
    harness.venue.send(order(), 10 * MS)
    harness.venue.advance()
    harness.venue.send(order(order_id="b", limit=D(1)), 12 * MS)
    harness.venue.advance()
    assert harness.drain() == []
    harness.venue.advance()
    assert kinds(harness.drain()) == ["fill"]
    assert kinds(harness.drain_all()) == ["expired"]


def test_jitter_is_seeded_and_stays_within_its_bound() -> None:
    delays = {nonce: _delays(nonce) for nonce in ("one", "two")}
    assert delays["one"] == _delays("one") != delays["two"]
    for drawn in delays.values():
        assert min(drawn) >= 5 and max(drawn) <= 5 + 20
        assert {5, 25} <= set(drawn)


def _delays(nonce: str) -> list[int]:
    harness = venue_harness(BOOK, nonce=nonce, order_latency_ns=5, jitter_ns=20)
    drawn = []
    for now_ns in range(0, 30_000, 100):
        harness.venue.send(order(), now_ns)
        drawn.append(harness.venue.next_due_ns - now_ns)
        harness.drain_all()
    return drawn


def test_latencies_and_fees_are_those_of_the_settings() -> None:
    wanted = settings(
        account__maker_bps=1,
        account__taker_bps=2.5,
        simulated__order_latency_ms=0.0015,
        simulated__response_latency_ms=3,
        simulated__latency_jitter_ms=0.5,
        simulated__partial_fills=True,
        account__initial_cash=500,
    )
    model = VenueModel(
        D(1), D("2.5"), 1500, 3_000_000, 500_000, partial_fills=True, account=OpeningAccount(D(500))
    )
    assert VenueModel.of(wanted) == model


SIZED = [(1, 100.0, 100.5)]


@pytest.mark.parametrize(
    ("shown", "filled"), [(0.4, "0.4"), (0.45678, "0.45"), (1.0, "1"), (7.0, "1"), (0.0, "1"), (NAN, "1")]
)
def test_partial_fill_is_limited_to_shown_size_in_whole_lots(shown: float, filled: str) -> None:
    harness = venue_harness(SIZED, [shown], lot="0.01", partial_fills=True)
    harness.venue.send(order(), MS)
    answers = harness.drain()
    assert [D(quantity) for quantity, _ in fills(answers)] == [D(filled)]
    assert kinds(answers)[1:] == ([] if D(filled) == 1 else ["expired"])


def test_shown_size_below_one_lot_gives_no_fill() -> None:
    harness = venue_harness(SIZED, [0.009], lot="0.01", partial_fills=True)
    harness.venue.send(order(), MS)
    assert kinds(harness.drain()) == ["expired"]


def test_shown_sizes_are_ignored_unless_partial_fills_are_on() -> None:
    harness = venue_harness(SIZED, [0.4])
    harness.venue.send(order(), MS)
    assert fills(harness.drain()) == [("1", "100.5")]


def test_the_rest_of_a_partly_filled_market_order_expires() -> None:
    harness = venue_harness(SIZED, [0.4], partial_fills=True)
    harness.venue.send(market_sell(), MS)
    answers = harness.drain()
    assert kinds(answers) == ["fill", "expired"]
    assert [D(quantity) for quantity, _ in fills(answers)] == [D("0.4")]


FALLING = [(1, 101.5, 102.0), (2, 101.0, 101.5), (3, NAN, 100.0), (4, 100.0, 100.75), (5, 99.0, 99.5)]


def test_resting_buy_fills_at_its_limit_on_first_touching_quote() -> None:
    harness = venue_harness(FALLING)
    harness.venue.send(resting(), MS)
    assert kinds(harness.drain()) == ["order_accepted"]
    assert harness.next_touch == 3
    harness.advance_to(4)
    (report,) = harness.drain()
    assert isinstance(report, ExecutionReport)
    assert (report.price, report.quantity, report.ts_ns) == (D(101), D(1), 4 * MS)
    assert harness.next_touch is None


def test_resting_sell_fills_at_its_limit_on_first_reaching_bid() -> None:
    harness = venue_harness([(1, 99.0, 99.5), (2, 100.0, 110.0), (3, 101.0, 102.0)])
    harness.venue.send(resting(side=Side.SELL), MS)
    harness.advance_to(2)
    assert fills(harness.drain()) == [("1", "101")]


def test_a_marketable_order_takes_the_better_price_before_it_rests() -> None:
    harness = venue_harness(BOOK)
    harness.venue.send(resting(), MS)
    assert fills(harness.drain()) == [("1", "100.5")]
    assert harness.next_touch is None


def test_a_resting_order_does_not_react_to_the_quote_that_it_arrived_on() -> None:
    harness = venue_harness([(1, 100.0, 102.0), (1, 99.0, 101.0)])
    harness.venue.send(resting(limit=D(100)), MS)
    assert harness.next_touch is None
    harness.venue.send(resting(order_id="b", limit=D(101)), MS)
    assert harness.next_touch == 1


def test_a_resting_order_fills_by_shown_size_until_it_is_whole() -> None:
    books = [(1, 101.0, 102.0), (2, 100.0, 101.0), (3, 101.0, 101.5), (4, 100.0, 101.0), (5, 99.0, 100.0)]
    harness = venue_harness(books, [1.0, 0.3, 5.0, 0.3, 5.0], partial_fills=True)
    harness.venue.send(resting(), MS)
    harness.advance_to(4)
    answers = harness.drain()
    assert [(D(q), D(p)) for q, p in fills(answers)] == [
        (D("0.3"), D(101)),
        (D("0.3"), D(101)),
        (D("0.4"), D(101)),
    ]
    times = [a.ts_ns // MS for a in answers if isinstance(a, ExecutionReport)]
    assert times == [2, 4, 5] and kinds(answers) == ["order_accepted", "fill", "fill", "fill"]


def test_the_rest_of_a_partly_filled_resting_order_rests_on() -> None:
    harness = venue_harness([(1, 100.0, 100.5), (2, 100.0, 100.5)], [0.4, 5.0], partial_fills=True)
    harness.venue.send(resting(), MS)
    assert sorted(kinds(harness.drain())) == ["fill", "order_accepted"]
    harness.advance_to(1)
    assert [(D(q), D(p)) for q, p in fills(harness.drain())] == [(D("0.6"), D(101))]


def test_a_cancelled_order_is_gone() -> None:
    harness = venue_harness(FALLING)
    harness.venue.send(resting(), MS)
    harness.drain()
    harness.venue.send(CancelOrder(0, "a", "enough"), 2 * MS)
    assert harness.drain() == [ExecutionReport(2 * MS, "a", "canceled", 2 * MS, filled=D(0))]
    harness.advance_to(4)
    assert harness.drain() == []


def test_a_cancel_that_comes_after_the_fill_is_answered_by_the_fill() -> None:
    harness = venue_harness(FALLING)
    harness.venue.send(resting(), MS)
    harness.advance_to(3)
    harness.venue.send(CancelOrder(0, "a", "enough"), 4 * MS)
    assert kinds(harness.drain()) == ["order_accepted", "fill"]


def test_a_cancel_leaves_other_orders_at_rest() -> None:
    harness = venue_harness(FALLING)
    harness.venue.send(resting(), MS)
    harness.venue.send(resting(order_id="b", time_in_force=TimeInForce.GTC), MS)
    harness.venue.send(CancelOrder(0, "a", "enough"), MS)
    harness.advance_to(4)
    ended = [(a.order_id, a.kind) for a in harness.drain() if isinstance(a, ExecutionReport)]
    assert ended == [("a", "canceled"), ("b", "fill")]


def test_order_query_repeats_all_reports_and_the_resting_status() -> None:
    harness = venue_harness(
        [(1, 100.0, 100.5), (2, 100.0, 100.5), (3, 98.0, 99.0)], sizes=[0.4, 0.4, 0.4], partial_fills=True
    )
    harness.venue.send(resting(limit=D("100.5"), quantity=D("1")), MS)
    assert kinds(harness.drain()) == ["fill", "order_accepted"]
    harness.venue.send(QueryOrder(2 * MS, "a"), 2 * MS)
    assert kinds(harness.drain()) == ["order_accepted", "fill", "order_accepted"]
    harness.venue.send(CancelOrder(2 * MS, "a", "enough"), 2 * MS)
    assert kinds(harness.drain()) == ["canceled"]
    harness.venue.send(QueryOrder(3 * MS, "a"), 3 * MS)
    answers = harness.drain()
    assert kinds(answers) == ["fill", "order_accepted", "canceled"]
    assert {answer.at_ns for answer in answers} == {3 * MS}


def test_order_query_for_unknown_order_is_not_found() -> None:
    harness = venue_harness(BOOK)
    harness.venue.send(QueryOrder(MS, "nobody's"), MS)
    assert kinds(harness.drain()) == ["order_not_found"]


def test_an_id_sent_twice_is_one_order() -> None:
    harness = venue_harness(BOOK)
    harness.venue.send(order(), MS)
    harness.venue.send(order(), MS)
    answers = harness.drain()
    assert kinds(answers) == ["fill", "fill"]
    assert answers[0] == answers[1]
    assert len(harness.venue.fills("a")) == 1


def test_fill_query_returns_fills_since_a_time() -> None:
    harness = venue_harness([(1, 100.0, 100.5), (2, 100.0, 100.5)])
    harness.venue.send(order(), MS)
    harness.advance_to(1)
    harness.venue.send(order(order_id="b"), 2 * MS)
    harness.drain()
    for since_ns, ids in ((0, ["a", "b"]), (2 * MS, ["b"]), (3 * MS, [])):
        harness.venue.send(QueryFills(3 * MS, since_ns), 3 * MS)
        assert [getattr(answer, "order_id", None) for answer in harness.drain()] == ids


def test_a_question_is_answered_after_the_order_that_it_followed() -> None:
    harness = venue_harness(BOOK, order_latency_ns=MS, response_latency_ns=MS)
    harness.venue.send(order(), MS)
    harness.venue.send(QueryOrder(MS, "a"), MS)
    assert kinds(harness.drain_all()) == ["fill", "fill"]


def test_venue_forgets_oldest_finished_orders_but_no_resting_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("autohedge.exchanges.simulated.REMEMBERED_MAX", 2)
    harness = venue_harness(BOOK)
    harness.venue.send(resting(limit=D("90")), MS)
    for name in ("b", "c", "d"):
        harness.venue.send(order(order_id=name), MS)
    harness.drain()
    for name, known in (("a", "order_accepted"), ("b", "order_not_found"), ("c", "fill"), ("d", "fill")):
        harness.venue.send(QueryOrder(MS, name), MS)
        assert kinds(harness.drain())[0] == known


def test_fill_pays_maker_fee_after_resting_and_taker_fee_on_arrival() -> None:
    books = [(1, 101.0, 102.0), (2, 100.0, 101.0)]
    harness = venue_harness(books, maker_bps=D(2), taker_bps=D(5))
    harness.venue.send(resting(limit=D(101)), MS)
    harness.advance_to(1)
    harness.venue.send(resting(order_id="b", limit=D(101)), 2 * MS)
    reports = [a for a in harness.drain() if isinstance(a, ExecutionReport)]
    assert [(a.order_id, a.fee) for a in reports] == [("a", D("0.0202")), ("b", D("0.0505"))]
