"""Outcome codes: what happened to a quote, and why an order was refused.

The kernels count codes by number, so a number never changes its meaning. Codes below `STOPS_FROM` are final
in the kernel, codes in `STOPS` stop a scan so that the engine decides, and the engine, the risk checks or the
sizing give the others.
"""

from enum import IntEnum, unique


@unique
class Reason(IntEnum):
    """Outcome codes; `label` is their name in results and reports."""

    # final in the kernel
    BAD_QUOTE = 0
    EXIT_PENDING = 1
    WIDE_SPREAD = 2
    DEBOUNCE = 3
    WARMING_UP = 4
    NO_EDGE = 5
    IN_POSITION = 6
    ORDER_PENDING = 7
    LOW_VOLUME = 8
    BELOW_VWAP = 9
    BAR_FORMING = 10
    NO_SIGNAL = 11
    # a scan stops and the engine decides
    TAKE_PROFIT = 12
    STOP_LOSS = 13
    EXIT_SIGNAL = 14
    ENTRY = 15
    # the engine, sizing or risk refuse an entry
    HALTED = 16
    STALE = 17
    RATE_LIMITED = 18
    COOLING_DOWN = 19
    BUYING_POWER = 20
    ZERO_QUANTITY = 21
    MIN_QUANTITY = 22
    MAX_QUANTITY = 23
    MIN_NOTIONAL = 24
    MAX_NOTIONAL = 25
    PRICE_BAND = 26
    MAX_POSITION = 27
    MAX_EXPOSURE = 28
    DAILY_LOSS = 29
    ORDER_RATE = 30
    DUPLICATE = 31
    EXCEEDS_POSITION = 32
    NOT_FINITE = 33
    # later additions; numbers are only ever appended: a scan stops
    TRAILING_STOP = 34
    # given by the engine
    REDUCING = 35
    DUST = 36
    TIME_STOP = 37
    # final in the kernel too: an entry signal while the gate is not open
    GATE_CLOSED = 38
    GATE_COOLDOWN = 39
    GATE_EXPIRED = 40
    # llm mode: a deliberation is running, or the agents are cooling down after a refusal
    DELIBERATING = 41
    AGENTS_COOLDOWN = 42
    # trading.direction or the kind of the account does not allow the side of an entry
    NO_SHORT = 43
    NO_LONG = 44
    # of an account in several currencies
    NO_RATE = 45

    label: str

    def __init__(self, _number: int) -> None:
        """Sets `label` to the lower-case name, such as `take_profit`."""
        self.label = self.name.lower()


STOPS_FROM = int(Reason.TAKE_PROFIT)
STOPS = frozenset(
    {Reason.TAKE_PROFIT, Reason.STOP_LOSS, Reason.EXIT_SIGNAL, Reason.ENTRY, Reason.TRAILING_STOP}
)
GATES_FROM = int(Reason.GATE_CLOSED)
COUNT = len(Reason)

MEANINGS = {
    "bad_quote": "missing, not positive, crossed",
    "exit_pending": "an exit was on its way",
    "wide_spread": "spread above max_spread_bps",
    "debounce": "between two decisions",
    "warming_up": "not enough history yet",
    "no_edge": "moved less than min_edge_bps",
    "in_position": "holds already",
    "order_pending": "an order is on its way",
    "low_volume": "shown size below momentum.min_volume_ratio",
    "below_vwap": "price on the wrong side of the size-weighted mean",
    "bar_forming": "the bar is not finished",
    "no_signal": "the strategy gave no signal",
    "take_profit": "closed at the take-profit",
    "stop_loss": "closed at the stop-loss",
    "exit_signal": "closed because the strategy signalled it",
    "entry": "sent an order to enter",
    "halted": "trading was halted",
    "stale": "the quote was older than risk.stale_after_ms",
    "rate_limited": "sooner than execution.min_order_interval_ms",
    "cooling_down": "sooner than execution.cooldown_ms after an exit",
    "buying_power": "not enough free cash for the least order",
    "zero_quantity": "the order would be less than one lot",
    "min_quantity": "below risk.min_order_quantity",
    "max_quantity": "above risk.max_order_quantity",
    "min_notional": "below the least order value",
    "max_notional": "above risk.max_order_notional",
    "price_band": "further from the mid than risk.price_band_bps",
    "max_position": "above risk.max_position_notional",
    "max_exposure": "above risk.max_exposure_notional",
    "daily_loss": "lost more than risk.max_daily_loss_pct today",
    "order_rate": "more than risk.max_orders_per_minute",
    "duplicate": "such an order is already working",
    "exceeds_position": "would close more than is held",
    "not_finite": "a price or quantity was not a number",
    "trailing_stop": "closed by its trailing stop",
    "reducing": "entries were paused; the journal has the cause",
    "dust": "too small to be closed alone",
    "time_stop": "closed because it was held long enough",
    "gate_closed": "entry signal, but no verdict allowed it",
    "gate_cooldown": "entry signal, but a verdict against it was recent",
    "gate_expired": "entry signal, but the verdict was too old",
    "deliberating": "the agents were being asked",
    "agents_cooldown": "the agents had refused recently",
    "no_short": "trading.direction or account.kind allows no short",
    "no_long": "trading.direction allows no long",
    "no_rate": "a currency that is held or needed had no rate yet",
}
"""The text for people of each code, by its label."""
