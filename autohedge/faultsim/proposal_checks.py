"""Invariant 11 in llm mode: every entry was proposed by agents in time, and is not larger than proposed.

`ProposalChecker` uses the record and the market alone. The largest entry that it allows is what sizing gives
with nothing reserved, times the share of the proposal.
"""

from dataclasses import dataclass
from decimal import Decimal

from autohedge.core.events import (
    Decision,
    DeliberationRequested,
    Input,
    JournalEntry,
    Proposal,
    ProposalResolved,
    ReplaceOrder,
    Restarted,
    SubmitOrder,
    Timer,
)
from autohedge.core.money import PERCENT, ZERO, add, divide, multiply, subtract
from autohedge.core.orders import BUY, SELL, SIDE_OF, Side
from autohedge.core.units import BPS, NS_PER_S
from autohedge.engine.deliberations.coordinator import DeliberationCoordinator
from autohedge.execution.sizing import Sizing, entry_limit
from autohedge.faultsim.question_checks import InvariantViolation, QuestionChecker
from autohedge.faultsim.recorded_account import RecordedAccount, RecordedOrder
from autohedge.faultsim.recorded_funds import RecordedFunds
from autohedge.faultsim.settings_in_force import SettingsInForce, directions_of
from autohedge.kernels.matching import last_valid
from autohedge.market.rows import Rows

ONE = Decimal(1)
TOLERANCE = Decimal("1e-9")


@dataclass(slots=True)
class _OpenProposal:
    """A proposal that is being carried out, its side, and the quantity that may still be entered for it."""

    proposal: Proposal
    side: Side
    left: Decimal = ZERO


