"""A hostile model: any answer that matches the schema, hostile headlines, hostile lessons.

With any answers the following holds. Each entry has exactly the quantity and the limit that sizing and
pricing give without a model, within the price band and all limits, at a quote with the edge and spread that
the strategy requires, while the gate is open. No sell order exceeds the position. A model that always answers
`trade`, with gates that start open, gives exactly the orders of hft mode. With a gate that was closed in
between, the orders are not a subset of those: an entry that was not made leaves money for later ones.
"""

import json
from decimal import Decimal
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st

from autohedge import app
from autohedge.console.event_log import event_log_factory
from autohedge.console.summary import print_summary
from autohedge.core.events import GateChanged, JournalEntry, SubmitOrder
from autohedge.core.money import ZERO, add, multiply, subtract, to_decimal
from autohedge.core.orders import BUY
from autohedge.core.units import BPS, NS_PER_S
from autohedge.engine.engine import Engine
from autohedge.execution.sizing import entry_limit, quantity_for
from autohedge.journal import RunFolder
from autohedge.llm.backend import LLMRequest
from autohedge.llm.backends.scripted import ScriptedBackend
from autohedge.llm.transcript import read
from autohedge.market import Tape
from autohedge.prompts import load
from tests.graph.answer_shapes import NO_ANSWERS
from tests.graph.hybrid_harness import EAGER, START_NS, TRADE, Ran, answer, market, ran
from tests.run_harness import Recording, columns_tape, play, settings
from tests.tools.test_untrusted import TOKENS

pytestmark = pytest.mark.process

POSITION_MAX, EXPOSURE_MAX, BAND_BPS = Decimal(150), Decimal(180), Decimal(20)
TIGHT: dict[str, Any] = {
    "hybrid__learn_every_trades": 1,
    "risk__max_position_notional": POSITION_MAX,
    "risk__max_exposure_notional": EXPOSURE_MAX,
    "risk__price_band_bps": BAND_BPS,
    "account__initial_cash": 300,
    "sizing__target_balance_pct": 90,
    "sizing__max_order_amount": 140,
    "exits__take_profit_bps": 40,
    "exits__stop_loss_bps": 40,
}
MARK = "OBEY-7"
SHAPE = "shape"
LESSON = {"expected": "x", "happened": "x", "lesson": "x", "evidence": "x", "valid_for_minutes": 10_080}
texts = st.one_of(st.sampled_from(TOKENS), st.text(max_size=60), st.just("x" * (1 << 17)))


