"""A harness for an engine with agents: tests feed quotes, decisions and venue events by hand."""

from decimal import Decimal
from typing import Any

from autohedge.app import engine_for
from autohedge.core.events import (
    Decision,
    DeliberationRequested,
    Event,
    ExecutionReport,
    Input,
    OrderAccepted,
    SubmitOrder,
    Timer,
)
from autohedge.core.units import NS_PER_S
from autohedge.engine.engine import Engine
from autohedge.market import Rows
from tests.run_harness import Quotes, begun, quotes_tape, settings

START_NS = 1_700_000_000 * NS_PER_S


class EngineHarness:
    """An engine that is fed by hand; each method returns the new outputs."""

    def __init__(self, overrides: dict[str, Any], quotes: Quotes) -> None:
        tape = quotes_tape(quotes)
        self.rows: Rows = tape.rows
        self.engine: Engine = begun(engine_for(settings(**overrides), tape))
        self._trades = 0

    def drain(self) -> list[Event]:
        events: list[Event] = [e.event for e in self.engine.log if not isinstance(e.event, Input)]
        self.engine.log.clear()
        return events

    def step(self, event: Any) -> list[Event]:
        self.engine.step(event)
        return self.drain()

    def quotes(self, count: int, batch: int | None = None) -> list[Event]:
        """Scans `count` quotes, `batch` at a time."""
        end = self.engine.pos + count
        while self.engine.pos < end:
            stop = min(self.engine.pos + (batch or count), end)
            self.engine.scan(self.rows, self.engine.pos, stop)
        return self.drain()

    def next_question(self) -> DeliberationRequested:
        """Scans quotes until the engine requests a deliberation."""
        for _ in range(50):
            for event in self.quotes(1):
                if isinstance(event, DeliberationRequested):
                    return event
        raise AssertionError("no deliberation was requested")

    def decide(
        self, verdict: Any, question: DeliberationRequested | None = None, **changes: Any
    ) -> list[Event]:
        question = question or self.next_question()
        direction = "long" if verdict == "trade" else ""
        facts: dict[str, Any] = {"direction": direction, "source": "test"} | changes
        now_ns = self.engine.now_ns
        return self.step(
            Decision(
                now_ns,
                question.number,
                question.kind,
                question.symbol,
                question.at_ns,
                verdict,
                **facts,
            )
        )

    def fire_timers_until(self, at_ns: int) -> list[Event]:
        while self.engine.next_deadline_ns <= at_ns:
            self.engine.step(Timer(self.engine.next_deadline_ns))
        return self.drain()

    def accept(self, order: SubmitOrder) -> list[Event]:
        """Accepts an order at the venue."""
        return self.step(OrderAccepted(self.engine.now_ns, order.order_id, f"v-{order.order_id}"))

    def fill(self, order: SubmitOrder, quantity: Decimal | None = None) -> list[Event]:
        """Accepts and fills an order, or a part of it, at its limit or at the bid."""
        self.accept(order)
        self._trades += 1
        price = order.limit or Decimal(str(self.engine.kernel_states[0]["bid"]))
        now_ns, trade_id = self.engine.now_ns, f"t{self._trades}"
        done, no_fee = quantity or order.quantity, Decimal(0)
        return self.step(
            ExecutionReport(now_ns, order.order_id, "fill", now_ns, trade_id, done, price, no_fee)
        )

    def confirm_cancel(self, order: SubmitOrder, filled: Decimal = Decimal(0)) -> list[Event]:
        """Reports an order as canceled."""
        now_ns = self.engine.now_ns
        return self.step(ExecutionReport(now_ns, order.order_id, "canceled", now_ns, filled=filled))

    @property
    def state(self) -> str:
        assert self.engine.deliberations
        return self.engine.deliberations.gates.state(0)