class ProposalChecker:
    """Follows the proposals of one record; every method raises InvariantViolation.

    `account` is the account according to the record.
    """

    def __init__(
        self, settings: SettingsInForce, symbols: tuple[str, ...], rows: Rows, account: RecordedAccount
    ) -> None:
        deadline_ns = round(settings.now.hybrid.deadline_s * NS_PER_S)
        self.questions = QuestionChecker("trade", deadline_ns, symbols)
        self._settings = settings
        self._lane_of = {symbol: lane for lane, symbol in enumerate(symbols)}
        self._rows, self._account = rows, account
        self._funds = RecordedFunds(account, settings.now.account.fee_bps_max)
        self._directions = directions_of(settings.now)
        self._missed: list[tuple[int, int]] = []
        self._agreed: dict[str, _OpenProposal] = {}
        self._backing: dict[str, _OpenProposal] = {}
        self._to_resolve: set[int] = set()
        self._required: dict[int, str] = {}
        self._turned: dict[str, Side] = {}

    def note(self, entry: JournalEntry) -> None:
        """Follows one recorded event."""
        event = entry.event
        if isinstance(event, Input):  # a proposal must be carried out in the step of its decision
            self._agreed.clear()
            self._required.clear()
        self.questions.apply(event)
        if isinstance(event, Restarted):
            self._missed.append((entry.pos, event.pos))
        if isinstance(event, Decision | Timer):
            self._after_input()
        elif isinstance(event, ProposalResolved):
            self._resolved(event)
        if self.questions.cut:
            self._backing.clear()
            self._to_resolve.clear()

    def on_entry(
        self, order: RecordedOrder, entry: JournalEntry, command: SubmitOrder | ReplaceOrder
    ) -> None:
        """Checks an entry that is sent or replaced against its proposal: side, price, quantity, exits."""
        symbol, (bid, ask) = order.symbol, self._quote(order.symbol, entry.pos)
        if symbol in self._agreed and isinstance(command, SubmitOrder):
            agreed = self._backing[symbol] = self._agreed.pop(symbol)
            agreed.left = self._most(symbol, agreed, (bid, ask), entry.pos)
        backing = self._backing.get(symbol)
        if backing is None or backing.side is not (BUY if order.buys else SELL):
            raise InvariantViolation(f"11: {symbol} is entered without a proposal")
        limit = self._limit(symbol, backing, (bid, ask))
        worse = command.limit is None or (command.limit > limit if order.buys else command.limit < limit)
        if worse:
            raise InvariantViolation(f"11: {symbol} is entered at {command.limit}, worse than {limit}")
        if isinstance(command, SubmitOrder):
            _submitted(symbol, command, backing, (bid + ask) / 2.0)

    def step(self, deliberations: DeliberationCoordinator) -> None:
        """Checks the pending questions, and that every question that ended was resolved."""
        self.questions.step(deliberations)
        while self._turned:
            self._withdrawn(*self._turned.popitem())
        if self._to_resolve:
            raise InvariantViolation(f"11: unresolved proposals: {sorted(self._to_resolve)}")

    def settled(self, deliberations: DeliberationCoordinator) -> None:
        """Checks at the end that each question ended once, and that the engine's counts agree."""
        self.questions.settled(deliberations)

    def _after_input(self) -> None:
        """Updates the agreed and the ended proposals after an input."""
        self._to_resolve = {
            question.number for question in self.questions.expired if question.kind == "trade"
        }
        for question in self.questions.expired:
            self._ended(question)
        for decision, question in self.questions.taken.values():
            self._decided(decision, question)

    def _ended(self, question: DeliberationRequested) -> None:
        if question.kind == "trade":
            self._backing.pop(question.symbol, None)

    def _decided(self, decision: Decision, question: DeliberationRequested) -> None:
        if question.kind != "trade":
            return
        self._to_resolve.add(question.number)
        side = SIDE_OF.get(decision.direction) if decision.verdict == "trade" else None
        if side and decision.direction not in self._directions:
            self._required[question.number], side = f"no_{decision.direction}", None
        if side and decision.proposal and self._inside(decision.symbol, decision.proposal):
            self._agreed[decision.symbol] = _OpenProposal(decision.proposal, side)
            self._turned[decision.symbol] = side
            backing = self._backing.get(decision.symbol)
            if backing and backing.side is not side:  # its entry is withdrawn
                del self._backing[decision.symbol]
        elif decision.verdict != "keep":
            self._backing.pop(decision.symbol, None)

    def _withdrawn(self, symbol: str, side: Side) -> None:
        """Checks that no entry rests on the other side than the last proposal."""
        for order in self._account.uncancelled(symbol):
            if order.buys is not (side is BUY):
                raise InvariantViolation(
                    f"11: {order.direction} {order.order_id} may rest against a proposal"
                )

    def _resolved(self, event: ProposalResolved) -> None:
        if event.number not in self._to_resolve:
            raise InvariantViolation(f"11: {event.number} is resolved, but it did not end in this step")
        self._to_resolve.discard(event.number)
        required = self._required.pop(event.number, event.code)
        if event.code != required:
            raise InvariantViolation(f"11: {event.number} ends in {event.code} instead of {required}")

    def _inside(self, symbol: str, proposal: Proposal) -> bool:
        """Whether a proposal keeps to the settings; written independently of `within_limits`."""
        settings = self._settings.of(symbol)
        risk, execution = settings.agents.risk, settings.agents.execution
        widest_bps = settings.exits.stop_loss_bps
        return (
            1 <= proposal.size_pct <= 100
            and proposal.stop_loss_bps <= min(risk.most_stop_loss_bps, widest_bps)
            and proposal.stop_loss_bps >= min(risk.least_stop_loss_bps, int(widest_bps))
            and risk.least_take_profit_bps <= proposal.take_profit_bps <= risk.most_take_profit_bps
            and proposal.take_profit_bps >= risk.least_reward_to_risk * proposal.stop_loss_bps
            and 0 <= proposal.offset_bps <= execution.most_offset_bps
        )

    def _most(self, symbol: str, agreed: _OpenProposal, quote: tuple[float, float], pos: int) -> Decimal:
        """The largest quantity for a proposal, with nothing reserved: a wanted limit below the usual buys no more."""
        usual, wanted = self._usual(symbol, agreed.side, quote), self._limit(symbol, agreed, quote)
        money, currency = self._funds.unreserved(symbol, pos), self._account.money.quote(symbol)
        notional = Sizing.of(self._settings.terms(symbol)).notional(money) or ZERO
        share = multiply(multiply(notional, Decimal(agreed.proposal.size_pct)), PERCENT)
        # The engine adds the positions of a covered account up in float64.
        rounding = multiply(self._account.equity(pos), TOLERANCE) if self._account.covered else ZERO
        return divide(add(share, rounding), self._account.worth(currency, max(usual, wanted), pos))

    def _usual(self, symbol: str, side: Side, quote: tuple[float, float]) -> Decimal:
        """The limit of an entry without a wanted one."""
        settings = self._settings.terms(symbol)
        return entry_limit(side, quote, settings.execution.aggression_bps, settings.instrument(symbol))

    def _limit(self, symbol: str, backing: _OpenProposal, quote: tuple[float, float]) -> Decimal:
        """The limit with the offset of a proposal: below the usual one for a purchase, above it for a sale."""
        offset = multiply(Decimal(backing.proposal.offset_bps), BPS)
        factor = subtract(ONE, offset) if backing.side is BUY else add(ONE, offset)
        return multiply(self._usual(symbol, backing.side, quote), factor)

    def _quote(self, symbol: str, pos: int) -> tuple[float, float]:
        """The last valid quote before a row that the process received; a dead process received none."""
        rows, lane = self._rows, self._lane_of[symbol]
        row = last_valid(rows.lane, rows.bid, rows.ask, 0, pos, lane)
        for begin, end in reversed(self._missed):
            if begin <= row < end:
                row = last_valid(rows.lane, rows.bid, rows.ask, 0, begin, lane)
        return float(rows.bid[row]), float(rows.ask[row])


def _submitted(symbol: str, order: SubmitOrder, backing: _OpenProposal, mid: float) -> None:
    """Checks quantity, time in force and exits of an entry, or of a slice, against its proposal."""
    if order.quantity > backing.left:
        raise InvariantViolation(
            f"11: {order.quantity} {symbol} are entered, {backing.left} of the proposal is left"
        )
    backing.left = subtract(backing.left, order.quantity)
    if order.time_in_force != backing.proposal.time_in_force:
        raise InvariantViolation(f"11: {symbol} is entered {order.time_in_force}, against its proposal")
    # 1e-6 bps: the exits are float64 prices, converted back.
    rise = 1.0 if order.side is BUY else -1.0
    gain_bps = ((order.take_profit or 0.0) / mid - 1.0) * 1e4 * rise
    loss_bps = (1.0 - (order.stop_loss or 0.0) / mid) * 1e4 * rise
    proposed = (backing.proposal.take_profit_bps, backing.proposal.stop_loss_bps)
    if abs(gain_bps - proposed[0]) > 1e-6 or abs(loss_bps - proposed[1]) > 1e-6:
        raise InvariantViolation(
            f"11: {symbol} has exits at {gain_bps:.3f} and {loss_bps:.3f} bps instead of {proposed}"
        )
