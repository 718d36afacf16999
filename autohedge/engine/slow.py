"""The engine's side of the slow plane: what it asks, what it shows, and what an answer changes.

In hybrid mode an answer can open a gate or shut it, and nothing else; in llm mode it can propose an entry, or end
a position. Neither can do what sizing, limits and checks do not allow.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autohedge.config import Settings
from autohedge.core.agenda import Agenda
from autohedge.core.events import AnyOutput, Decision, Proposal
from autohedge.core.money import ZERO, add, subtract
from autohedge.core.reasons import GATES_FROM, Reason
from autohedge.core.snapshots import Bounds, Closed, Holding, Kind, QuoteRow, Snapshot
from autohedge.engine.dealer import Dealer
from autohedge.engine.desk import Desk
from autohedge.engine.gate import EXPIRY, Gates
from autohedge.engine.learning import LEARNED, School
from autohedge.engine.office import Office
from autohedge.engine.proposals import Hands, Proposals
from autohedge.engine.questions import ASK, DEADLINE, Surroundings
from autohedge.execution.inquiry import NS_PER_S, Matter
from autohedge.kernels.lane import Lanes
from autohedge.kernels.matching import recent
from autohedge.market.tape import Rows

SHOWN_ROWS = 50
MEETING_THE_GATE = [
    int(code)
    for code in Reason
    if Reason.ENTRY <= code <= Reason.NOT_FINITE or GATES_FROM <= code < Reason.DELIBERATING
]
SLOW_MATTERS = frozenset({ASK, DEADLINE, EXPIRY, LEARNED})


class SlowPlane:
    """Gates or proposals, lessons, and the snapshots of the questions that are on their way."""

    def __init__(
        self,
        settings: Settings,
        desks: list[Desk],
        lanes: Lanes,
        agenda: Agenda[Matter],
        office: Office,
        dealer: Dealer,
        emit: Callable[[AnyOutput], None],
        tape: Callable[[], tuple[Rows | None, int]],
        leave: Callable[[int, str], bool],
    ) -> None:
        self._desks = desks
        self._office, self._dealer = office, dealer
        self._tape = tape
        self._found: NDArray[np.int64] = np.zeros(SHOWN_ROWS, np.int64)
        self._number = 0
        self._counts = lanes["counts"]
        self._lane_of = {desk.instrument.symbol: lane for lane, desk in enumerate(desks)}
        self.snapshots: dict[int, Snapshot] = {}
        symbols = list(self._lane_of)
        hybrid = settings.hybrid
        own = [settings.for_symbol(symbol) for symbol in symbols]
        self._bounds = [bounds_of(each) for each in own]
        warmups = [each.momentum.warmup_count for each in own]
        around = Surroundings(symbols, warmups, lanes, agenda, emit, self._next_number, self._shoot)
        self._leave = leave
        self.proposes = settings.trading.mode == "llm"
        self.gates: Gates | Proposals
        if self.proposes:
            hands = Hands(self._enter, self._leave_for_agents, self._shut)
            self.gates = Proposals(settings.llm, hybrid, around, self._bounds, hands)
        else:
            self.gates = Gates(hybrid, around, self._shut)
        office.on_halt = self._halted
        deadline_ns = round(hybrid.deadline_s * NS_PER_S)
        self.school: School | None = None
        if hybrid.learn_every_trades:
            self.school = School(
                symbols, hybrid.learn_every_trades, deadline_ns, agenda, emit, self._next_number, self._shoot
            )
            office.on_fill = self.school.filled

    # what a person asks

    def hush(self) -> None:
        """Ask nothing of one's own accord: to be called before the first row."""
        self.gates.hush()

    def ask(self, symbol: str, now_ns: int) -> Snapshot:
        """Ask about a symbol now, whether it is time or not; what is shown of it. No part of any run."""
        self.gates.ask(self._lane_of[symbol], now_ns)
        return self.snapshots[self._number]

    # what comes in

    def counted_down(self, lane: int, now_ns: int) -> None:
        """As many quotes came as a gate waited for."""
        self.gates.counted_down(lane, now_ns)

    def due(self, kind: str, lane: int, now_ns: int) -> None:
        """A time of the slow plane has come."""
        if kind == LEARNED and self.school:
            self.school.give_up(lane)
        else:
            self.gates.due(kind, lane, now_ns)

    def decided(self, decision: Decision, now_ns: int) -> int | None:
        """Take an answer, whatever it says; the lane that it is about, None if there is none such."""
        self.snapshots.pop(decision.number, None)
        lane = self._lane_of.get(decision.symbol)
        if decision.kind == self.gates.kind:
            self.gates.decided(decision, now_ns)
        elif decision.kind == "learning" and self.school and lane is not None:
            self.school.decided(decision, lane)
        return lane

    def _halted(self, now_ns: int) -> None:
        self.close_all("halted", now_ns)

    def close_all(self, why: str, now_ns: int) -> None:
        """What was asked counts no more, and every gate is shut."""
        self.snapshots.clear()
        self.gates.close_all(why, now_ns)
        if self.school:
            for lane in range(len(self._desks)):
                self.school.give_up(lane)

    def result(self) -> dict[str, Any]:
        """What became of the questions."""
        tally = self.gates.tally
        figures = {
            "asked": self._number,
            "late": tally.late,
            "given_up": tally.given_up,
            "bypassed": tally.bypassed,
            "cached": tally.cached,
            "verdicts": dict(sorted(tally.verdicts.items())),
            "abstentions": dict(sorted(tally.abstentions.items())),
            "lessons": self.school.lessons if self.school else 0,
        }
        if isinstance(self.gates, Proposals):
            return figures | {"disposed": dict(sorted(tally.disposed.items()))}
        states = {symbol: gate.state for symbol, gate in zip(self._lane_of, self.gates.gates, strict=True)}
        opened = {"opened": tally.opened, "closed": tally.closed}
        return figures | opened | {"wishes": self._wishes(), "gates": states}

    def _wishes(self) -> int:
        """Wishes to buy that the gate of the moment answered, one way or the other, without a question."""
        return int(self._counts[:, MEETING_THE_GATE].sum())

    def _shut(self, lane: int, now_ns: int) -> None:
        """The last word is no more to buy: what is still to be bought is not."""
        self._dealer.plan(lane, None)
        why = "the agents take it back" if self.proposes else "the gate closed"
        self._office.cancel(self._office.orders.entry(lane), why, now_ns)

    def _enter(self, lane: int, proposal: Proposal, now_ns: int) -> Reason:
        """Buy as proposed, unless something is held or on its way, or the spread is too wide."""
        orders, desk = self._office.orders, self._desks[lane]
        if orders.exit(lane):
            return Reason.EXIT_PENDING
        if self._office.held[lane] and not desk.dust:
            return Reason.IN_POSITION
        if orders.entry(lane) or desk.slices:
            return Reason.ORDER_PENDING
        if self._dealer.spread_bps(lane) > self._bounds[lane].max_spread_bps:
            return Reason.WIDE_SPREAD
        return self._dealer.enter(lane, self._dealer.quote_ns(lane), now_ns, proposal)

    def _leave_for_agents(self, lane: int) -> bool:
        return self._leave(lane, Reason.EXIT_SIGNAL.label) and not self._desks[lane].dust

    # what is shown

    def _next_number(self) -> int:
        self._number += 1
        return self._number

    def _shoot(self, lane: int, number: int, now_ns: int, closed: tuple[Closed, ...] = ()) -> str:
        """Take the snapshot of a question; it stays until the answer."""
        kind: Kind = "learning" if closed else self.gates.kind
        desk = self._desks[lane]
        orders, ledger = self._office.orders, self._office.ledger
        net, gross = self._dealer.holdings()
        snapshot = Snapshot(
            number=number,
            kind=kind,
            symbol=desk.instrument.symbol,
            at_ns=now_ns,
            quotes=self._quotes(lane),
            seen=self.gates.seen(lane),
            held=self._holding(desk),
            cash=ledger.cash,
            equity=add(ledger.cash, net),
            buying_power=subtract(ledger.cash, orders.reserved),
            exposure=add(gross, orders.reserved),
            state=self._office.state.name,
            gate=self.gates.state(lane),
            bounds=self._bounds[lane],
            closed=closed,
        )
        self.snapshots[number] = snapshot
        while len(self.snapshots) > 4 * len(self._desks):
            del self.snapshots[next(iter(self.snapshots))]
        return snapshot.hash

    def _quotes(self, lane: int) -> tuple[QuoteRow, ...]:
        rows, taken = self._tape()
        if rows is None:
            return ()
        count = recent(rows.lane, rows.bid, rows.ask, taken, lane, self._found)
        at = self._found[SHOWN_ROWS - count :]
        columns = (rows.ts, rows.bid, rows.bid_size, rows.ask, rows.ask_size)
        return tuple(QuoteRow(*row) for row in zip(*(column[at].tolist() for column in columns), strict=True))

    def _holding(self, desk: Desk) -> Holding:
        """What there is to be sold; a rest that no order can sell is none."""
        position = self._office.ledger.position(desk.instrument.symbol)
        if not position.quantity or desk.dust:
            return Holding(ZERO if desk.dust else position.quantity, 0.0, 0.0, 0.0)
        price = float(position.cost) / float(position.quantity)
        return Holding(position.quantity, price, desk.take_profit, desk.stop_loss)


