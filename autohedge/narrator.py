"""What a run says on the way: a line per thing that matters, and how far it has come.

The lines keep the shapes of the Rust bot that came before (`[HFT] BUY trigger …`), so what was
grepped for is still found. They go to stderr; stdout is the summary's.
"""

import sys
from decimal import Decimal
from typing import Any

import numpy as np

from autohedge.config import Settings
from autohedge.core.abstentions import told
from autohedge.core.events import (
    Active,
    Adopted,
    Alarm,
    AnyEvent,
    Booked,
    CancelOrder,
    Cooldown,
    Decision,
    Deliberate,
    Disposed,
    Entry,
    External,
    GateChanged,
    Halted,
    Link,
    NotFound,
    Overfilled,
    PromptsChanged,
    Reducing,
    Rejected,
    ReplaceOrder,
    Report,
    Restarted,
    Resumed,
    RunNonce,
    SubmitOrder,
    Throttled,
    Unknown,
)
from autohedge.core.orders import BUY
from autohedge.core.reasons import Reason
from autohedge.engine.engine import Engine
from autohedge.engine.questions import BYPASS
from autohedge.engine.watch import Silent, Watch, Watcher
from autohedge.market.tape import Rows
from autohedge.progress import Bar, Lines, Mouth, Pace

CENTS = Decimal("0.01")
REASONS = tuple(Reason)
VENUE = "simulated venue, no real money"
LEVELS = ("low", "normal", "verbose")


def watch(settings: Settings, *, on_clock: bool, quiet: bool) -> Watch:
    """Who looks on: nobody if `quiet`, else a narrator at the configured level."""
    if quiet:
        return Silent
    level = settings.chatter_level
    if level == "auto":
        level = "normal" if on_clock else "low"

    def narrator(engine: Engine, rows: Rows, run: str) -> Watcher:
        mouth = Mouth(patient=not on_clock)
        shape = Bar if sys.stderr.isatty() else Lines
        pace: Pace = shape(engine, len(rows), mouth)
        banner = f"[RUN] {run}: {settings.trading.mode} · {settings.trader} · {VENUE}"
        return Narrator(engine, rows, LEVELS.index(level), pace, banner)

    return narrator


