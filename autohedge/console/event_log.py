"""The event log of a run: one line for each important event, and the progress.

The lines keep the shapes of the Rust bot that came before (`[HFT] BUY trigger …`), so that filters and
scripts made for it still work. They go to stderr; stdout is for the summary.
"""

import sys
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from autohedge.config import Settings
from autohedge.config.changes import describe_changes
from autohedge.console.progress import BarProgress, LineProgress, OutputThread, ProgressView
from autohedge.core.abstentions import describe
from autohedge.core.bookings import FillBookings
from autohedge.core.clock import format_utc
from autohedge.core.events import (
    Alert,
    AnyEvent,
    CancelOrder,
    ConnectionStatus,
    Continued,
    CooldownChanged,
    Decision,
    DeliberationRequested,
    ExecutionReport,
    ExternalChange,
    FillBooked,
    GateChanged,
    JournalEntry,
    OperatorCommand,
    OrderAdopted,
    OrderNotFound,
    OrderOverfilled,
    OrderRejected,
    PromptsChanged,
    ProposalResolved,
    ReplaceOrder,
    RequestThrottled,
    RequestUnknown,
    Restarted,
    RunStarted,
    SettingsChanged,
    SubmitOrder,
    TradingStateChanged,
)
from autohedge.core.ids import DEFAULT_VENUE
from autohedge.core.orders import ACTIONS, BUY, ENTER, SELL
from autohedge.core.ports import RunObserver
from autohedge.core.reasons import Reason
from autohedge.core.text import printable
from autohedge.core.units import CENTS
from autohedge.engine.deliberations.scheduler import BYPASS
from autohedge.runtime.observers import NullObserver, ObserverFactory
from autohedge.runtime.run_view import InstrumentView, RunView

REASONS = tuple(Reason)
VENUE = f"{DEFAULT_VENUE} venue, no real money"
LEVELS = ("low", "normal", "verbose")


def event_log_factory(settings: Settings, *, on_clock: bool, quiet: bool) -> ObserverFactory:
    """Returns the observer factory of a run: an event log at the configured level; no observer if `quiet`."""
    if quiet:
        return NullObserver
    level = settings.chatter_level
    if level == "auto":
        level = "normal" if on_clock else "low"

    def event_log(view: RunView, run: str) -> RunObserver:
        # On a clock a slow terminal must not delay the engine; in virtual time no line may be lost.
        output = OutputThread(patient=not on_clock)
        shape = BarProgress if sys.stderr.isatty() else LineProgress
        progress: ProgressView = shape(view, output)
        banner = f"[RUN] {run}: {settings.trading.mode} · {settings.trader_name} · {VENUE}"
        return EventLog(view, LEVELS.index(level), progress, banner)

    return event_log


