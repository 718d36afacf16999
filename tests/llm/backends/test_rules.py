"""The rules backend: known answers of its formulas, the same each time, with both decisions."""

import asyncio
import json
import math
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given

from autohedge.agents.execution import Placement
from autohedge.agents.quant import Finding, check_finding
from autohedge.agents.risk import Assessment, check_limits
from autohedge.core.snapshots import PositionView, QuoteRow, Snapshot
from autohedge.llm.backend import LLMBackend, LLMError, LLMRequest, LLMResponse, Message
from autohedge.llm.backends.rules import RULES, RulesBackend, noise_bps, trend, verdict
from autohedge.market import Stream, SyntheticSpec, open_tape, parse_source, synthesize
from autohedge.tools import preview
from autohedge.tools.claims import implausible_levels
from tests.run_harness import settings
from tests.snapshot_factory import AGENT_LIMITS, BOTH_DIRECTIONS, VALID_QUOTES, closed_trade, rows, snapshot

HELD = PositionView(Decimal(1), 100.0, 101.0, 99.0)
DECISIONS, DIRECTIONS = {"trade", "no_trade"}, {"long", "short", "exit"}


def ask(seen: Snapshot, agent: str = "director", key: str | None = None) -> LLMResponse:
    backend: LLMBackend = RulesBackend({seen.hash: seen}.__getitem__)
    messages = (Message("user", "whatever the prompt says"),)
    request = LLMRequest(agent, seen.symbol, messages, {}, 0.2, 300, "hash", key or seen.hash)
    return asyncio.run(backend.complete(request))


def answer(seen: Snapshot, agent: str = "director") -> dict[str, Any]:
    value: dict[str, Any] = json.loads(ask(seen, agent).text)
    return value


def saw(step_bps: float, noise_bps: float, spread: float = 0.001) -> tuple[QuoteRow, ...]:
    """Returns fifty quotes; each return is the step plus or minus the noise in turn."""
    mids, price = [100.0], 100.0
    for i in range(49):
        price *= math.exp((step_bps + (noise_bps if i % 2 else -noise_bps)) / 1e4)
        mids.append(price)
    return rows(mids, spread)


def test_the_trend_is_the_one_of_the_formula() -> None:
    found = trend(saw(1.0, 5.0, 0.02))
    # Of 49 returns 25 are -4 and 24 are +6: the drift is 44.
    assert found.drift_bps == pytest.approx(44.0)
    variance = (25 * (-4 - 44 / 49) ** 2 + 24 * (6 - 44 / 49) ** 2) / 48
    assert found.t == pytest.approx(44 / 49 / math.sqrt(variance / 49))
    assert found.spread_bps == pytest.approx(2.0, rel=0.01)


def test_clear_rise_is_traded_with_figures_in_thesis() -> None:
    parsed = answer(snapshot(saw(1.0, 5.0)))
    chance = (1 + math.erf(trend(saw(1.0, 5.0)).t / math.sqrt(2))) / 2
    assert (parsed["decision"], parsed["direction"], parsed["symbol"]) == ("trade", "long", "BTC/USD")
    assert parsed["confidence_pct"] == round(100 * chance) > 69
    assert parsed["thesis"] == "Drift +44.00 bps over 50 quotes, t +1.24, mean spread 0.10 bps."
    assert parsed["horizon_minutes"] == 1
    assert parsed["key_levels"] == [min(q.bid for q in saw(1.0, 5.0)), max(q.ask for q in saw(1.0, 5.0))]


@pytest.mark.parametrize(
    "quotes",
    [
        saw(-1.0, 5.0),
        saw(0.2, 5.0),
        saw(1.0, 5.0, spread=2.0),
        saw(1.0, 5.0)[:19],
        rows([100.0] * 50),
        rows([100.0]),
        (),
    ],
    ids=["falls", "only noise", "wide spread", "too few", "still", "one quote", "none"],
)
def test_market_without_clear_rise_is_not_traded(quotes: tuple[QuoteRow, ...]) -> None:
    assert answer(snapshot(quotes))["decision"] == "no_trade"


