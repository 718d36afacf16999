"""The account according to the record alone: orders in all their versions, cash, positions, trading state.

`RecordedAccount` folds journaled events. It shares no code with the engine, so that the same error is not on
both sides of a comparison.
"""

from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import reduce

from autohedge.core.events import (
    CancelOrder,
    ChangeRejected,
    ExecutionReport,
    ExternalChange,
    Input,
    JournalEntry,
    OperatorCommand,
    OrderAdopted,
    OrderMassStatus,
    OrderOverfilled,
    OrderRejected,
    OrderReplaced,
    Reconciled,
    ReplaceOrder,
    RequestThrottled,
    Restarted,
    SubmitOrder,
    TradingStateChanged,
    VenueOrderStatus,
)
from autohedge.core.money import ZERO, add, multiply, subtract, to_decimal
from autohedge.core.orders import BUY, ENTER, GTC, Purpose, TimeInForce
from autohedge.faultsim.received_quotes import ReceivedQuotes
from autohedge.faultsim.recorded_balances import RecordedBalances

ADOPTED = "adopted"


@dataclass(slots=True)
class RecordedOrder:
    """One order according to the record.

    `price` is the limit of the version that is known to rest, `pending` the price and total quantity
    of a replace without an answer, `superseded` the versions that later ones replaced. `reported` is the filled
    quantity of a reported end, None without one.
    """

    order_id: str
    symbol: str
    buys: bool
    enters: bool
    time_in_force: TimeInForce
    quantity: Decimal
    price: Decimal
    reason: str
    pending: tuple[Decimal, Decimal] | None = None
    superseded: frozenset[tuple[Decimal, Decimal]] = frozenset()
    cancel_requested: bool = False
    reported: Decimal | None = None
    executed: Decimal = ZERO
    overfilled: Decimal = ZERO
    fills: dict[str, tuple[Decimal, Decimal, Decimal, str]] = field(default_factory=dict)
    busted: set[str] = field(default_factory=set)

    @property
    def direction(self) -> str:
        """The direction of the position that an entry makes."""
        return "long" if self.buys else "short"

    @property
    def may_rest(self) -> bool:
        """Whether the venue may keep the order open."""
        return self.time_in_force is GTC

    @property
    def remaining(self) -> Decimal:
        """The quantity that may still fill."""
        return max(subtract(self.quantity, self.executed), ZERO)

    def open_notional(self) -> Decimal:
        """The money that the dearest version that may be live can still need at its limit, before fees."""
        versions = [(self.price, self.quantity)] + ([self.pending] if self.pending else [])
        return max(
            multiply(price, max(subtract(quantity, self.executed), ZERO)) for price, quantity in versions
        )


@dataclass(frozen=True, slots=True)
class BookedFill:
    """One fill, or with `bust` the reversal of one, that moved the account; `held` is the position after it."""

    order: RecordedOrder
    quantity: Decimal
    price: Decimal
    fee: Decimal
    fee_currency: str
    bust: bool = False
    held: Decimal = ZERO

    @property
    def adds(self) -> bool:
        """Whether it has made the signed position larger: a purchase, or the bust of a sale."""
        return self.order.buys is not self.bust

    @property
    def crosses(self) -> bool:
        """Whether it was to leave a position and has left one on the other side; the bust of an entry leaves too."""
        leaves = self.order.enters is self.bust
        return leaves and bool(self.held) and (self.held > ZERO) is self.adds