class Narrator:
    """Says what happens in one run: at level 0 what is wrong, 1 decisions too, 2 every quote."""

    def __init__(self, engine: Engine, rows: Rows, level: int, pace: Pace, banner: str) -> None:
        self.wants = ALWAYS_WANTED if level == 0 else ALWAYS_WANTED | WANTED_TOO
        self.wants_rows = level > 1
        self._engine = engine
        self._rows = rows
        self._level = level
        self._pace = pace
        self._banner = banner
        self._fill: Report | None = None
        self._waits: dict[tuple[str, str], int] = {}
        self._said: set[str] = set()
        self._lane_of = {desk.instrument.symbol: lane for lane, desk in enumerate(engine.desks)}
        self._before = engine.lanes["counts"].copy()
        self._trader = "[AGENT]" if engine.slow and engine.slow.proposes else "[HFT]"

    def wake(self) -> None:
        """Show how far the run has come, now and then."""
        self._pace.wake()

    def tell(self, line: str) -> None:
        """Say what is wrong outside the record."""
        self._say(0, line)

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._pace.close()

    def saw(self, entry: Entry) -> None:
        """Say an event, if it is worth a line at this level."""
        match event := entry.event:
            case RunNonce() | Restarted():
                self._waits.clear()
                self._before = self._engine.lanes["counts"].copy()
                self._say(1, self._banner)
            case SubmitOrder() if self._level:
                self._submitted(event)
            case Report(kind="fill"):
                self._fill = event
            case Booked() if self._fill:
                self._say(1, _about_fill(self._fill))
            case Deliberate() | Decision():
                self._unanswered(event)
            case Halted():
                self._waits.clear()
        if said := _line(event):
            self._say(*said)

    def row(self, row: int) -> None:
        """Say what became of a row."""
        lane = int(self._rows.lane[row])
        counts = self._engine.lanes["counts"][lane]
        code = REASONS[int(np.argmax(counts - self._before[lane]))]
        self._before[lane] = counts
        symbol = self._symbol(lane)
        if code is Reason.DEBOUNCE and "debounce" in self._fields:
            seen, wanted = (int(self._lane(lane)[key]) for key in ("debounce", "evaluate_every_quotes"))
            self._say(
                2, f"[HFT] Debounce {symbol}: {seen}/{wanted} quotes collected (mid={self._mid(lane):.8f})"
            )
        elif code not in SAID_ELSEWHERE:
            self._say(2, f"{self._trader} Skip {symbol}: {self._why(code, lane)}")
        if held := self._entry_price(lane):
            bid = self._quote(lane)[0]
            self._say(
                2, f"[MONITOR] Check {symbol}: entry={held:.8f} current={bid:.8f} pl={_percent(bid, held)}"
            )

    def _submitted(self, order: SubmitOrder) -> None:
        lane = self._lane_of[order.symbol]
        symbol, (bid, ask) = self._symbol(lane), self._quote(lane)
        if order.side is BUY:
            guards = f"entry(mid)={self._mid(lane):.8f} tp={order.take_profit:.8f} sl={order.stop_loss:.8f}"
            self._say(
                1, f"{self._trader} BUY trigger {symbol}: {self._edge(lane)}{self._spread(lane)} | {guards}"
            )
            price = order.limit or Decimal(str(ask))
        else:
            self._say(1, self._sell_trigger(order, lane))
            price = Decimal(str(bid))
        worth = (order.quantity * price).quantize(CENTS)
        self._say(
            1, f"[ORDER] {order.order_type.upper()} {symbol} qty={order.quantity} @ ${price} (${worth})"
        )

    def _sell_trigger(self, order: SubmitOrder, lane: int) -> str:
        desk, entry, bid = self._engine.desks[lane], self._entry_price(lane), self._quote(lane)[0]
        mark = {
            "take_profit": f" tp={desk.take_profit:.8f}",
            "stop_loss": f" sl={desk.stop_loss:.8f}",
            "trailing_stop": f" highest={self._lane(lane)['highest']:.8f}",
        }
        why = order.reason.upper().replace("_", " ")
        figures = f"entry={entry:.8f} current={bid:.8f} ({_percent(bid, entry)})"
        return (
            f"[MONITOR] SELL trigger ({why}) for {self._symbol(lane)}: {figures}{mark.get(order.reason, '')}"
        )

    def _unanswered(self, event: Deliberate | Decision) -> None:
        """Say when nobody answers; at every level once for each reason."""
        where, code = (event.kind, event.symbol), ""
        if isinstance(event, Deliberate):
            code = "timeout" if where in self._waits else ""
            self._waits[where] = event.number
        elif self._waits.get(where) == event.number:
            del self._waits[where]
        if isinstance(event, Decision) and event.verdict == "abstain" and event.source != BYPASS:
            code = event.code
        if code:
            self._say(int(code in self._said), f"[AGENT] {event.symbol}: no answer ({code}): {told(code)}")
            self._said.add(code)

    # what the lane knows

    @property
    def _fields(self) -> tuple[str, ...]:
        return self._engine.lanes.dtype.names or ()

    def _lane(self, lane: int) -> Any:
        return self._engine.lanes[lane]

    def _quote(self, lane: int) -> tuple[float, float]:
        return float(self._lane(lane)["bid"]), float(self._lane(lane)["ask"])

    def _mid(self, lane: int) -> float:
        return sum(self._quote(lane)) / 2.0

    def _symbol(self, lane: int) -> str:
        return self._engine.desks[lane].instrument.symbol

    def _entry_price(self, lane: int) -> float:
        position = self._engine.ledger.position(self._engine.desks[lane].instrument.symbol)
        return float(position.cost) / float(position.quantity) if position.quantity else 0.0

    def _edge_bps(self, lane: int) -> float:
        state = self._lane(lane)
        past = state["mids"][state["slot"] if state["accepted"] > state["lookback"] else 0]
        return float((self._mid(lane) - past) / past * 10_000.0)

    def _edge(self, lane: int) -> str:
        if "min_edge_bps" not in self._fields:
            return ""
        least = float(self._lane(lane)["min_edge_bps"])
        return f"edge_bps={self._edge_bps(lane):.2f} >= min_edge_bps={least:.2f}, "

    def _spread_bps(self, lane: int) -> float:
        bid, ask = self._quote(lane)
        return (ask - bid) / self._mid(lane) * 10_000.0

    def _spread(self, lane: int) -> str:
        most = ""
        if "max_spread_bps" in self._fields:
            most = f" <= max_spread_bps={self._lane(lane)['max_spread_bps']:.2f}"
        return f"spread_bps={self._spread_bps(lane):.2f}{most}"

    def _why(self, code: Reason, lane: int) -> str:
        state = self._lane(lane)
        match code:
            case Reason.BAD_QUOTE:
                return "invalid quote"
            case Reason.WIDE_SPREAD:
                return f"spread_bps={self._spread_bps(lane):.2f} > {state['max_spread_bps']:.2f}"
            case Reason.WARMING_UP:
                return "insufficient history"
            case Reason.NO_EDGE:
                return f"edge_bps={self._edge_bps(lane):.2f} < {state['min_edge_bps']:.2f}"
            case _:
                return code.label

    def _say(self, level: int, line: str) -> None:
        """Symbols and a venue's words come from outside: nothing in them may move a terminal's cursor."""
        if self._level >= level:
            self._pace.say(line if line.isprintable() else "".join(map(_shown, line)))


