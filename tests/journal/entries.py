"""One event of every type, as a run might record them."""

from decimal import Decimal

from autohedge.core.events import (
    Accepted,
    AnyEvent,
    Booked,
    CancelOrder,
    EndOfTape,
    Entry,
    Halted,
    NotFound,
    Operator,
    QueryFills,
    QueryOrder,
    Rejected,
    Report,
    Restarted,
    Resumed,
    RunNonce,
    RunResult,
    SubmitOrder,
    Timer,
    Trouble,
    Unknown,
)
from autohedge.core.orders import OrderType, Side, TimeInForce

D = Decimal
GENESIS = {"format": 1, "settings": "0123.json", "strategy": None, "tape": [{"symbol": "BTC/USD"}]}
EVENTS: list[AnyEvent] = [
    RunNonce("00ff"),
    SubmitOrder(
        5, "id-1", "BTC/USD", Side.BUY, OrderType.LIMIT, TimeInForce.GTC, D("61800.20"), D("0.001618"),
        "entry", 62418.202, 61491.199,
    ),
    Accepted(2**62, "id-1", "sim-1"),
    Report(7, "id-1", "fill", 5, "t1", D("0.001618"), D("61800.2"), D("0.0999927236")),
    Booked("id-1", D("0.001618"), D("99.9927236"), D("9899.9072836764"), D(0)),
    CancelOrder(5, "id-1", "it rested too long"),
    Report(7, "id-1", "canceled", 6),
    SubmitOrder(
        7, "id-2", "BTC/USD", Side.SELL, OrderType.MARKET, TimeInForce.IOC, None, D("1E-6"),
        "stop_loss", None, None,
    ),
    Rejected(8, "id-2", 'quotes " and \\ and line\nbreaks, Ünïcödé'),
    Unknown(9, "id-2", "timeout"),
    Report(9, "id-2", "expired", 9),
    Timer(10),
    Operator(11, "halt", "lunch"),
    Halted("lunch"),
    Operator(12, "resume", "coffee"),
    Resumed("coffee"),
    Trouble(13, "No space left on device"),
    Halted("No space left on device", "halt-16"),
    Restarted(14, 50, "00fe", ("id-3", "id-4")),
    QueryFills(14, 5),
    QueryOrder(14, "id-3"),
    NotFound(15, "id-3"),
    EndOfTape(),
    RunResult({"cash": "10000.00", "quotes": 17, "codes": {"entry": 1}, "fills": [], "open": None}),
]  # fmt: skip
ENTRIES = [Entry(number, 3 * number, event) for number, event in enumerate(EVENTS, start=1)]