def bounds_of(settings: Settings) -> Bounds:
    """The limits in one symbol's settings; no agent may ask for a wider stop than a strategy's position has."""
    sizing, risk, exits, momentum = settings.sizing, settings.risk, settings.exits, settings.momentum
    asked = settings.agents.risk
    most_stop_bps = min(asked.most_stop_loss_bps, int(exits.stop_loss_bps))
    return Bounds(
        min_order_notional=max(sizing.min_order_amount, risk.min_order_notional),
        max_order_notional=min(sizing.max_order_amount, risk.max_order_notional),
        max_position_notional=risk.max_position_notional,
        max_exposure_notional=risk.max_exposure_notional,
        take_profit_bps=exits.take_profit_bps,
        stop_loss_bps=exits.stop_loss_bps,
        fee_bps=settings.simulated.fee_bps,
        min_edge_bps=momentum.min_edge_bps,
        max_spread_bps=momentum.max_spread_bps,
        stop_losses_bps=(min(asked.least_stop_loss_bps, most_stop_bps), most_stop_bps),
        take_profits_bps=(asked.least_take_profit_bps, asked.most_take_profit_bps),
        least_reward_to_risk=asked.least_reward_to_risk,
        most_offset_bps=settings.agents.execution.most_offset_bps,
    )