ALWAYS_WANTED: frozenset[type] = frozenset(
    {
        Halted,
        Rejected,
        Unknown,
        Throttled,
        Restarted,
        Alarm,
        Overfilled,
        Adopted,
        External,
        Link,
        Deliberate,
        Decision,
    }
)
WANTED_TOO: frozenset[type] = frozenset(
    {
        RunNonce,
        GateChanged,
        Disposed,
        Cooldown,
        PromptsChanged,
        Resumed,
        Reducing,
        Active,
        SubmitOrder,
        CancelOrder,
        ReplaceOrder,
        Report,
        Booked,
        NotFound,
    }
)
IDLE = frozenset({"no_edge", "limits"})
SAID_BY_ORDERS = frozenset({"entry", "exit_signal", "in_position", "no_trade"})
SAID_ELSEWHERE = frozenset(
    {Reason.ENTRY, Reason.TAKE_PROFIT, Reason.STOP_LOSS, Reason.EXIT_SIGNAL, Reason.TRAILING_STOP}
)


def _line(event: AnyEvent) -> tuple[int, str] | None:
    """From which level on an event is worth a line, and the line."""
    return _about_us(event) or _about_venue(event) or _about_order(event)


def _about_us(event: AnyEvent) -> tuple[int, str] | None:
    """Whether we trade."""
    match event:
        case Halted():
            known = f" (halt id {event.halt_id})" if event.halt_id else ""
            return 0, f"[RISK] Entries halted: {event.reason}{known}"
        case Restarted():
            lost = len(event.lost_at_crash)
            return 0, f"[TRACKER] Restarted at row {event.pos}; orders lost at the crash, unsent: {lost}"
        case Resumed():
            return 1, f"[RISK] Entries resumed: {event.reason}"
        case Reducing():
            return 1, f"[RISK] Entries wait: {', '.join(event.causes)}"
        case Active():
            return 1, "[RISK] Entries go on"
        case _:
            return _about_gate(event)


def _about_gate(event: AnyEvent) -> tuple[int, str] | None:
    """What is asked about a gate, and what it changes."""
    match event:
        case Deliberate(kind="gate"):
            return 1, f"[HYBRID] Refreshing LLM gate for {event.symbol} (question {event.number})"
        case GateChanged(state="open"):
            return 1, f"[HYBRID] Gate OPEN for {event.symbol} by {event.why}."
        case GateChanged():
            return 1, f"[HYBRID] Gate {event.state.upper()} for {event.symbol}: {event.why}."
        case _:
            return _about_team(event)


