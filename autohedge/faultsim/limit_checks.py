"""Invariant 14: an entry that leaves, or a replace that costs more, keeps every limit of the settings."""

from collections import deque
from collections.abc import Callable
from decimal import Decimal

from autohedge.core.clock import next_midnight_ns
from autohedge.core.events import JournalEntry, ReplaceOrder, SubmitOrder, Timer, TradingStateChanged
from autohedge.core.money import PERCENT, ZERO, add, multiply, subtract, to_decimal, with_fee
from autohedge.core.orders import ENTER
from autohedge.core.units import BPS, NS_PER_MINUTE, NS_PER_MS
from autohedge.faultsim.question_checks import InvariantViolation
from autohedge.faultsim.recorded_account import RecordedAccount, RecordedOrder
from autohedge.faultsim.recorded_funds import RecordedFunds
from autohedge.faultsim.settings_in_force import SettingsInForce, directions_of

# The engine adds holdings up in float64; its sums may differ from exact ones by this share.
TOLERANCE = Decimal("1e-9")
DAILY_LOSS = "daily_loss"


class LimitChecker:
    """Follows one record, and compares each entry that leaves with the limits.

    `deposits` returns the deposits less the withdrawals so far. Every method raises InvariantViolation.
    """

    def __init__(
        self,
        settings: SettingsInForce,
        symbols: tuple[str, ...],
        account: RecordedAccount,
        deposits: Callable[[], Decimal],
    ) -> None:
        self._symbols, self._settings = symbols, settings
        self._fee_bps = settings.now.account.fee_bps_max
        self._account, self._funds = account, RecordedFunds(account, self._fee_bps)
        self._directions = directions_of(settings.now)
        self._day = DailyLoss(account, deposits, settings)
        self._pace = OrderPace(settings, account)
        self._pos = 0

    def before(self, entry: JournalEntry) -> None:
        """Follows one recorded event, before the account does."""
        self._day.before(entry)

    def after(self, entry: JournalEntry) -> None:
        """Follows one recorded event, after the account has."""
        self._pos = entry.pos
        self._day.after(entry)
        self._pace.apply(entry)

    def on_entry(self, command: SubmitOrder | ReplaceOrder) -> None:
        """Checks an entry, or a replace of one, that is the last recorded event."""
        order = self._account.orders[command.order_id]
        price = command.limit or ZERO
        self._price(order, price)
        if isinstance(command, ReplaceOrder):
            if price <= order.price and command.quantity <= order.quantity:
                return
            cost = multiply(price, subtract(command.quantity, order.executed))
        else:
            cost = multiply(price, command.quantity)
            self._order_size(order.symbol, command.quantity, cost)
        is_whole = self._settings.terms(order.symbol).execution.twap_slices == 1
        self._money(order, cost, sized=isinstance(command, SubmitOrder) and is_whole)
        self._day.check(self._pos, self._settings.now.risk.max_daily_loss_pct)
        self._pace.check(order, command)

    def _order_size(self, symbol: str, quantity: Decimal, cost: Decimal) -> None:
        """Checks quantity and value; the venue's least value is in the quote currency, which is that of `cost`."""
        risk, terms = self._settings.now.risk, self._settings.terms(symbol)
        rules = terms.instrument(symbol)
        _within("quantity", quantity, risk.min_order_quantity, risk.max_order_quantity)
        most = min(risk.max_order_notional, terms.sizing.max_order_amount)
        notional = self._account.worth(self._account.money.quote(symbol), cost, self._pos)
        _within("notional", notional, risk.min_order_notional, multiply(most, 1 + TOLERANCE))
        if cost < rules.min_notional:
            raise InvariantViolation(f"14: {cost} for {symbol} is less than the venue's {rules.min_notional}")
        if quantity % rules.lot:
            raise InvariantViolation(f"14: {quantity} {symbol} are ordered, not in lots of {rules.lot}")

    def _price(self, order: RecordedOrder, price: Decimal) -> None:
        """Checks the direction of an entry, and that its limit is near the mid, no worse than the touch, and valid."""
        symbol, quote = order.symbol, self._account.quotes.last(order.symbol, self._pos)
        if order.direction not in self._directions:
            raise InvariantViolation(f"14: {symbol} is entered in a direction that is not allowed")
        if quote is None:
            raise InvariantViolation(f"14: {symbol} is entered without a quote")
        bid, ask = to_decimal(quote.bid), to_decimal(quote.ask)
        mid = (bid + ask) / 2
        far, band = abs(price - mid), mid * self._settings.now.risk.price_band_bps * BPS
        if far > band * (1 + TOLERANCE):
            raise InvariantViolation(
                f"14: {symbol} is entered at {price}, further from {mid:.8g} than {band:.8g}"
            )
        if price > ask if order.buys else price < bid:
            raise InvariantViolation(f"14: {symbol} is entered at {price}, worse than {bid} to {ask}")
        tick = self._settings.terms(symbol).instrument(symbol).tick
        if tick and price % tick:
            raise InvariantViolation(f"14: {symbol} is entered at {price}, not in ticks of {tick}")

    def _money(self, order: RecordedOrder, cost: Decimal, *, sized: bool) -> None:
        """Checks buying power, position and exposure with every other working entry filled."""
        account, funds, currency = self._account, self._funds, self._account.money.quote(order.symbol)
        here = others = ZERO
        for each in account.working.values():
            if each.enters and each is not order:
                worth = account.worth(account.money.quote(each.symbol), funds.needed(each), self._pos)
                others = add(others, worth)
                here = add(here, worth if each.symbol == order.symbol else ZERO)
        free, notional = (
            funds.free(order.symbol, self._pos, but=order),
            account.worth(currency, cost, self._pos),
        )
        # In a covered account, what is free is a small difference of large sums.
        rounding = account.equity(self._pos) * TOLERANCE if account.covered else ZERO
        _at_most("costs with its fee", with_fee(notional, self._fee_bps), add(free, rounding))
        sizing, risk = self._settings.terms(order.symbol).sizing, self._settings.now.risk
        if sized:
            share = multiply(multiply(add(free, rounding), sizing.target_balance_pct), PERCENT)
            _at_most("notional of the share of free money", notional, max(share, sizing.min_order_amount))
        sizes = {symbol: abs(account.position_worth(symbol, self._pos)) for symbol in self._symbols}
        position = add(add(sizes[order.symbol], here), notional)
        _at_most("position", position, risk.max_position_notional)
        exposure = add(add(sum(sizes.values(), ZERO), others), notional)
        _at_most("exposure", exposure, risk.max_exposure_notional)


