"""The written rule: it says what its formula says, always the same, and both answers come up."""

import asyncio
import json
import math
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from autohedge.core.snapshots import Holding, QuoteRow, Snapshot
from autohedge.llm.backend import LLMBackend, Message, ModelFailure, Request, Response
from autohedge.llm.rules import RULES, RulesBackend, trend, verdict
from autohedge.market import Recipe, Stream, open_tape, parse_source, synthesize
from autohedge.tools import preview
from tests.showing import VALID_QUOTES, closed, rows, snapshot
from tests.support import settings

HELD = Holding(Decimal(1), 100.0, 101.0, 99.0)
DECISIONS, DIRECTIONS = {"trade", "no_trade"}, {"long", "short", "exit"}


def ask(seen: Snapshot, agent: str = "director", key: str | None = None) -> Response:
    backend: LLMBackend = RulesBackend({seen.hash: seen}.__getitem__)
    messages = (Message("user", "whatever the prompt says"),)
    request = Request(agent, seen.symbol, messages, {}, 0.2, 300, "hash", key or seen.hash)
    return asyncio.run(backend.complete(request))


def answer(seen: Snapshot, agent: str = "director") -> dict[str, Any]:
    value: dict[str, Any] = json.loads(ask(seen, agent).text)
    return value


def saw(step_bps: float, noise_bps: float, spread: float = 0.001) -> tuple[QuoteRow, ...]:
    """Fifty quotes: each return is the step, plus or minus the noise in turn."""
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


def test_a_clear_rise_is_traded_and_told_with_its_figures() -> None:
    said = answer(snapshot(saw(1.0, 5.0)))
    chance = (1 + math.erf(trend(saw(1.0, 5.0)).t / math.sqrt(2))) / 2
    assert (said["decision"], said["direction"], said["symbol"]) == ("trade", "long", "BTC/USD")
    assert said["confidence_pct"] == round(100 * chance) > 69
    assert said["thesis"] == "Drift +44.00 bps over 50 quotes, t +1.24, mean spread 0.10 bps."
    assert said["horizon_minutes"] == 1
    assert said["key_levels"] == [min(q.bid for q in saw(1.0, 5.0)), max(q.ask for q in saw(1.0, 5.0))]


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
def test_without_a_clear_rise_there_is_no_trade(quotes: tuple[QuoteRow, ...]) -> None:
    assert answer(snapshot(quotes))["decision"] == "no_trade"


def test_a_clear_fall_speaks_for_leaving_what_is_held_and_never_opens_a_gate() -> None:
    for held, direction in ((HELD, "exit"), (snapshot().held, "short")):
        said = answer(snapshot(saw(-1.0, 5.0), held=held))
        assert (said["decision"], said["direction"]) == ("no_trade", direction)
        assert said["confidence_pct"] > 69


@given(VALID_QUOTES)
def test_every_snapshot_gets_an_answer_that_fits(quotes: tuple[QuoteRow, ...]) -> None:
    text = ask(snapshot(quotes)).text
    said = json.loads(text)
    assert said.keys() == verdict(snapshot()).keys()
    assert said["decision"] in DECISIONS and said["direction"] in DIRECTIONS
    assert isinstance(said["confidence_pct"], int) and 0 <= said["confidence_pct"] <= 100
    assert isinstance(said["horizon_minutes"], int) and said["horizon_minutes"] >= 1
    assert len(said["key_levels"]) <= 4 and all(level > 0 for level in said["key_levels"])
    assert "nan" not in said["thesis"] and "inf" not in said["thesis"]
    assert text == ask(snapshot(quotes)).text


def test_learning_counts_what_paid_after_fees() -> None:
    trades = (closed(fees="0.6"), closed(fees="0.1"), closed(leave=99.5, reason="stop_loss"))
    said = answer(snapshot(kind="learning", closed=trades), "learning")
    assert said["happened"] == "1 of 3 trades earned more than their fees."
    assert said["lesson"] == "The last 3 trades in BTC/USD did not pay after fees; so few prove little."
    assert (
        said["evidence"]
        == "+50.0 bps on average before fees, -0.05 after fees, ended by stop_loss, take_profit."
    )
    assert said["valid_for_minutes"] == 180


def test_learning_from_nothing_has_no_lesson() -> None:
    assert (
        answer(snapshot(kind="learning"), "learning")["lesson"]
        == "No trade has ended, so there is no lesson."
    )


def test_the_reply_says_who_answered_and_how_long_it_took() -> None:
    reply = ask(snapshot(saw(1.0, 5.0)))
    assert (reply.model, reply.server, reply.finish_reason) == ("rules-1", "rules", "stop")
    assert reply.service_ms >= 0 and reply.usage is None and reply.refusal is None


def test_a_question_of_an_unknown_agent_or_snapshot_is_a_bad_request() -> None:
    for agent, key, says in (
        ("poet", None, "no rule answers for poet"),
        ("director", "0f", "no snapshot 0f"),
    ):
        with pytest.raises(ModelFailure, match=says) as raised:
            ask(snapshot(), agent, key)
        assert raised.value.code == "bad_request"
    assert RULES.keys() == {"director", "quant", "risk", "execution", "learning"}


def verdicts(stream: Stream, asked: int = 300) -> Iterator[bool]:
    shipped, times = settings(), stream.columns["ts"]
    for at in range(60, len(times), max(1, len(times) // asked)):
        yield verdict(preview(shipped, stream, int(times[at])))["decision"] == "trade"


def share(stream: Stream) -> float:
    found = list(verdicts(stream))
    return sum(found) / len(found)


@pytest.mark.parametrize("symbol", ["BTC/USD", "ETH/USD", "SOL/USD"])
def test_on_the_synthetic_market_both_answers_come_up_regularly(symbol: str) -> None:
    assert 0.2 <= share(synthesize(Recipe(symbols=(symbol,))).streams[0]) <= 0.6


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
def test_on_recorded_tapes_both_answers_come_up_regularly(shared: Path, name: str) -> None:
    tape = open_tape([parse_source(str(shared / f"data/{name}_quotes.parquet"))])
    assert 0.15 <= share(tape.streams[0]) <= 0.6