def _about_team(event: AnyEvent) -> tuple[int, str] | None:
    """What agents are asked and say, and what becomes of it."""
    match event:
        case Deliberate(kind="trade"):
            return 1, f"[AGENT] Asking about {event.symbol} (question {event.number})"
        case Deliberate():
            return 2, f"[AGENT] Learning from closed trades of {event.symbol} (question {event.number})"
        case Decision():
            level = 1 if event.kind == "trade" and event.verdict not in {"abstain", "keep"} else 2
            return (
                level,
                f"[AGENT] {event.kind} {event.symbol}: {_said(event)} from {event.source or 'nobody'}",
            )
        case Disposed() if event.code not in SAID_BY_ORDERS:
            why = f"({event.code}): {told(event.code)}"
            return 2 if event.code in IDLE else 1, (
                f"[RISK] {event.symbol}: no order from question {event.number} {why}"
            )
        case Cooldown():
            told_of = (
                f"no question for {event.quotes} quotes after {event.why}" if event.quotes else "expired"
            )
            return 1, f"[COOLDOWN] {event.symbol}: {told_of}"
        case _:
            return _about_prompts(event)


def _about_prompts(event: AnyEvent) -> tuple[int, str] | None:
    """What a person edited."""
    if not isinstance(event, PromptsChanged):
        return None
    named = ", ".join(f"{agent} (hash {file[:4]}…)" for agent, file in event.prompts.items())
    return 1, f"[AGENT] Prompts changed: {named}, from the next question on"


def _said(decision: Decision) -> str:
    """What was decided, in a few words."""
    figures = decision.code or f"{decision.direction} {decision.confidence_pct} %".strip()
    text = f"{decision.verdict} ({figures})"
    if (wish := decision.proposal) is None:
        return text
    exits = f"tp=+{wish.take_profit_bps} sl=-{wish.stop_loss_bps} bps"
    return f"{text}, size={wish.size_pct} % {exits} limit=-{wish.offset_bps} bps {wish.time_in_force}"


def _about_venue(event: AnyEvent) -> tuple[int, str] | None:
    """What the venue has that the books do not."""
    match event:
        case Alarm():
            return 0, f"[TRACKER] {event.code} {event.subject}: {event.text}"
        case Overfilled():
            return 0, f"[TRACKER] Order {event.order_id} overfilled by {event.excess}; the excess is booked"
        case Adopted():
            return 0, f"[TRACKER] Order {event.order.order_id} adopted: {event.why}"
        case External():
            what = f"{event.amount} {event.subject}".strip()
            return 0, f"[TRACKER] The venue holds {what} more than our books ({event.kind}): {event.policy}"
        case Link():
            return 0, f"[TRACKER] Connection to the venue: {event.state}"
        case _:
            return None


def _about_order(event: AnyEvent) -> tuple[int, str] | None:
    """What is asked of an order, and how it ended; a fill is said when booked, for it may be told twice."""
    match event:
        case Rejected() | Unknown() | Throttled():
            return 0, f"[FAILED] Order {event.order_id} {_why_failed(event)}"
        case CancelOrder():
            return 1, f"[ORDER] CANCEL {event.order_id}: {event.reason}"
        case ReplaceOrder():
            return 1, f"[ORDER] REPLACE {event.order_id}: limit ${event.limit}"
        case NotFound():
            return 1, f"[TRACKER] Order {event.order_id}: the venue does not know it, or not yet"
        case Report(kind="expired" | "canceled"):
            return 1, f"[TRACKER] Order {event.order_id} status={event.kind}"
        case _:
            return None


def _why_failed(event: Rejected | Unknown | Throttled) -> str:
    match event:
        case Rejected():
            return f"rejected: {event.reason}"
        case Unknown():
            return f"unknown: {event.cause}"
        case _:
            return "throttled: the venue wants rest"


def _about_fill(fill: Report) -> str:
    return (
        f"[SUCCESS] Order {fill.order_id} status=filled qty={fill.quantity} @ ${fill.price} fee=${fill.fee}"
    )


def _shown(letter: str) -> str:
    return letter if letter.isprintable() else "?"


def _percent(now: float, then: float) -> str:
    return f"{(now - then) / then * 100.0:+.2f}%" if then else "?"
