"""The export in the format of the earlier bot, with known answers."""

from decimal import Decimal
from typing import Any

from autohedge.core.events import (
    AnyEvent,
    ExecutionReport,
    FillBooked,
    OrderAdopted,
    OrderMassStatus,
    OrderRejected,
    SubmitOrder,
    VenueOrderStatus,
)
from autohedge.core.orders import BUY, ENTER, GTC, IOC, LEAVE, LIMIT, MARKET, SELL, Side
from autohedge.core.units import NS_PER_MINUTE
from autohedge.records.legacy_export import LegacyTradeExport, export_files, statistics, summary

D = Decimal


def _order(order_id: str, at_ns: int, **changes: Any) -> SubmitOrder:
    buy = {"side": BUY, "purpose": ENTER, "order_type": LIMIT, "limit": D(100), "reason": "entry"}
    buy |= {"take_profit": 101.0, "stop_loss": 99.5}
    sell = {"side": SELL, "purpose": LEAVE, "order_type": MARKET, "limit": None, "reason": "take_profit"}
    sell |= {"take_profit": None, "stop_loss": None}
    facts: dict[str, Any] = {"quantity": D(2)} | (buy if order_id.startswith("b") else sell) | changes
    return SubmitOrder(at_ns=at_ns, order_id=order_id, symbol="X", time_in_force=IOC, **facts)


def _report(order_id: str, at_ns: int, price: str, quantity: str = "2") -> ExecutionReport:
    return ExecutionReport(at_ns, order_id, "fill", at_ns, f"t{order_id}", D(quantity), D(price), D("0.1"))


def _fill(order_id: str, at_ns: int, price: str, quantity: str = "2") -> list[AnyEvent]:
    return [_report(order_id, at_ns, price, quantity), _booked(order_id)]


def _booked(order_id: str) -> FillBooked:
    return FillBooked(order_id, D(0), D(0), D(0), D(0))


def _bust(order_id: str) -> ExecutionReport:
    return ExecutionReport(9 * NS_PER_MINUTE, order_id, "bust", 9 * NS_PER_MINUTE, f"t{order_id}")


EVENTS: list[AnyEvent] = [
    _order("b1", 0),
    *_fill("b1", 0, "100"),
    _report("b1", 0, "100"),
    _order("s1", NS_PER_MINUTE),
    *_fill("s1", NS_PER_MINUTE, "103"),
    _order("b2", 2 * NS_PER_MINUTE),
    OrderRejected(2 * NS_PER_MINUTE, "b2", "no"),
    _order("b3", 3 * NS_PER_MINUTE),
    *_fill("b3", 3 * NS_PER_MINUTE, "100"),
    _order("s2", 4 * NS_PER_MINUTE, quantity=D(1)),
    *_fill("s2", 4 * NS_PER_MINUTE, "98", "1"),
]


def test_fills_count_once_and_fees_of_both_sides_are_paid() -> None:
    made = summary(LegacyTradeExport.of(EVENTS))
    assert (made["total_orders"], made["total_exec_reports"], made["rejected"]) == (5, 5, 1)
    assert (made["buys"], made["sells"], made["filled"]) == (2, 2, 4)
    profits = [D(trade["pnl"]) for trade in made["history"]["X"]]
    assert profits == [D("206") - D("0.1") - D("200.1"), D("98") - D("0.1") - D("100.05")]
    assert D(made["total_realized_pnl"]) == sum(profits)
    assert (made["winning_trades"], made["losing_trades"]) == (1, 1)
    assert made["open_positions"] == {"X": "1"}
    assert D(made["total_notional"]) == 200 + 206 + 200 + 98


def test_statistics_are_texts_with_units() -> None:
    made = statistics(LegacyTradeExport.of(EVENTS))
    assert made["runtime_minutes"] == "4.0"
    assert made["trades_per_hour"] == "30.00"
    assert made["win_rate_pct"] == "50.0%"
    assert made["profit_factor"] == f"{5.8 / 2.15:.2f}"
    assert made["total_realized_pnl"] == "$3.6500"
    assert made["avg_profit_per_trade"] == "$1.8250"