class RecordedAccount:
    """Follows one record from its beginning.

    `working` are the orders that may still fill; `resent` says whether the last order was sent again under its
    id. `bookings` and `external` are what the last entry booked. `cause` is the input that the last output
    followed from, None after a row; `command` is that input if it is an operator's command that must be carried
    out. The venue takes no request until `quiet_until_ns`. `may_be_absent` are
    orders that evidence without a report of their end may have ended: a list without them, or a throttled
    request. `absent` are the orders that were proven absent, with the number of the last event before; those of an
    earlier application of the record end at the same place.
    """

    def __init__(
        self,
        money: RecordedBalances,
        quotes: ReceivedQuotes,
        absent: Mapping[str, int] | None = None,
        *,
        covered: bool = False,
    ) -> None:
        self.quotes = quotes
        self.absent = dict(absent or {})
        self._absent_later = deque(sorted((seq, order_id) for order_id, seq in self.absent.items()))
        self.money = money
        self.covered = covered
        self.held: defaultdict[str, Decimal] = defaultdict(Decimal)
        self.orders: dict[str, RecordedOrder] = {}
        self.working: dict[str, RecordedOrder] = {}
        self.bookings: list[BookedFill] = []
        self.external: list[tuple[ExternalChange, Decimal]] = []
        self.acknowledged: defaultdict[str, Decimal] = defaultdict(Decimal)
        self.may_be_absent: set[str] = set()
        self.halted = False
        self.halt_id: str | None = None
        self.causes: tuple[str, ...] = ()
        self.exits_wait = False
        self.quiet_until_ns = 0
        self.now_ns = 0
        self.resent = False
        self.cause: Input | None = None
        self.command: OperatorCommand | None = None
        self.paused = False
        self._done_requests: set[str] = set()
        self._last_seq = 0
        self._unknown_reports: defaultdict[str, list[ExecutionReport]] = defaultdict(list)

    def working_in(self, symbol: str, *, enters: bool) -> Iterator[RecordedOrder]:
        """The working entries or exits of a symbol."""
        return (order for order in self.working.values() if order.symbol == symbol and order.enters is enters)

    def uncancelled(self, symbol: str) -> Iterator[RecordedOrder]:
        """The entries of a symbol that may rest and have no cancel request, but for adopted ones."""
        return (
            order
            for order in self.working_in(symbol, enters=True)
            if order.may_rest and not order.cancel_requested and order.reason != ADOPTED
        )

    def closing(self, symbol: str, *, buys: bool) -> Decimal:
        """The quantity that the working exits on one side of a symbol may still fill."""
        exits = (order.remaining for order in self.working_in(symbol, enters=False) if order.buys is buys)
        return reduce(add, exits, ZERO)

    def is_open(self, symbol: str) -> bool:
        """Whether a symbol has a position that exits manage: in a cash account a negative one is an error."""
        held = self.held[symbol]
        return held > ZERO or (self.covered and held < ZERO)

    def last_bid(self, symbol: str, pos: int) -> Decimal:
        """The bid of the last valid quote of a symbol before a row; zero without one."""
        quote = self.quotes.last(symbol, pos)
        return to_decimal(quote.bid) if quote else ZERO

    def exit_price(self, symbol: str, held: Decimal, pos: int) -> Decimal:
        """The price at which a position can be closed: the last bid of a long, the last ask of a short."""
        quote = self.quotes.last(symbol, pos)
        return to_decimal(quote.bid if held > ZERO else quote.ask) if quote else ZERO

    @property
    def cash(self) -> Decimal:
        """The cash in the reporting currency."""
        return self.money.amounts[self.money.reporting]

    def rate(self, currency: str, pos: int) -> Decimal:
        """What a unit of a currency is worth in the reporting one before a row; zero without a quote."""
        if currency == self.money.reporting:
            return Decimal(1)
        quote = self.quotes.last(f"{currency}/{self.money.reporting}", pos)
        return (to_decimal(quote.bid) + to_decimal(quote.ask)) / 2 if quote else ZERO

    def worth(self, currency: str, amount: Decimal, pos: int) -> Decimal:
        """An amount in the reporting currency; what has no rate counts nothing."""
        return amount if currency == self.money.reporting else multiply(amount, self.rate(currency, pos))

    def cash_worth(self, pos: int) -> Decimal:
        """The cash of all currencies in the reporting one."""
        amounts = self.money.amounts.items()
        return reduce(add, (self.worth(currency, amount, pos) for currency, amount in amounts), ZERO)

    def is_valued(self, pos: int) -> bool:
        """Whether every currency that is held has a rate."""
        return all(self.rate(currency, pos) for currency, amount in self.money.amounts.items() if amount)

    def equity(self, pos: int) -> Decimal:
        """The cash of all currencies and what closing the positions is worth, in the reporting currency."""
        equity = self.cash_worth(pos)
        for symbol, quantity in self.held.items():
            if quantity:
                equity = add(equity, self.position_worth(symbol, pos))
        return equity

    def position_worth(self, symbol: str, pos: int) -> Decimal:
        """What closing a position is worth at the last quote, in the reporting currency."""
        held = self.held[symbol]
        if not held:
            return ZERO
        return self.worth(self.money.quote(symbol), multiply(held, self.exit_price(symbol, held, pos)), pos)

    def drop_absent(self, order_id: str) -> None:
        """Ends an order that the venue does not have."""
        self.absent[order_id] = self._last_seq
        self.working.pop(order_id, None)

    def apply(self, entry: JournalEntry) -> None:
        """Follows one recorded event."""
        event = entry.event
        self.bookings.clear()
        self.external.clear()
        self._follow(entry)
        match event:
            case SubmitOrder():
                self._submitted(event)
            case ExecutionReport():
                self._reported(event)
            case OrderRejected():
                self.working.pop(event.order_id, None)
            case CancelOrder() | ReplaceOrder() | OrderReplaced() | ChangeRejected() | OrderOverfilled():
                self._changed(event)
            case RequestThrottled():
                self.quiet_until_ns = max(self.quiet_until_ns, event.until_ns)
                self.may_be_absent |= {event.order_id} if event.about == "submit" else set()
            case OrderMassStatus():
                self._listed(event)
            case OrderAdopted(order=found, purpose=purpose):
                self._adopted(found, purpose, entry.pos)
            case ExternalChange(policy="adopt"):
                self._external_change(event, entry.pos)
            case ExternalChange():
                self.acknowledged[event.subject] = add(self.acknowledged[event.subject], event.amount)
            case _:
                self._state_changed(entry)

    def _follow(self, entry: JournalEntry) -> None:
        """Updates the clock, and what the outputs from here on follow from."""
        while self._absent_later and self._absent_later[0][0] < entry.seq:
            self.working.pop(self._absent_later.popleft()[1], None)
        if isinstance(entry.event, Input):
            self.cause, self.command = entry.event, self._obeyed(entry.event)
        elif entry.seq != self._last_seq + 1:  # rows take numbers too
            self.cause = self.command = None
        self._last_seq = entry.seq
        self.now_ns = max(self.now_ns, getattr(entry.event, "at_ns", 0), self.quotes.row_ns(entry.pos - 1))

    def _obeyed(self, event: Input) -> OperatorCommand | None:
        """A command that must be carried out: not one done before, nor a resume that may lift nothing."""
        if not isinstance(event, OperatorCommand) or event.request_id in self._done_requests:
            return None
        if event.command == "resume" and not self._may_resume(event.halt_id):
            return None
        self._done_requests.update({event.request_id} - {""})
        if event.command in {"pause", "resume"}:
            self.paused = event.command == "pause"
        return event

    def _may_resume(self, named: str | None) -> bool:
        return self.halt_id in {None, named} if self.halted else self.paused

    def _state_changed(self, entry: JournalEntry) -> None:
        match event := entry.event:
            case TradingStateChanged():
                self.halted, self.halt_id = event.state == "halted", event.halt_id
                self.causes = event.causes
            case Restarted():
                self.exits_wait = True
                self.quotes.skip(entry.pos, event.pos)
            case Reconciled():
                self.exits_wait = False

    def _submitted(self, command: SubmitOrder) -> None:
        self.resent = command.order_id in self.orders
        if self.resent:
            return
        self.orders[command.order_id] = self.working[command.order_id] = RecordedOrder(
            command.order_id,
            command.symbol,
            command.side is BUY,
            command.purpose is ENTER,
            command.time_in_force,
            command.quantity,
            command.limit or ZERO,
            command.reason,
        )

    def _adopted(self, found: VenueOrderStatus, purpose: Purpose, pos: int) -> None:
        self.orders[found.order_id] = self.working[found.order_id] = RecordedOrder(
            found.order_id,
            found.symbol,
            found.side is BUY,
            purpose is ENTER,
            found.time_in_force,
            found.quantity,
            found.limit or self.last_bid(found.symbol, pos),
            ADOPTED,
        )
        for report in self._unknown_reports.pop(found.order_id, []):
            self._reported(report)
        self._status(found)

    def _changed(
        self, event: CancelOrder | ReplaceOrder | OrderReplaced | ChangeRejected | OrderOverfilled
    ) -> None:
        order = self.orders.get(event.order_id)
        if order is None:
            return
        match event:
            case CancelOrder():
                order.cancel_requested = True
            case ReplaceOrder():
                order.pending = (event.limit, event.quantity)
            case OrderReplaced():
                self._replaced(order, (event.limit, event.quantity))
            case ChangeRejected():
                # With a cancel requested too, it may be the cancel that was refused.
                order.pending = order.pending if order.cancel_requested else None
            case OrderOverfilled():
                order.overfilled = add(order.overfilled, event.excess)

    def _replaced(self, order: RecordedOrder, version: tuple[Decimal, Decimal]) -> None:
        # The answer to an earlier replace may be repeated, also while a later one is pending.
        is_known, before = version in order.superseded, (order.price, order.quantity)
        if is_known and version != order.pending:
            return
        order.superseded = (order.superseded | {before}) - {version}
        order.price, order.quantity = version
        if order.pending in {None, version}:
            order.pending = before if is_known else None

    # reports

    def _listed(self, answer: OrderMassStatus) -> None:
        names = set()
        for found in answer.orders:
            names.add(found.order_id)
            if found.order_id in self.working:
                self._status(found)
        self.may_be_absent.update(self.working.keys() - names)

    def _status(self, found: VenueOrderStatus) -> None:
        """Applies a listed status; a list has no trade ids, so it proves no fill."""
        order = self.orders[found.order_id]
        if found.status == "rejected":
            self.working.pop(order.order_id, None)
        elif found.status in {"canceled", "expired"}:
            self._end(order, found.filled)

    def _reported(self, report: ExecutionReport) -> None:
        order = self.orders.get(report.order_id)
        if order is None:
            self._unknown_reports[report.order_id].append(report)
        elif report.kind == "bust":
            self._busted(order, report.trade_id or "")
        elif report.kind == "fill":
            self._filled(order, report)
        else:
            self._end(order, report.filled or ZERO)

    def _end(self, order: RecordedOrder, filled: Decimal) -> None:
        """Ends an order once the fills until then are known."""
        order.reported = max(order.reported or ZERO, filled)
        if order.executed >= order.reported:
            self.working.pop(order.order_id, None)

    def _filled(self, order: RecordedOrder, report: ExecutionReport) -> None:
        trade_id = report.trade_id or ""
        if trade_id in order.fills:
            return
        amounts = report.quantity or ZERO, report.price or ZERO, report.fee or ZERO
        fill = order.fills[trade_id] = (*amounts, report.fee_currency or self.money.quote(order.symbol))
        order.executed = add(order.executed, fill[0])
        if order.executed >= order.quantity or (
            order.reported is not None and order.executed >= order.reported
        ):
            self.working.pop(order.order_id, None)
        if trade_id not in order.busted:
            self._book(BookedFill(order, *fill))

    def _busted(self, order: RecordedOrder, trade_id: str) -> None:
        if trade_id not in order.busted and trade_id in order.fills:
            self._book(BookedFill(order, *order.fills[trade_id], bust=True))
        order.busted.add(trade_id)

    def _book(self, booking: BookedFill) -> None:
        sign = Decimal(-1 if booking.bust else 1)
        signed = booking.quantity if booking.adds else booking.quantity.copy_negate()
        symbol = booking.order.symbol
        self.held[symbol] = add(self.held[symbol], signed)
        self.money.add(self.money.quote(symbol), multiply(signed, booking.price).copy_negate())
        self.money.add(booking.fee_currency, multiply(booking.fee, sign).copy_negate())
        self.bookings.append(replace(booking, held=self.held[symbol]))

    def _external_change(self, event: ExternalChange, pos: int) -> None:
        if event.kind == "cash":
            self.money.add(event.subject, event.amount)
            self.external.append((event, ZERO))
        else:
            before = self.held[event.subject]
            after = self.held[event.subject] = add(before, event.amount)
            self.external.append((event, self.exit_price(event.subject, after or before, pos)))