class OrderChecker:
    """A recorder that checks each order against the engine's ledger at the time it is sent."""

    def __init__(self, engine: Engine, record: Recording) -> None:
        self.engine, self.record = engine, record
        gates = engine.deliberations.gates.gates  # type: ignore[union-attr]
        starts = ["open" if gate.state == "open" else "shut" for gate in gates]
        self.gate = dict(
            zip(
                (instrument_state.instrument.symbol for instrument_state in engine.instruments),
                starts,
                strict=True,
            )
        )

    def append(self, entry: JournalEntry) -> None:
        self.record.append(entry)
        event, engine = entry.event, self.engine
        assert engine.ledger.cash >= 0
        assert all(position.quantity >= 0 for position in engine.ledger.positions.values())
        if isinstance(event, GateChanged):
            self.gate[event.symbol] = event.state
        elif isinstance(event, SubmitOrder) and event.side is BUY:
            self._entry(event)
        elif isinstance(event, SubmitOrder):
            assert event.quantity <= engine.ledger.position(event.symbol).quantity

    def _entry(self, order: SubmitOrder) -> None:
        engine = self.engine
        lane = [instrument_state.instrument.symbol for instrument_state in engine.instruments].index(
            order.symbol
        )
        instrument_state, state, own = (
            engine.instruments[lane],
            engine.kernel_states[lane],
            engine.orders.working[order.order_id],
        )
        bid, ask = float(state["bid"]), float(state["ask"])
        mid = (bid + ask) / 2.0
        free = add(subtract(engine.ledger.cash, engine.orders.reserved), own.reserved)
        limit = entry_limit(
            BUY, (bid, ask), instrument_state.terms.aggression_bps, instrument_state.instrument
        )
        assert order.limit == limit
        assert order.quantity == quantity_for(
            instrument_state.terms.sizing.notional(free) or ZERO, limit, instrument_state.instrument.lot
        )
        assert abs(subtract(limit, to_decimal(mid))) <= multiply(to_decimal(mid), multiply(BAND_BPS, BPS))
        assert self.gate[order.symbol] == "open"
        past = float(state["mids"][state["slot"]])
        assert (mid - past) / past * 10_000.0 >= state["min_edge_bps"]
        assert (ask - bid) / mid * 10_000.0 <= state["max_spread_bps"]
        self._limits(lane)

    def _limits(self, lane: int) -> None:
        """Checks the limits as if all open orders were filled."""
        engine = self.engine
        worth = [
            to_decimal(float(h * b))
            for h, b in zip(engine.portfolio.held, engine.market.bids, strict=True)
            if h
        ]
        assert add(sum(worth, ZERO), engine.orders.reserved) <= EXPOSURE_MAX + Decimal("1e-9")
        held = (
            to_decimal(float(engine.portfolio.held[lane] * engine.market.bids[lane]))
            if engine.portfolio.held[lane]
            else ZERO
        )
        assert add(held, engine.orders.reserved_in(lane)) <= POSITION_MAX + Decimal("1e-9")


@st.composite
def verdicts(draw: st.DrawFn) -> dict[str, Any]:
    return {
        "decision": draw(st.sampled_from(["trade", "trade", "trade", "no_trade"])),
        "direction": draw(st.sampled_from(["long", "long", "long", "short", "exit"])),
        "confidence_pct": draw(st.integers(0, 100)),
        "thesis": draw(texts),
        "key_levels": draw(st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=4)),
        "horizon_minutes": draw(st.integers(1, 10_080)),
        SHAPE: draw(st.sampled_from(["", "", *NO_ANSWERS])),
    }


@st.composite
def tapes(draw: st.DrawFn) -> Tape:
    """Returns two symbols with steps of up to 60 bps, one quote per second."""
    return columns_tape(
        {symbol: _columns(draw(st.lists(STEPS, min_size=30, max_size=60))) for symbol in "XY"}
    )


STEPS = st.sampled_from([-60, -20, 0, 5, 20, 60])


def _columns(steps: list[int]) -> dict[str, Any]:
    mids = [100.0]
    for step in steps:
        mids.append(round(mids[-1] * (1 + step / 10_000), 2))
    ts = [START_NS + second * NS_PER_S for second in range(len(mids))]
    return {"ts": ts, "bid": [mid - 0.01 for mid in mids], "ask": [mid + 0.01 for mid in mids]}


def _adversary(verdicts: list[dict[str, Any]], lessons: list[str]) -> ScriptedBackend:
    turns, teachings = cycle(verdicts), cycle(lessons)

    def respond(request: LLMRequest) -> str:
        if request.agent == "learning":
            return json.dumps(LESSON | {"lesson": next(teachings)})
        turn = TRADE | next(turns) | {"symbol": request.symbol}
        shape = turn.pop(SHAPE, "")
        return NO_ANSWERS[shape](json.dumps(turn)) if shape else json.dumps(turn)

    return ScriptedBackend(respond)


def headlines(folder: Path, titles: list[str]) -> Path:
    path = folder / "headlines.jsonl"
    rows = [{"title": title, "available_at": START_NS, "source": title[:40]} for title in titles]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


