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
from autohedge.core.money import PERCENT, ZERO, divide, multiply, subtract
from autohedge.core.orders import BUY
from autohedge.core.units import BPS, NS_PER_S
from autohedge.engine.deliberations.coordinator import DeliberationCoordinator
from autohedge.execution.sizing import Sizing, entry_limit
from autohedge.faultsim.question_checks import InvariantViolation, QuestionChecker
from autohedge.faultsim.recorded_account import RecordedAccount
from autohedge.faultsim.settings_in_force import SettingsInForce
from autohedge.kernels.matching import last_valid
from autohedge.market.tape import Rows

ONE = Decimal(1)


@dataclass(slots=True)
class _OpenProposal:
    """A proposal that is being carried out, and the quantity that may still be bought for it."""

    proposal: Proposal
    left: Decimal


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
        self._missed: list[tuple[int, int]] = []
        self._agreed: dict[str, Proposal] = {}
        self._backing: dict[str, _OpenProposal] = {}
        self._to_resolve: set[int] = set()

    def note(self, entry: JournalEntry) -> None:
        """Follows one recorded event."""
        event = entry.event
        if isinstance(event, Input):  # a proposal must be carried out in the step of its decision
            self._agreed.clear()
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

    def on_entry(self, symbol: str, entry: JournalEntry, command: SubmitOrder | ReplaceOrder) -> None:
        """Checks an entry that is sent or replaced against its proposal: price, quantity, exits."""
        bid, ask = self._quote(symbol, entry.pos)
        if symbol in self._agreed and isinstance(command, SubmitOrder):
            proposal = self._agreed.pop(symbol)
            most = self._most(symbol, proposal, self._limit(symbol, bid, ask, 0), entry.pos)
            self._backing[symbol] = _OpenProposal(proposal, most)
        if symbol not in self._backing:
            raise InvariantViolation(f"11: {symbol} is bought without a proposal")
        backing = self._backing[symbol]
        limit = self._limit(symbol, bid, ask, backing.proposal.offset_bps)
        if command.limit is None or command.limit > limit:
            raise InvariantViolation(f"11: {symbol} is bought at {command.limit}, above {limit}")
        if isinstance(command, SubmitOrder):
            _submitted(symbol, command, backing, (bid + ask) / 2.0)

    def step(self, deliberations: DeliberationCoordinator) -> None:
        """Checks the pending questions, and that every question that ended was resolved."""
        self.questions.step(deliberations)
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
        wants = (decision.verdict, decision.direction) == ("trade", "long")
        if wants and decision.proposal and self._inside(decision.symbol, decision.proposal):
            self._agreed[decision.symbol] = decision.proposal
        elif decision.verdict != "keep":
            self._backing.pop(decision.symbol, None)

    def _resolved(self, event: ProposalResolved) -> None:
        if event.number not in self._to_resolve:
            raise InvariantViolation(f"11: {event.number} is resolved, but it did not end in this step")
        self._to_resolve.discard(event.number)

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

    def _most(self, symbol: str, proposal: Proposal, limit: Decimal, pos: int) -> Decimal:
        """The largest quantity for a proposal, with nothing reserved."""
        money, currency = self._account.money, self._account.money.quote(symbol)
        cash = self._account.worth(currency, money.amounts[currency], pos)
        notional = Sizing.of(self._settings.terms(symbol)).notional(cash) or ZERO
        share = multiply(multiply(notional, Decimal(proposal.size_pct)), PERCENT)
        return divide(share, self._account.worth(currency, limit, pos))

    def _limit(self, symbol: str, bid: float, ask: float, offset_bps: int) -> Decimal:
        settings = self._settings.terms(symbol)
        most = entry_limit(BUY, (bid, ask), settings.execution.aggression_bps, settings.instrument(symbol))
        return multiply(most, subtract(ONE, multiply(Decimal(offset_bps), BPS)))

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
            f"11: {order.quantity} {symbol} are bought, {backing.left} of the proposal is left"
        )
    backing.left = subtract(backing.left, order.quantity)
    if order.time_in_force != backing.proposal.time_in_force:
        raise InvariantViolation(f"11: {symbol} is bought {order.time_in_force}, against its proposal")
    # 1e-6 bps: the exits are float64 prices, converted back.
    gain_bps = ((order.take_profit or 0.0) / mid - 1.0) * 1e4
    loss_bps = (1.0 - (order.stop_loss or 0.0) / mid) * 1e4
    proposed = (backing.proposal.take_profit_bps, backing.proposal.stop_loss_bps)
    if abs(gain_bps - proposed[0]) > 1e-6 or abs(loss_bps - proposed[1]) > 1e-6:
        raise InvariantViolation(
            f"11: {symbol} has exits at {gain_bps:.3f} and {loss_bps:.3f} bps instead of {proposed}"
        )