def test_a_run_without_a_trade_has_reports_too() -> None:
    made = export_files(iter([]))
    assert made["trades.jsonl"] == []
    assert made["trade_summary.json"]["start_time"] is None
    assert made["trade_stats.json"]["profit_factor"] == "0.00"


def test_each_request_and_each_report_is_a_line() -> None:
    lines = LegacyTradeExport.of(EVENTS).lines
    statuses = [line["status"] for line in lines]
    assert statuses.count("order_created") == 5
    assert statuses.count("filled") == 4
    assert lines[0]["notes"] == "type=limit sl=99.5 tp=101.0"
    assert lines[1] == {
        "ts": "1970-01-01 00:00:00.000",
        "symbol": "X",
        "action": "buy",
        "order_id": "b1",
        "status": "filled",
        "qty": "2",
        "price": "100",
        "notional": "200",
        "fee": "0.1",
    }


def test_rejection_repeated_after_a_restart_counts_once() -> None:
    repeated = OrderRejected(9 * NS_PER_MINUTE, "b2", "no")
    assert export_files(iter([*EVENTS, repeated])) == export_files(iter(EVENTS))


def _adopted(side: Side) -> list[AnyEvent]:
    """Two fills of an unknown order, the list of orders that names it, and its adoption with its fills."""
    found = VenueOrderStatus("x", "X", side, LIMIT, GTC, D(100), D(4), D(0), "open")
    reports: list[AnyEvent] = [
        ExecutionReport(0, "x", "fill", 0, trade, D(2), D(100), D(0)) for trade in ("t1", "t2")
    ]
    listing: list[AnyEvent] = [
        OrderMassStatus(0, 0, (found,)),
        OrderAdopted(found, "external", ENTER if side is BUY else LEAVE),
    ]
    return [*reports, *listing, _booked("x"), _booked("x")]


def test_fills_of_an_adopted_order_count() -> None:
    made = LegacyTradeExport.of(_adopted(BUY))
    assert [(line["symbol"], line["status"]) for line in made.lines] == [("X", "filled")] * 2
    assert summary(made)["open_positions"] == {"X": "4"}


def test_sale_of_what_was_never_bought_has_no_percentage() -> None:
    closed = summary(LegacyTradeExport.of(_adopted(SELL)))["history"]["X"]
    assert [(trade["pnl"], trade["pnl_percent"]) for trade in closed] == [("200", None)] * 2


def test_a_busted_sale_leaves_the_position_open_and_has_no_profit() -> None:
    busted: list[AnyEvent] = [_bust("s1"), _booked("s1")]
    trades = LegacyTradeExport.of([*EVENTS[:7], *busted])
    made = summary(trades)
    assert (made["sells"], made["history"], made["open_positions"]) == (0, {}, {"X": "2"})
    assert [line["status"] for line in trades.lines][-2:] == ["filled", "busted"]


def test_a_fill_whose_bust_came_first_is_not_exported() -> None:
    trades = LegacyTradeExport.of([_order("b1", 0), _bust("b1"), _report("b1", 0, "100")])
    assert summary(trades)["filled"] == 0
    assert [line["status"] for line in trades.lines] == ["order_created"]


def test_a_closed_short_has_its_sale_first_and_gains_by_a_fall() -> None:
    entry = _order("s1", 0, purpose=ENTER, limit=D(100), reason="entry")
    cover = _order("b1", NS_PER_MINUTE, purpose=LEAVE, limit=None, reason="take_profit")
    made = LegacyTradeExport.of([entry, *_fill("s1", 0, "100"), cover, *_fill("b1", NS_PER_MINUTE, "90")])
    (closed,) = made.history["X"]
    assert closed["sell_time"] < closed["buy_time"]
    # Sold for 200 less 0.1, bought back for 180 and 0.1.
    assert (closed["sell_price"], closed["buy_price"], closed["pnl"]) == ("99.95", "90", "19.8")
    assert summary(made)["open_positions"] == {}


def test_an_open_short_is_listed_with_a_negative_quantity() -> None:
    entry = _order("s1", 0, purpose=ENTER, limit=D(100), reason="entry")
    assert summary(LegacyTradeExport.of([entry, *_fill("s1", 0, "100")]))["open_positions"] == {"X": "-2"}