class DailyLoss:
    """The equity at the last UTC midnight that the clock passed, and the latch until the next one.

    After a restart the first inputs may come before the midnight timer, so the base is then the lesser of
    the equity before and after them. With money in other currencies the first day begins with the first entry that
    was tried. A refused one leaves no event, so the base is then the least equity up to the first that was sent.
    """

    def __init__(
        self, account: RecordedAccount, deposits: Callable[[], Decimal], settings: SettingsInForce
    ) -> None:
        self._account, self._deposits, self._settings = account, deposits, settings
        self._base = account.cash
        self._awaits_entry = len(account.money.amounts) > 1
        self._midnight_ns = 0
        self._awaits_timer = False
        self._latched_ns: int | None = None

    def before(self, entry: JournalEntry) -> None:
        """Takes the equity at a midnight that this event is the first to pass."""
        at_ns = getattr(entry.event, "at_ns", 0)
        if self._midnight_ns == 0 < at_ns:
            self._midnight_ns = next_midnight_ns(at_ns)
        is_timer = isinstance(entry.event, Timer)
        if at_ns > self._midnight_ns or (is_timer and at_ns == self._midnight_ns):
            self._midnight_ns = next_midnight_ns(at_ns)
            self._base = self._own_equity(entry.pos)
            self._awaits_timer = not is_timer
        elif self._awaits_timer and is_timer:
            self._awaits_timer = False
            self._base = min(self._base, self._own_equity(entry.pos))
        if self._awaits_entry and isinstance(entry.event, SubmitOrder):
            self._awaits_entry = False
            self._base = min(self._own_equity(pos) for pos in self._valued(entry.pos))

    def after(self, entry: JournalEntry) -> None:
        """Checks that a latch holds until midnight, or until its limit is changed."""
        if "risk.max_daily_loss_pct" in self._settings.changed:
            self._latched_ns = None
        if not isinstance(entry.event, TradingStateChanged):
            return
        if DAILY_LOSS in self._account.causes:
            self._latched_ns = self._latched_ns or self._account.now_ns
        elif self._latched_ns is not None:
            # A row at midnight comes before the midnight timer, hence the nanosecond.
            if self._account.now_ns < next_midnight_ns(self._latched_ns - 1):
                raise InvariantViolation("14: the pause after a daily loss ends before midnight")
            self._latched_ns = None

    def check(self, pos: int, most_pct: Decimal) -> None:
        """Raises InvariantViolation if the day's loss has reached its limit."""
        base = add(self._base, self._deposits())
        loss = subtract(base, self._account.equity(pos))
        most = multiply(multiply(base, most_pct), PERCENT)
        if loss > multiply(most, 1 + TOLERANCE):
            raise InvariantViolation(
                f"14: an entry leaves after a loss of {loss:.2f} since midnight, the limit is {most:.2f}"
            )

    def _valued(self, pos: int) -> list[int]:
        """The numbers of rows up to `pos` after which all that is held has a value; `pos` itself at least."""
        return [rows for rows in range(1, pos) if self._account.is_valued(rows)] + [pos]

    def _own_equity(self, pos: int) -> Decimal:
        """The equity without deposits and withdrawals, which are no gain or loss."""
        return subtract(self._account.equity(pos), self._deposits())