class EventLog:
    """Logs the events of one run: faults at level 0, also decisions and orders at 1, every quote at 2."""

    def __init__(self, view: RunView, level: int, progress: ProgressView, banner: str) -> None:
        self.wants = ALWAYS_WANTED if level == 0 else ALWAYS_WANTED | WANTED_TOO
        self.wants_rows = level > 1
        self._view = view
        self._level = level
        self._progress = progress
        self._banner = banner
        self._bookings = FillBookings()
        self._waits: dict[tuple[str, str], int] = {}
        self._reported_codes: set[str] = set()
        self._before = self._reason_counts()
        self._trader = "[AGENT]" if view.agents_propose else "[HFT]"

    def on_progress(self) -> None:
        """Updates the progress display if it is due."""
        self._progress.refresh()

    def notify(self, line: str) -> None:
        """Logs a fault that is not in the record, at every level."""
        self._log(0, line)

    def close(self) -> None:
        """Writes pending lines and restores the terminal."""
        self._progress.close()

    def on_event(self, entry: JournalEntry) -> None:
        """Logs an event if it has a line at this level."""
        # A venue may report a fill twice; it is logged when booked, which happens once.
        if (fill := self._bookings.apply(entry.event)) and fill.report.kind == "fill":
            self._log(1, _fill_line(fill.report))
        match event := entry.event:
            case RunStarted() | Restarted() | Continued():
                self._waits.clear()
                self._before = self._reason_counts()
                self._log(1, self._banner)
            case SubmitOrder() if self._level:
                self._submitted(event)
            case DeliberationRequested() | Decision():
                self._unanswered(event)
            case TradingStateChanged(is_halt=True):
                self._waits.clear()
        if message := _line(event):
            self._log(*message)

    def on_row(self, row: int) -> None:
        """Logs the outcome of a row."""
        instrument = self._view.instrument_of_row(row)
        symbol, code = instrument.symbol, self._reason_of_last_row(instrument)
        if code is Reason.DEBOUNCE and instrument.debounce:
            seen, wanted = instrument.debounce
            self._log(
                2, f"[HFT] Debounce {symbol}: {seen}/{wanted} quotes collected (mid={instrument.mid:.8f})"
            )
        elif code not in LOGGED_BY_EVENTS:
            self._log(2, f"{self._trader} Skip {symbol}: {_skip_reason(code, instrument)}")
        if held := instrument.entry_price:
            price = instrument.exit_price
            self._log(
                2,
                f"[MONITOR] Check {symbol}: entry={held:.8f} current={price:.8f} pl={_gain(price, held, is_long=instrument.is_long)}",
            )

    def _reason_counts(self) -> dict[str, NDArray[np.int64]]:
        return {each.symbol: each.reason_counts for each in self._view.instruments}

    def _reason_of_last_row(self, instrument: InstrumentView) -> Reason:
        """The kernel counts each row under exactly one reason code; the count that rose is the row's."""
        counts = instrument.reason_counts
        code = REASONS[int(np.argmax(counts - self._before[instrument.symbol]))]
        self._before[instrument.symbol] = counts
        return code

    def _submitted(self, order: SubmitOrder) -> None:
        instrument = self._view.instrument(order.symbol)
        price = order.limit or Decimal(str(instrument.ask if order.side is BUY else instrument.bid))
        if order.purpose is ENTER:
            self._log(1, f"{self._trader} {_entry_trigger(order, instrument)}")
        else:
            self._log(1, _exit_trigger(order, instrument))
        worth = (order.quantity * price).quantize(CENTS)
        self._log(
            1,
            f"[ORDER] {order.order_type.upper()} {order.symbol} qty={order.quantity} @ ${price} (${worth})",
        )

    def _unanswered(self, event: DeliberationRequested | Decision) -> None:
        """Logs an abstention or timeout: the first of each code at every level, others from level 1 on."""
        where, code = (event.kind, event.symbol), ""
        if isinstance(event, DeliberationRequested):
            # The engine asks again while the last question is open only after its deadline.
            code = "timeout" if where in self._waits else ""
            self._waits[where] = event.number
        elif self._waits.get(where) == event.number:
            del self._waits[where]
        if isinstance(event, Decision) and event.verdict == "abstain" and event.source != BYPASS:
            code = event.code
        if code:
            self._log(
                int(code in self._reported_codes),
                f"[AGENT] {event.symbol}: no answer ({code}): {describe(code)}",
            )
            self._reported_codes.add(code)

    def _log(self, level: int, line: str) -> None:
        """Writes a line; replaces control characters, since symbols and texts of the venue are untrusted."""
        if self._level >= level:
            self._progress.write(printable(line, "?"))


ALWAYS_WANTED: frozenset[type] = frozenset(
    {
        TradingStateChanged,
        OrderRejected,
        RequestUnknown,
        RequestThrottled,
        Restarted,
        Continued,
        Alert,
        OrderOverfilled,
        OrderAdopted,
        ExternalChange,
        ConnectionStatus,
        DeliberationRequested,
        Decision,
    }
)
WANTED_TOO: frozenset[type] = frozenset(
    {
        RunStarted,
        GateChanged,
        ProposalResolved,
        CooldownChanged,
        OperatorCommand,
        PromptsChanged,
        SettingsChanged,
        SubmitOrder,
        CancelOrder,
        ReplaceOrder,
        ExecutionReport,
        FillBooked,
        OrderNotFound,
    }
)
IDLE = frozenset({"no_edge", "limits"})
LOGGED_BY_ORDERS = frozenset({"entry", "exit_signal", "in_position", "no_trade"})
LOGGED_BY_EVENTS = frozenset(
    {Reason.ENTRY, Reason.TAKE_PROFIT, Reason.STOP_LOSS, Reason.EXIT_SIGNAL, Reason.TRAILING_STOP}
)


def _entry_trigger(order: SubmitOrder, instrument: InstrumentView) -> str:
    exit_levels = f"entry(mid)={instrument.mid:.8f} tp={order.take_profit:.8f} sl={order.stop_loss:.8f}"
    edge = most = ""
    if instrument.min_edge_bps is not None:
        least = f">= min_edge_bps={instrument.min_edge_bps:.2f}"
        if order.side is SELL:
            least = f"<= {-instrument.min_edge_bps:.2f}"
        edge = f"edge_bps={instrument.edge_bps:.2f} {least}, "
    if instrument.max_spread_bps is not None:
        most = f" <= max_spread_bps={instrument.max_spread_bps:.2f}"
    return f"{ACTIONS[order.side, order.purpose].upper()} trigger {order.symbol}: {edge}spread_bps={instrument.spread_bps:.2f}{most} | {exit_levels}"