def test_clear_fall_suggests_exit_of_holding_and_never_opens_gate() -> None:
    for held, direction in ((HELD, "exit"), (snapshot().position, "short")):
        parsed = answer(snapshot(saw(-1.0, 5.0), position=held))
        assert (parsed["decision"], parsed["direction"]) == ("no_trade", direction)
        assert parsed["confidence_pct"] > 69


def test_clear_fall_in_trade_deliberation_exits_holding() -> None:
    for held, decision, direction in ((HELD, "trade", "exit"), (snapshot().position, "no_trade", "short")):
        parsed = answer(snapshot(saw(-1.0, 5.0), kind="trade", position=held))
        assert (parsed["decision"], parsed["direction"]) == (decision, direction)


SHORT = PositionView(Decimal(-1), 100.0, 99.0, 101.0)


@pytest.mark.parametrize(
    ("step_bps", "held", "kind", "decision", "direction"),
    [
        (-1.0, None, "gate", "trade", "short"),
        (1.0, None, "gate", "trade", "long"),
        (0.2, None, "gate", "no_trade", "long"),
        (1.0, SHORT, "trade", "trade", "exit"),
        (1.0, SHORT, "gate", "no_trade", "exit"),
        (-1.0, SHORT, "trade", "trade", "short"),
        (-1.0, HELD, "trade", "trade", "exit"),
    ],
)
def test_clear_fall_is_sold_short_where_that_is_allowed(
    step_bps: float, held: PositionView | None, kind: Any, decision: str, direction: str
) -> None:
    seen = snapshot(
        saw(step_bps, 5.0), kind=kind, position=held or snapshot().position, limits=BOTH_DIRECTIONS
    )
    parsed = answer(seen)
    assert (parsed["decision"], parsed["direction"]) == (decision, direction)
    assert parsed["confidence_pct"] > 69 or decision == "no_trade"


@pytest.mark.parametrize(("late_bps", "thesis"), [(-2.0, "supported"), (2.0, "refuted"), (0.0, "uncertain")])
def test_the_quant_judges_a_fall_where_shorts_are_allowed(late_bps: float, thesis: str) -> None:
    noise = [1.0 if i % 2 else -1.0 for i in range(24)]
    steps = [-3.0] * 25 + [late_bps + each for each in noise]
    quotes = rows([100 * math.exp(sum(steps[:i]) / 1e4) for i in range(50)], 0.1)
    parsed = answer(snapshot(quotes, limits=BOTH_DIRECTIONS), "quant")
    assert parsed["thesis"] == thesis and parsed["technical_score_pct"] >= 50


def test_the_quants_figures_are_those_of_the_formula() -> None:
    seen = snapshot(saw(1.0, 5.0))
    parsed = answer(seen, "quant")
    score = (1 + math.erf(trend(seen.quotes).t / math.sqrt(2))) / 2
    assert (parsed["technical_score_pct"], parsed["volatility"]) == (round(100 * score), "pass")
    assert parsed["support"] == min(quote.bid for quote in seen.quotes)
    assert parsed["resistance"] == max(quote.ask for quote in seen.quotes)


@pytest.mark.parametrize(("late_bps", "thesis"), [(2.0, "supported"), (-2.0, "refuted"), (0.0, "uncertain")])
def test_the_quant_looks_at_the_later_half_alone(late_bps: float, thesis: str) -> None:
    noise = [1.0 if i % 2 else -1.0 for i in range(24)]
    steps = [3.0] * 25 + [late_bps + each for each in noise]
    quotes = rows([100 * math.exp(sum(steps[:i]) / 1e4) for i in range(50)], 0.1)
    assert answer(snapshot(quotes), "quant")["thesis"] == thesis


def test_noise_matches_formula_and_is_zero_for_flat_or_no_quotes() -> None:
    variance = (25 * (-4 - 44 / 49) ** 2 + 24 * (6 - 44 / 49) ** 2) / 48
    assert noise_bps(saw(1.0, 5.0)) == pytest.approx(math.sqrt(variance * 49))
    assert noise_bps(rows([100.0] * 50)) == noise_bps(()) == 0.0


