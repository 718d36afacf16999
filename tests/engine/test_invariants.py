"""Invariants after every recorded event, with latencies, partial fills and lost answers."""

from decimal import Decimal

from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from autohedge.app import engine_for
from autohedge.config import Settings
from autohedge.core.events import JournalEntry, SubmitOrder
from autohedge.core.ids import nonce_from_seed, seeded_random
from autohedge.core.money import ZERO, add, multiply, with_fee
from autohedge.core.orders import ENTER, LEAVE
from autohedge.core.units import NS_PER_MINUTE
from autohedge.engine.engine import Engine
from autohedge.exchanges.simulated import Fault, FaultScript, SimulatedVenue, VenueModel, lots_of
from autohedge.kernels.state import EXITING, FLAT, OPEN, PENDING
from autohedge.market import Tape
from autohedge.runtime.virtual import VirtualRuntime
from tests.engine.tape_factory import run_settings, tapes

POSITION_MAX, EXPOSURE_MAX, ORDERS_MAX = 150, 180, 6
LIMITS = {
    "max_position_notional": Decimal(POSITION_MAX),
    "max_exposure_notional": Decimal(EXPOSURE_MAX),
    "max_orders_per_minute": ORDERS_MAX,
}


FEE_BPS = Decimal(600)
NEARLY = Decimal("1e-9")


class InvariantRecorder:
    """A recorder that checks the engine after each event."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.seen = 0
        self.sent_ns: list[int] = []

    def append(self, entry: JournalEntry) -> None:
        self.seen += 1
        assert self.engine.orders.reserved == self._reserved() >= 0
        assert self.engine.ledger.cash >= 0
        for lane in range(len(self.engine.instruments)):
            self._lane(lane)
        if isinstance(entry.event, SubmitOrder):
            self.sent_ns.append(entry.event.at_ns)
            if entry.event.purpose is ENTER:
                self._limits(entry.event.at_ns)

    def flush(self) -> None:
        """Does nothing: no record is kept."""

    def _reserved(self) -> Decimal:
        reserved = ZERO
        for order in self.engine.orders.working.values():
            if order.intent.purpose is ENTER:
                spent = multiply(order.remaining, order.intent.worst_price)
                reserved = add(reserved, with_fee(spent, FEE_BPS))
        return reserved

    def _lane(self, lane: int) -> None:
        engine = self.engine
        held = engine.ledger.position(engine.instruments[lane].instrument.symbol).quantity
        assert held >= 0 or engine.portfolio.covered
        assert engine.portfolio.held[lane] == float(held)
        expected = FLAT
        if engine.orders.exits_of(lane) or ("exit", lane) in engine.timers:
            expected = EXITING
        elif held:
            expected = OPEN
        elif engine.orders.entries_of(lane):
            expected = PENDING
        assert engine.kernel_states["status"][lane] == expected
        working = [o for o in engine.orders.working.values() if o.intent.lane == lane]
        assert sum(o.intent.purpose is LEAVE for o in working) <= 1
        assert sum(o.intent.purpose is ENTER for o in working) <= 1

    def _limits(self, sent_ns: int) -> None:
        """Checks after an entry was sent that all limits hold even if every order fills."""
        engine, reserved = self.engine, self._reserved()
        exposure = sum(map(self._value, range(len(engine.instruments)))) + reserved
        assert exposure <= EXPOSURE_MAX + NEARLY
        if engine.portfolio.covered:
            assert exposure <= engine.portfolio.equity() + NEARLY
        else:
            assert reserved <= engine.ledger.cash
        assert sum(at > sent_ns - NS_PER_MINUTE for at in self.sent_ns[:-1]) < ORDERS_MAX
        for lane in range(len(engine.instruments)):
            if engine.orders.entries_of(lane):
                assert self._value(lane) + engine.orders.reserved_in(lane) <= POSITION_MAX + NEARLY

    def _value(self, lane: int) -> Decimal:
        """What it takes to close a position, at the last quote."""
        held, (bid, ask) = self.engine.portfolio.held[lane], self.engine.market.quote(lane)
        return Decimal(abs(float(held * (bid if held > 0 else ask)))) if held else ZERO


def _faulty(seed: int, rate: float) -> FaultScript:
    rng = seeded_random(str(seed), "faults")

    def script(order: SubmitOrder, at_ns: int) -> Fault | None:
        return rng.choice(list(Fault)) if rng.random() < rate else None

    return script


@budget(max_examples=80, deadline=None)
@given(
    tapes(symbols=3),
    run_settings(),
    st.sampled_from([0.0, 0.2]),
    st.integers(0, 99),
    st.sampled_from([120, 10_000]),
)
def test_money_lanes_and_limits_agree_after_every_event(
    tape: Tape, wanted: Settings, fault_rate: float, seed: int, cash: int
) -> None:
    poor = {"initial_cash": Decimal(cash), "maker_bps": FEE_BPS, "taker_bps": FEE_BPS}
    sizing = {"target_balance_pct": Decimal(90)}
    tight = wanted.model_copy(
        update={
            "risk": wanted.risk.model_copy(update=LIMITS),
            "account": wanted.account.model_copy(update=poor),
            "sizing": wanted.sizing.model_copy(update=sizing),
        }
    )
    engine = engine_for(tight, tape)
    recorder, nonce = InvariantRecorder(engine), nonce_from_seed(seed)
    lots = lots_of(tight, tape.symbols)
    faults = _faulty(seed, fault_rate)
    venue = SimulatedVenue(VenueModel.of(tight), lots, tape.rows, nonce=nonce, faults=faults)
    VirtualRuntime(engine, venue, tape.rows, recorder, clock=venue).run(nonce)
    assert recorder.seen >= 3
    if fault_rate == 0 and not engine.orders.working:
        assert engine.orders.reserved == 0