def _exit_trigger(order: SubmitOrder, instrument: InstrumentView) -> str:
    entry, closes_long = instrument.entry_price, order.side is SELL
    price = instrument.bid if closes_long else instrument.ask
    match order.reason:
        case "take_profit":
            mark = f" tp={instrument.take_profit:.8f}"
        case "stop_loss":
            mark = f" sl={instrument.stop_loss:.8f}"
        case "trailing_stop":
            mark = f" {'highest' if closes_long else 'lowest'}={instrument.trail_price:.8f}"
        case _:
            mark = ""
    why = order.reason.upper().replace("_", " ")
    figures = f"entry={entry:.8f} current={price:.8f} ({_gain(price, entry, is_long=closes_long)})"
    return f"[MONITOR] {ACTIONS[order.side, order.purpose].upper()} trigger ({why}) for {order.symbol}: {figures}{mark}"


def _skip_reason(code: Reason, instrument: InstrumentView) -> str:
    match code:
        case Reason.BAD_QUOTE:
            return "invalid quote"
        case Reason.WIDE_SPREAD:
            return f"spread_bps={instrument.spread_bps:.2f} > {instrument.max_spread_bps:.2f}"
        case Reason.WARMING_UP:
            return "insufficient history"
        case Reason.NO_EDGE:
            return _missing_edge(instrument)
        case _:
            return code.label


def _missing_edge(instrument: InstrumentView) -> str:
    """Returns by which comparison the move is too small for an entry on the sides that the strategy may take."""
    edge, least = f"edge_bps={instrument.edge_bps:.2f}", instrument.min_edge_bps or 0.0
    below = f"{-least:.2f} < " if instrument.entry_sides == {BUY, SELL} else ""
    return f"{edge} > {-least:.2f}" if instrument.entry_sides == {SELL} else f"{below}{edge} < {least:.2f}"


def _line(event: AnyEvent) -> tuple[int, str] | None:
    """Returns the level and the line of an event; None for one without a line."""
    return _state_line(event) or _venue_line(event) or _order_line(event)


def _state_line(event: AnyEvent) -> tuple[int, str] | None:
    """Returns the line of a change of the trading state, or of a more specific kind of event."""
    match event:
        case TradingStateChanged():
            return _trading_state_line(event)
        case Restarted() | Continued():
            return 0, _restart_line(event)
        case _:
            return _gate_line(event)


def _trading_state_line(event: TradingStateChanged) -> tuple[int, str]:
    if event.is_halt:
        known = f" (halt id {event.halt_id})" if event.halt_id else ""
        return 0, f"[RISK] Entries halted: {event.reason}{known}"
    if event.is_resume:
        return 1, f"[RISK] Entries resumed: {event.reason}"
    if event.causes:
        return 1, f"[RISK] Entries paused: {', '.join(event.causes)}"
    return 1, f"[RISK] Entries {'still halted' if event.state == 'halted' else 'allowed again'}"


def _restart_line(event: Restarted | Continued) -> str:
    if isinstance(event, Continued):
        return f"[TRACKER] Continued at {format_utc(event.at_ns)} UTC, after the recorded part was repeated"
    lost = len(event.lost_at_crash)
    return f"[TRACKER] Restarted at row {event.pos}; orders lost at the crash, unsent: {lost}"


def _gate_line(event: AnyEvent) -> tuple[int, str] | None:
    """Returns the line of a gate question or a gate change."""
    match event:
        case DeliberationRequested(kind="gate"):
            return 1, f"[HYBRID] Refreshing LLM gate for {event.symbol} (question {event.number})"
        case GateChanged(state="open"):
            direction = " to shorts" if event.direction == "short" else ""
            return 1, f"[HYBRID] Gate OPEN{direction} for {event.symbol} by {event.why}."
        case GateChanged():
            return 1, f"[HYBRID] Gate {event.state.upper()} for {event.symbol}: {event.why}."
        case _:
            return _agent_line(event)