def test_noise_above_widest_stop_fails_volatility() -> None:
    assert noise_bps(saw(0.0, 8.0)) > 50 > noise_bps(saw(0.0, 6.0))
    assert answer(snapshot(saw(0.0, 8.0)), "quant")["volatility"] == "fail"
    assert answer(snapshot(saw(0.0, 6.0)), "quant")["volatility"] == "pass"


@pytest.mark.parametrize(
    ("quotes", "stop_bps", "take_bps"),
    [
        # no noise: the lowest stop; twice the cost of two fees of 10 bps is 40, plus the spread
        (rows([100.0] * 50, 0.01), 10, 42),
        # noise of 35.4 bps: the widest stop, and 1.5 times that as take-profit
        (saw(1.0, 5.0), 50, 75),
        # noise of 14.1 bps: a stop of 28, which needs a take-profit of 42; the cost needs 41
        (saw(1.0, 2.0), 28, 42),
    ],
    ids=["still", "rough", "calm"],
)
def test_risks_exits_and_size_are_those_of_the_formula(
    quotes: tuple[QuoteRow, ...], stop_bps: int, take_bps: int
) -> None:
    parsed = answer(snapshot(quotes), "risk")
    cost_bps = 20 + trend(quotes).spread_bps
    assert (parsed["stop_loss_bps"], parsed["take_profit_bps"]) == (stop_bps, take_bps)
    assert (parsed["decision"], parsed["size_pct"]) == ("approve", round(100 * (1 - cost_bps / take_bps)))
    assert parsed["reason"] == f"A gain of {take_bps} bps against a cost of {cost_bps:.1f} bps."


def test_risk_rejects_cost_above_half_of_maximum_gain() -> None:
    dear = msgspec.structs.replace(AGENT_LIMITS, fee_bps=Decimal(100))
    assert answer(snapshot(saw(1.0, 5.0), limits=dear), "risk")["decision"] == "reject"
    bearable = msgspec.structs.replace(AGENT_LIMITS, fee_bps=Decimal(99))
    assert answer(snapshot(saw(1.0, 5.0), limits=bearable), "risk")["decision"] == "approve"


def test_the_quant_supports_no_thesis_with_a_score_below_half() -> None:
    noise = [1.0 if i % 2 else -1.0 for i in range(24)]
    steps = [-9.0] * 25 + [3.0 + each for each in noise]
    seen = snapshot(rows([100 * math.exp(sum(steps[:i]) / 1e4) for i in range(50)], 0.1))
    parsed = answer(seen, "quant")
    assert trend(seen.quotes[25:]).is_clear(1)
    assert (parsed["thesis"], parsed["technical_score_pct"] < 50) == ("uncertain", True)


def test_levels_stay_within_half_of_the_price() -> None:
    seen = snapshot(rows([1000.0, 10.0, 100.0]))
    assert answer(seen)["key_levels"] == [50.0, 150.0]
    assert (answer(seen, "quant")["support"], answer(seen, "quant")["resistance"]) == (50.0, 150.0)


@pytest.mark.parametrize(
    ("spread", "placed"),
    [
        (0.019, ("market", 0, "ioc")),
        (0.04, ("limit", 2, "gtc")),
        (0.1, ("limit", 5, "gtc")),
        (2.0, ("limit", 20, "gtc")),
    ],
)
def test_execution_takes_a_narrow_spread_and_waits_in_a_wide_one(
    spread: float, placed: tuple[str, int, str]
) -> None:
    parsed = answer(snapshot(rows([100.0] * 30, spread)), "execution")
    assert (parsed["order_type"], parsed["offset_bps"], parsed["time_in_force"]) == placed


@given(VALID_QUOTES)
def test_the_whole_team_answers_every_snapshot_within_its_bounds(quotes: tuple[QuoteRow, ...]) -> None:
    seen = snapshot(quotes, kind="trade")
    found = Finding.model_validate_json(ask(seen, "quant").text, strict=True)
    assert 0 <= found.technical_score_pct <= 100
    assert check_finding(found, seen) is None
    assert (
        check_limits(Assessment.model_validate_json(ask(seen, "risk").text, strict=True), AGENT_LIMITS)
        is None
    )
    placed = Placement.model_validate_json(ask(seen, "execution").text, strict=True)
    assert 0 <= placed.limit_offset_bps <= AGENT_LIMITS.most_offset_bps