class OrderPace:
    """The times of orders: the rate over all of them, and pauses after entries and exits of a symbol."""

    def __init__(self, settings: SettingsInForce, account: RecordedAccount) -> None:
        self._settings, self._account = settings, account
        self._sent_ns: deque[int] = deque()
        self._entered_ns: dict[str, int] = {}
        self._left_ns: dict[str, int] = {}
        self._previous_ns: int | None = None

    def apply(self, entry: JournalEntry) -> None:
        """Follows one recorded event; an order that is sent again under its id is none."""
        for booking in self._account.bookings:
            if not booking.order.enters and not booking.bust:
                self._left_ns[booking.order.symbol] = self._account.now_ns
        event = entry.event
        is_new = isinstance(event, SubmitOrder) and not self._account.resent
        if isinstance(event, SubmitOrder | ReplaceOrder) and (is_new or isinstance(event, ReplaceOrder)):
            self._sent_ns.append(event.at_ns)
        if isinstance(event, SubmitOrder) and is_new and event.purpose is ENTER:
            self._previous_ns = self._entered_ns.get(event.symbol)
            if not isinstance(self._account.cause, Timer):  # a slice belongs to an earlier entry
                self._entered_ns[event.symbol] = event.at_ns

    def check(self, order: RecordedOrder, command: SubmitOrder | ReplaceOrder) -> None:
        """Raises InvariantViolation if an entry or a replace, recorded last, comes too soon."""
        now_ns, settings = command.at_ns, self._settings.now
        most = settings.risk.max_orders_per_minute
        while self._sent_ns and self._sent_ns[0] <= now_ns - NS_PER_MINUTE:
            self._sent_ns.popleft()
        if len(self._sent_ns) > most:
            raise InvariantViolation(
                f"14: {len(self._sent_ns)} orders leave within a minute, at most {most} may"
            )
        left_ns = self._left_ns.get(order.symbol)
        if left_ns is not None and now_ns - left_ns < settings.execution.cooldown_ms * NS_PER_MS:
            raise InvariantViolation(f"14: {order.symbol} is entered {now_ns - left_ns} ns after an exit")
        if isinstance(command, ReplaceOrder) or self._previous_ns is None:
            return
        if now_ns - self._previous_ns < settings.execution.min_order_interval_ms * NS_PER_MS:
            since_ns = now_ns - self._previous_ns
            raise InvariantViolation(f"14: {order.symbol} is entered {since_ns} ns after the entry before")


def _within(name: str, amount: Decimal, least: Decimal, most: Decimal) -> None:
    if not least <= amount <= most:
        raise InvariantViolation(f"14: an entry has a {name} of {amount}, from {least} to {most} are allowed")


def _at_most(name: str, amount: Decimal, most: Decimal) -> None:
    if amount > multiply(most, 1 + TOLERANCE):
        raise InvariantViolation(f"14: an entry makes the {name} {amount:.6f}, at most {most:.6f} is allowed")