def _agent_line(event: AnyEvent) -> tuple[int, str] | None:
    """Returns the line of a question, a decision, its outcome or a cooldown."""
    match event:
        case DeliberationRequested(kind="trade"):
            return 1, f"[AGENT] Asking about {event.symbol} (question {event.number})"
        case DeliberationRequested():
            return 2, f"[AGENT] Learning from closed trades of {event.symbol} (question {event.number})"
        case Decision():
            level = 1 if event.kind == "trade" and event.verdict not in {"abstain", "keep"} else 2
            text, source = _decision_text(event), event.source or "no model"
            return level, f"[AGENT] {event.kind} {event.symbol}: {text} from {source}"
        case ProposalResolved() if event.code not in LOGGED_BY_ORDERS:
            why = f"({event.code}): {describe(event.code)}"
            return 2 if event.code in IDLE else 1, (
                f"[RISK] {event.symbol}: no order from question {event.number} {why}"
            )
        case CooldownChanged():
            text = f"no question for {event.quotes} quotes after {event.why}" if event.quotes else "expired"
            return 1, f"[COOLDOWN] {event.symbol}: {text}"
        case _:
            return _person_line(event)


def _person_line(event: AnyEvent) -> tuple[int, str] | None:
    """Returns the line of what a person has done: a command, a prompt edit."""
    match event:
        case OperatorCommand():
            command, actor = event.command.replace("_", "-"), event.actor or "operator"
            return 1, f"[OPERATOR] {command} by {actor}: {event.reason}"
        case SettingsChanged():
            text = f"[OPERATOR] Settings changed by {event.actor or 'operator'}: {describe_changes(event.changes)}"
            return 1, text
        case PromptsChanged():
            named = ", ".join(f"{agent} (hash {file[:4]}…)" for agent, file in event.prompts.items())
            return 1, f"[AGENT] Prompts changed: {named}, from the next question on"
        case _:
            return None


def _decision_text(decision: Decision) -> str:
    """Formats a decision with its proposal, if any."""
    figures = decision.code or f"{decision.direction} {decision.confidence_pct} %".strip()
    text = f"{decision.verdict} ({figures})"
    if (proposal := decision.proposal) is None:
        return text
    # A short gains as the price falls, and is sold at a higher limit.
    gain, loss = "-+" if decision.direction == "short" else "+-"
    exits = f"tp={gain}{proposal.take_profit_bps} sl={loss}{proposal.stop_loss_bps} bps"
    limit = f"limit={loss}{proposal.offset_bps} bps {proposal.time_in_force}"
    return f"{text}, size={proposal.size_pct} % {exits} {limit}"


def _venue_line(event: AnyEvent) -> tuple[int, str] | None:
    """Returns the line of an alert, a reconciliation result or a change of the connection."""
    match event:
        case Alert():
            return 0, f"[TRACKER] {event.code} {event.subject}: {event.text}"
        case OrderOverfilled():
            return 0, f"[TRACKER] Order {event.order_id} overfilled by {event.excess}; the excess is booked"
        case OrderAdopted():
            return 0, f"[TRACKER] Order {event.order.order_id} adopted: {event.why}"
        case ExternalChange():
            what = f"{event.amount} {event.subject}".strip()
            return 0, f"[TRACKER] The venue holds {what} more than the ledger ({event.kind}): {event.policy}"
        case ConnectionStatus():
            return 0, f"[TRACKER] Connection to the venue: {event.state}"
        case _:
            return None


def _order_line(event: AnyEvent) -> tuple[int, str] | None:
    """Returns the line of an order command or the end of an order; fills are logged when booked."""
    match event:
        case OrderRejected() | RequestUnknown() | RequestThrottled():
            return 0, f"[FAILED] Order {event.order_id} {_why_failed(event)}"
        case CancelOrder():
            return 1, f"[ORDER] CANCEL {event.order_id}: {event.reason}"
        case ReplaceOrder():
            return 1, f"[ORDER] REPLACE {event.order_id}: limit ${event.limit}"
        case OrderNotFound():
            return 1, f"[TRACKER] Order {event.order_id}: not known to the venue, or not yet"
        case ExecutionReport(kind="expired" | "canceled"):
            return 1, f"[TRACKER] Order {event.order_id} status={event.kind}"
        case _:
            return None


def _why_failed(event: OrderRejected | RequestUnknown | RequestThrottled) -> str:
    match event:
        case OrderRejected():
            return f"rejected: {event.reason}"
        case RequestUnknown():
            return f"unknown: {event.cause}"
        case _:
            return "throttled: rate limit of the venue"


def _fill_line(fill: ExecutionReport) -> str:
    return (
        f"[SUCCESS] Order {fill.order_id} status=filled qty={fill.quantity} @ ${fill.price} fee={_fee(fill)}"
    )


def _gain(now: float, then: float, *, is_long: bool) -> str:
    change = now - then if is_long else then - now
    return f"{change / then * 100.0:+.2f}%" if then else "?"


def _fee(fill: ExecutionReport) -> str:
    return f"{fill.fee} {fill.fee_currency}" if fill.fee_currency else f"${fill.fee}"