@given(VALID_QUOTES)
def test_every_snapshot_gets_an_answer_that_fits(quotes: tuple[QuoteRow, ...]) -> None:
    text = ask(snapshot(quotes)).text
    parsed = json.loads(text)
    assert parsed.keys() == verdict(snapshot()).keys()
    assert parsed["decision"] in DECISIONS and parsed["direction"] in DIRECTIONS
    assert isinstance(parsed["confidence_pct"], int) and 0 <= parsed["confidence_pct"] <= 100
    assert isinstance(parsed["horizon_minutes"], int) and parsed["horizon_minutes"] >= 1
    assert len(parsed["key_levels"]) <= 4 and all(level > 0 for level in parsed["key_levels"])
    assert implausible_levels(parsed["key_levels"], snapshot(quotes)) == ()
    assert "nan" not in parsed["thesis"] and "inf" not in parsed["thesis"]
    assert text == ask(snapshot(quotes)).text


def test_learning_counts_what_paid_after_fees() -> None:
    trades = (
        closed_trade(fees="0.6"),
        closed_trade(fees="0.1"),
        closed_trade(exit_price=99.5, reason="stop_loss"),
    )
    parsed = answer(snapshot(kind="learning", closed_trades=trades), "learning")
    assert parsed["happened"] == "1 of 3 trades earned more than their fees."
    assert parsed["lesson"] == "The last 3 trades in BTC/USD did not pay after fees; so few prove little."
    assert (
        parsed["evidence"]
        == "+50.0 bps on average before fees, -0.05 after fees, ended by stop_loss, take_profit."
    )
    assert parsed["valid_for_minutes"] == 180


def test_learning_without_closed_trades_has_no_lesson() -> None:
    assert (
        answer(snapshot(kind="learning"), "learning")["lesson"]
        == "No trade has ended, so there is no lesson."
    )


def test_response_names_model_and_server_and_holds_service_time() -> None:
    reply = ask(snapshot(saw(1.0, 5.0)))
    assert (reply.model, reply.server, reply.finish_reason) == ("rules-1", "rules", "stop")
    assert reply.service_ms >= 0 and reply.usage is None and reply.refusal is None


def test_a_question_of_an_unknown_agent_or_snapshot_is_a_bad_request() -> None:
    for agent, key, expected in (
        ("poet", None, "no rule answers for poet"),
        ("director", "0f", "no snapshot 0f"),
    ):
        with pytest.raises(LLMError, match=expected) as raised:
            ask(snapshot(), agent, key)
        assert raised.value.code == "bad_request"
    assert RULES.keys() == {"director", "quant", "risk", "execution", "learning"}


def verdicts(stream: Stream, sample_count: int = 300) -> Iterator[bool]:
    shipped, times = settings(), stream.columns["ts"]
    for at in range(60, len(times), max(1, len(times) // sample_count)):
        yield verdict(preview(shipped, stream, int(times[at])))["decision"] == "trade"


def share(stream: Stream) -> float:
    found = list(verdicts(stream))
    return sum(found) / len(found)


@pytest.mark.parametrize("symbol", ["BTC/USD", "ETH/USD", "SOL/USD"])
def test_synthetic_market_yields_both_decisions_regularly(symbol: str) -> None:
    assert 0.2 <= share(synthesize(SyntheticSpec(symbols=(symbol,))).streams[0]) <= 0.6


@pytest.mark.parametrize(
    "name",
    [
        "binance/spot/BTCUSDT_20240808",
        "binance/coinm/BTCUSD_PERP_20240808",
        "fx/OANDA_EURUSD_20140507_20140507",
        "hyperliquid/ETH-USD-PERP_20250904",
        "us_equity/IBM_20131007_20131009_nbbo",
    ],
)
def test_recorded_tape_yields_both_decisions_regularly(shared: Path, name: str) -> None:
    tape = open_tape([parse_source(str(shared / f"data/{name}_quotes.parquet"))])
    assert 0.15 <= share(tape.streams[0]) <= 0.6