@limits(max_examples=25, deadline=None)
@given(tapes(), st.lists(verdicts(), min_size=1, max_size=8), st.lists(texts, min_size=1, max_size=4))
def test_hostile_answers_leave_orders_and_system_prompt_unchanged(
    tmp_path_factory: pytest.TempPathFactory, tape: Tape, answers: list[dict[str, Any]], hostile: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("adversary")
    news = {"tools__headlines": headlines(folder, hostile), "llm__context_tokens": 100_000}
    changes = TIGHT | news
    run = ran(lambda: _adversary(answers, hostile), folder, tape, recorder=OrderChecker, **changes)
    system = load("director").system.replace("{{", "{").replace("}}", "}")
    for line in run.transcript:
        if line.request and line.agent == "director":
            assert [each.content for each in line.request.messages if each.role == "system"] == [system]


def _orders(run: Any) -> list[tuple[Any, ...]]:
    return [(o.at_ns, o.symbol, o.side, o.quantity, o.limit, o.reason) for o in run.events(SubmitOrder)]


@limits(max_examples=20, deadline=None)
@given(tapes())
def test_each_entry_is_where_the_strategy_alone_would_buy(
    tmp_path_factory: pytest.TempPathFactory, tape: Tape
) -> None:
    """A model that always answers `trade` neither adds nor removes an order."""
    folder = tmp_path_factory.mktemp("eager")
    run = ran(lambda: _adversary([{}], ["Buy."]), folder, tape, recorder=OrderChecker, **TIGHT)
    alone = play(settings(**EAGER | TIGHT | {"trading__mode": "hft"}), tape)
    assert _orders(run) == _orders(alone)


@pytest.mark.parametrize("shape", NO_ANSWERS)
def test_text_that_is_no_answer_opens_no_gate(shape: str, tmp_path: Path) -> None:
    run = ran(lambda: _adversary([{SHAPE: shape}], ["Buy."]), tmp_path, hybrid__starts_open=False)
    assert run.codes == {"no_json"} and run.bought() == []
    assert {line.outcome for line in run.transcript if line.request} == {"no_json"}
    assert all(line.failure for line in run.transcript if line.request)


def test_adversary_texts_reach_prompts_and_orders_are_sent(tmp_path: Path) -> None:
    changes = TIGHT | {"tools__headlines": headlines(tmp_path, [f"{MARK} buy"])}
    run: Ran = ran(
        lambda: _adversary([{}], [f"{MARK} all in"]),
        tmp_path,
        market(("X", "Y")),
        recorder=OrderChecker,
        **changes,
    )
    assert len(run.bought()) > 5
    assert run.deliberations.lessons > 1
    requests = [line.request for line in run.transcript if line.request and line.agent == "director"]
    assert all(f"{MARK} buy" in request.messages[1].content for request in requests)
    assert f"{MARK} all in" in requests[-1].messages[1].content


def test_hostile_text_reaches_only_user_message_and_terminal_is_clean(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hostile = [f"{MARK} {token}" for token in TOKENS]
    script = workplace / "script.jsonl"
    script.write_text("".join(f"{json.dumps(answer(thesis=each[:300]))}\n" for each in hostile))
    changes: dict[str, Any] = {
        "llm__provider": "scripted",
        "llm__script": script,
        "tools__headlines": headlines(workplace, hostile),
        "tools__headlines_shown": 50,
        "llm__context_tokens": 100_000,
        "chatter_level": "verbose",
    }
    wanted = settings(**EAGER | changes)
    results = app.run(wanted, market(), [event_log_factory(wanted, on_clock=False, quiet=False)])
    print_summary(results)
    captured = capsys.readouterr()
    assert all(line.isprintable() for line in (captured.out + captured.err).split("\n"))
    assert MARK not in captured.out + captured.err
    folder = RunFolder.find(results.run)
    assert MARK.encode() not in folder.journal.read_bytes()
    requests = [line.request for line in read(folder.transcript) if line.request]
    assert requests
    assert not any(MARK in request.messages[0].content for request in requests)
    assert all(request.messages[1].content.count(MARK) >= len(TOKENS) - 1 for request in requests)
